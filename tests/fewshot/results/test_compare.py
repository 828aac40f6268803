"""Two runs side by side: the difference on shared items, what the pairing holds equal, and what cannot be paired."""

import re
from pathlib import Path
from typing import Any

import pytest

from episodes.errors import UserError
from fewshot.cli import main
from fewshot.results.compare import compare, comparison_table
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.row import Row
from fewshot.runs.run import Run
from tests import written_runs


def write_run(folder: Path, score: written_runs.Score, **how: Any) -> EvaluatedRun:
    return Run(written_runs.write_run(folder, score, **how)).evaluated()


def mixed(c: int, v: int, s: int) -> float:
    return 0.2 + (7 * c + 3 * v + s) % 6 / 10


def better(c: int, v: int, s: int) -> float:
    return mixed(c, v, s) + 0.1


def rows(table: str) -> list[list[str]]:
    """The cells of each row of the table; they stand at least two spaces apart."""
    lines = table.splitlines()
    return [re.split(r"\s{2,}", line) for line in lines[3 : lines.index("")]]


def test_every_row_that_both_share_is_compared_for_the_trained_models(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better, shots=(1, 5, 10))
    second = write_run(tmp_path / "b", mixed, shots=(1, 5))
    found = rows(comparison_table(first, second, resamples=100))
    assert [row[:4] for row in found] == [
        ["cma", "cma", shots, scoring] for scoring in ("paper", "davis") for shots in ("1", "5")
    ]
    items = 3 * 4 * 2
    for row in found:  # what is hard is hard for both, so that nothing is left to doubt
        assert row[4:] == [str(items), "+10.0", "+10.0", "+10.0", "[+10.0, +10.0]"]


def test_exchanged_runs_turn_the_sign(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", better), write_run(tmp_path / "b", mixed)
    assert {row[7] for row in rows(comparison_table(second, first, resamples=20))} == {"-10.0"}


def test_methods_shots_and_scoring_can_be_chosen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", lambda *_: 0.6)
    table = comparison_table(run, run, method_b="prototype", shots=5, scoring="davis", resamples=20)
    assert [row[:8] for row in rows(table)] == [
        ["cma", "prototype", "5", "davis", "24", "+30.0", "+30.0", "+30.0"],
    ]


def test_the_own_label_of_each_run_is_compared(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better, overrides=["evaluate.label=full"], methods=("full", "prototype"))
    second = write_run(tmp_path / "b", mixed, overrides=["evaluate.label=base"], methods=("base",))
    assert rows(comparison_table(first, second, resamples=20))[0][:2] == ["full", "base"]


def test_only_items_that_both_answered_count(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better, seeds=(0, 1, 2))
    second = write_run(tmp_path / "b", mixed, seeds=(1, 2, 3))
    assert rows(comparison_table(first, second, resamples=20))[0][4] == str(3 * 4 * 2)


# --------------------------------------------------------------------------- supports


def test_equal_support_lists_are_said_to_be_equal(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", better), write_run(tmp_path / "b", mixed)
    manifest = first.summary.facts["manifest"]
    assert f"Task list (manifest) of both: {manifest}" in comparison_table(first, second, resamples=20)


def test_other_support_clips_are_said_to_pair_queries_alone(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", better), write_run(tmp_path / "b", mixed, support="b")
    table = comparison_table(first, second, resamples=20)
    hashes = [run.summary.facts["manifest"][:12] for run in (first, second)]
    assert f"The task lists differ (manifest {hashes[0]} in A, {hashes[1]} in B)" in table
    assert "in the clips of 6 of 6 tasks: paired on queries, not on supports" in table


def test_lists_that_differ_only_in_what_is_not_compared_are_paired_on_supports(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better, shots=(1, 5), seeds=(0, 1))
    second = write_run(tmp_path / "b", mixed, shots=(1,), seeds=(1,))
    table = comparison_table(first, second, resamples=20)
    assert "The task lists differ" in table
    assert table.endswith("but the support clips of these rows are the same: paired on queries and supports.")
    row = Row("cma", 1, None, "paper", 1)
    comparison = compare((first, second), (row, row), resamples=20)
    assert (comparison.other_supports, comparison.tasks) == (0, 3)


def test_pictures_of_other_sizes_are_named_beside_paper_scoring(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better, overrides=["data.short_side=360"])
    second = write_run(tmp_path / "b", mixed)
    said = "`paper` scores short side 360 in A and 256 in B"
    assert said in comparison_table(first, second, resamples=20)
    assert said not in comparison_table(first, second, scoring="davis", resamples=20)


# --------------------------------------------------------------------------- rejections


def test_runs_of_other_benchmarks_are_rejected_whatever_their_folders_are_called(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better)
    second = write_run(tmp_path / "b", mixed, content="d" * 64)
    with pytest.raises(UserError, match=r"a was evaluated on data \(content c{12}\) and \S+b was .* \(content d{12}\)"):
        comparison_table(first, second)


def test_a_benchmark_that_was_moved_is_the_same_by_its_content(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", better)
    second = write_run(tmp_path / "b", mixed, benchmark="moved", support="b", overrides=["data.root=moved"])
    assert len(rows(comparison_table(first, second, resamples=20))) == 4


def test_runs_without_a_shared_item_are_rejected_with_what_they_hold(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", better), write_run(tmp_path / "b", mixed, overrides=["data.group=2"])
    with pytest.raises(UserError, match=r"a \(group 1, seeds 0, 1\) and \S+b \(group 2, seeds 0, 1\) share no item"):
        comparison_table(first, second)


def test_an_unknown_method_and_rows_that_one_lacks_are_rejected_with_what_there_is(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", better), write_run(tmp_path / "b", mixed, shots=(1,))
    with pytest.raises(UserError, match=r"a has no row of method 'maml'; name one of cma, prototype with --method-a"):
        comparison_table(first, second, method_a="maml")
    with pytest.raises(UserError, match=r"no row of 5 shot\(s\) in any scoring is in both.*b holds 1-shot paper"):
        comparison_table(first, second, shots=5)


def test_the_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write_run(tmp_path / "a", better), write_run(tmp_path / "b", mixed)
    chosen = ["--method-a", "cma", "--method-b", "prototype", "--shots", "1", "--scoring", "paper"]
    assert main(["compare", str(first.folder), str(second.folder), *chosen]) == 0
    out = capsys.readouterr().out
    assert [row[:4] for row in rows(out)] == [["cma", "prototype", "1", "paper"]]
    assert max(map(len, out.splitlines()[1:])) <= 130
    assert main(["compare", str(first.folder), str(tmp_path / "none")]) == 2
    assert "no summary at" in capsys.readouterr().err
