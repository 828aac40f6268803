"""What is done with a benchmark of single-object videos, by commands: mosaics of it, and rows without training."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from episodes.readers import read_benchmark
from fewshot.cli import main
from fewshot.config.evaluation import TRAINING_FREE
from tests.paths import ROOT
from tests.single_objects import SIZES, write_single_objects
from tests.tiny_runs import TINY_MODEL

PAIRS = 2 * len(SIZES)  # two videos of each class, each the support of the other
QUICK = [
    *("data.short_side=64", f"model={json.dumps(TINY_MODEL)}", "machine.threads=1", "machine.cache=cache"),
    *("machine.evaluation_workers=1", "evaluate.bootstrap_samples=10", "evaluate.scoring=[paper]"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a benchmark `single`, its `mosaics`, and the run `runs/rows` of its rows without training."""
    folder = tmp_path_factory.mktemp("work")
    write_single_objects(folder / "single")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["data", "mosaic", "single", "mosaics"]) == 0
        rows = str(ROOT / "experiments/training_free.yaml")
        places = ["name=rows", "data.root=single", "evaluate.transfer.root=single"]
        assert main(["run", rows, *places, *QUICK]) == 0
    return folder


def rows_of(run: Path) -> dict[str, dict]:
    """Method -> its row in summary.json, of results with one shot, one scoring and no control."""
    rows = json.loads((run / "results/summary.json").read_text())["rows"]
    assert len({row["method"] for row in rows}) == len(rows)
    return {row["method"]: row for row in rows}


def records_of(run: Path) -> list[dict[str, str]]:
    with (run / "results/records.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_says_what_it_wrote_and_what_it_left_out(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    assert main(["data", "mosaic", "single", "mosaics"]) == 0
    assert capsys.readouterr().out == "3 mosaics of single are in mosaics\n"

    odd = write_single_objects(tmp_path / "odd", videos=3)
    assert main(["data", "mosaic", str(odd), str(tmp_path / "out"), "--seed", "1"]) == 0
    left_out, written = capsys.readouterr().out.splitlines()
    assert left_out.startswith("left out: ")
    assert written.startswith("4 mosaics of ")
    assert len(read_benchmark(tmp_path / "out").videos) == 4


def test_mosaics_that_cannot_be_made_end_with_one_paragraph(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    assert main(["data", "mosaic", "single", "mosaics", "--seed", "1"]) == 2
    assert "another recipe" in capsys.readouterr().err
    assert main(["data", "mosaic", "mosaics", "of-mosaics"]) == 2
    assert "two classes with two videos of a single annotated object" in capsys.readouterr().err
    assert not (work / "of-mosaics").exists()


def test_the_experiment_without_training_scores_its_four_rows_on_all_pairs(work: Path) -> None:
    rows = rows_of(work / "runs/rows")
    assert set(rows) == set(TRAINING_FREE)
    assert Counter(record["method"] for record in records_of(work / "runs/rows")) == dict.fromkeys(rows, PAIRS)
    assert not (work / "runs/rows/metrics.jsonl").exists() or not (work / "runs/rows/metrics.jsonl").read_text()


def test_several_benchmarks_are_evaluated_by_one_command_into_one_table(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    asked = ["--transfer", "single", "--transfer", "mosaics", "evaluate.methods=[nearest]"]

    assert main(["evaluate", "runs/rows", *asked, "--out", "runs/both"]) == 0

    shown = capsys.readouterr().out
    for name in ("single", "mosaics"):
        row = rows_of(Path("runs/both") / name)["nearest"]
        (line,) = (line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert line.split()[1:6] == ["nearest", "1", "-", f"{row['J']:.1f}", f"{row['F']:.1f}"]
        assert line.split()[-1] == ("-" if row["right"] is None else f"{row['right']:.1f}")
        assert f"runs/both/{name}/results/report.md" in shown
    assert rows_of(Path("runs/both/single"))["nearest"]["J"] == rows_of(Path("runs/rows"))["nearest"]["J"]


def test_benchmarks_of_one_command_need_a_folder_and_different_names_and_are_all_opened_first(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(work)
    assert main(["evaluate", "runs/rows", "--transfer", "single"]) == 2
    assert "--out" in capsys.readouterr().err
    for second, said in (("./single", "of the name single"), ("nowhere", "nowhere")):
        assert main(["evaluate", "runs/rows", "--transfer", "single", "--transfer", second, "--out", "runs/none"]) == 2
        assert said in capsys.readouterr().err
    assert not (work / "runs/none").exists()


def test_the_right_object_is_counted_where_a_clip_shows_another(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    transfer = "evaluate.transfer={root: mosaics, seen: keep}"

    assert main(["evaluate", "runs/rows", transfer, "--out", "runs/on-mosaics"]) == 0

    assert {row["right"] for row in rows_of(Path("runs/rows")).values()} == {None}
    records = records_of(Path("runs/on-mosaics"))
    for method, row in rows_of(Path("runs/on-mosaics")).items():
        answers = [record["right"] for record in records if record["method"] == method]
        assert len(answers) == PAIRS
        assert row["right"] == pytest.approx(100 * answers.count("1") / PAIRS)
