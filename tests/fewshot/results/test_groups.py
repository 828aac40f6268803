"""The mean over groups: the means of the runs, averaged, with an interval; and runs that make no experiment."""

from pathlib import Path

import pytest

from episodes.errors import UserError
from fewshot.cli import main
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.groups import by_group, groups_table
from fewshot.results.page.markdown import markdown_page
from fewshot.results.page.report import build_page
from fewshot.results.row import NO_GROUP
from fewshot.results.tables import markdown_table, results_table, text_table
from fewshot.runs.run import Run
from tests.markdown import markdown_rows
from tests.written_runs import write_run

LEVELS = {1: 0.2, 2: 0.4, 3: 0.6, 4: 0.5}


def write_groups(folder: Path, groups: tuple[int, ...] = (1, 2, 3, 4), *overrides: str) -> list[EvaluatedRun]:
    """A run for each group, as many videos in it as its number says: groups count equally all the same."""
    return [
        Run(
            write_run(
                folder / f"g{group}",
                lambda c, v, s, level=LEVELS[group]: level + 0.02 * v,  # type: ignore[misc]
                overrides=[f"data.group={group}", *overrides],
                videos=group + 1,
            )
        ).evaluated()
        for group in groups
    ]


def test_a_row_is_the_mean_of_the_groups_means(tmp_path: Path) -> None:
    runs = write_groups(tmp_path)
    means = [next(scores.JF for row, scores in run.summary.rows.items() if row.method == "cma") for run in runs]
    table = groups_table(runs, markdown_table, resamples=200)
    cells = next(row for row in markdown_rows(table) if row[:2] == ("cma", "1"))
    assert cells[5] == f"{sum(means) / 4:.1f}"
    assert list(cells[11:]) == [f"{mean:.1f}" for mean in means]
    low, high = map(float, cells[6].strip("[]").split(","))
    assert low < sum(means) / 4 < high
    assert high - low < 10, "groups are fixed: their distance of 40 points is no doubt about the mean"


def test_every_row_has_a_place_in_a_block_for_each_scoring(tmp_path: Path) -> None:
    table = groups_table(write_groups(tmp_path), text_table, resamples=20)
    for scoring in ("paper", "davis"):
        assert table.count(f"Mean over groups 1, 2, 3, 4, {scoring} scoring") == 1
    assert sum(line.startswith("cma") for line in table.splitlines()) == 4
    assert sum(line.startswith("prototype") for line in table.splitlines()) == 4


def test_the_order_of_the_runs_does_not_matter(tmp_path: Path) -> None:
    runs = write_groups(tmp_path)
    assert groups_table(runs, text_table, resamples=50) == groups_table(runs[::-1], text_table, resamples=50)


def test_fewer_groups_are_said_not_to_make_the_headline(tmp_path: Path) -> None:
    table = groups_table(write_groups(tmp_path, (2, 3)), text_table, resamples=20)
    assert "Mean over groups 2, 3 of 4 (the headline is the mean over all), paper" in table


def test_groups_may_have_task_files_of_their_own(tmp_path: Path) -> None:
    runs = [
        *write_groups(tmp_path / "x", (1,), "evaluate.tasks=g1.json"),
        *write_groups(tmp_path / "y", (2,), "evaluate.tasks=g2.json"),
    ]
    assert list(by_group(runs)) == [1, 2]


def test_a_run_without_a_novel_group_has_a_title_of_its_own_and_is_not_averaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "all", lambda *_: 0.5, overrides=["data.group=null"])
    run = Run(folder).evaluated()
    assert run.group == NO_GROUP
    assert results_table(run.summary).startswith("No novel group, ")
    assert "No novel group, paper scoring" in markdown_page(build_page([run]))
    with pytest.raises(UserError, match=r"all has no novel group \(data\.group=null\)"):
        by_group([run, Run(write_run(tmp_path / "one", lambda *_: 0.5)).evaluated()])


def test_a_row_that_one_run_lacks_is_named(tmp_path: Path) -> None:
    runs = write_groups(tmp_path, (1, 2))
    few = write_run(tmp_path / "few", lambda *_: 0.5, overrides=["data.group=3"], methods=("cma",))
    runs.append(Run(few).evaluated())
    table = groups_table(runs, text_table, resamples=20)
    assert "Left out, since not every run holds it: prototype 1-shot, prototype 5-shot." in table
    assert not any(line.startswith("prototype") for line in table.splitlines())


def test_two_runs_of_one_group_are_rejected(tmp_path: Path) -> None:
    runs = [*write_groups(tmp_path, (1, 2)), *write_groups(tmp_path / "again", (2,))]
    with pytest.raises(UserError, match=r"g2 and \S+again/g2 are both of group 2"):
        groups_table(runs, text_table)


def test_a_single_run_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs a run for each group, found 1"):
        groups_table(write_groups(tmp_path, (1,)), text_table)


def test_runs_of_other_experiments_are_rejected_with_the_keys_that_differ(tmp_path: Path) -> None:
    runs = [
        *write_groups(tmp_path, (1, 2)),
        *write_groups(tmp_path / "other", (3,), "train.steps=7", "evaluate.max_queries_per_class=2"),
    ]
    with pytest.raises(UserError) as found:
        groups_table(runs, text_table)
    message = str(found.value)
    assert "evaluate.max_queries_per_class is None and 2; train.steps is 1000 and 7" in message
    assert "g1 and" in message
    assert "other/g3 are of different experiments" in message
    assert "data.group is" not in message


def test_the_command_prints_text_and_writes_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(run.folder) for run in write_groups(tmp_path, (1, 2))]
    assert main(["groups", *runs, "--out", str(tmp_path / "tables" / "groups.md")]) == 0
    assert "Mean over groups 1, 2" in capsys.readouterr().out
    rows = markdown_rows((tmp_path / "tables" / "groups.md").read_text())
    assert ("cma", "1", "-") in [row[:3] for row in rows]
    assert main(["groups", runs[0], runs[0]]) == 2
    assert "is named twice" in capsys.readouterr().err
