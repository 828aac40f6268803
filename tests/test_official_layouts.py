"""Each official layout, from its files to a summary: check, train two steps, evaluate."""

import json
from pathlib import Path

import pytest

from episodes.readers.layouts import OFFICIAL_CLASSES, SAIL_CLASSES
from fewshot.cli import main
from tests.paths import REAL_CLIPS
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, write_experiment


@pytest.mark.parametrize(
    ("layout", "folder", "names"),
    [
        ("ytvos", "Mini-Ref-YouTube-VOS", OFFICIAL_CLASSES[:8]),
        ("ytvos", "mini-ref-youtube-vos", OFFICIAL_CLASSES[:8]),
        ("sailvos", "mini-SAIL-VOS", SAIL_CLASSES),
        ("sailvos-readme", "Mini-Ref-SAIL-VOS", SAIL_CLASSES),
    ],
)
def test_a_set_is_checked_trained_on_and_evaluated(
    layout: str, folder: str, names: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_tiny_benchmark(tmp_path / folder, layout=layout, names=names, frames=3)
    experiment = write_experiment(tmp_path / "tiny.yaml", TinySet(root, tmp_path / "cache"))
    run = tmp_path / "run"

    assert main(["data", "check", str(root)]) == 0
    assert "nothing would stop training" in capsys.readouterr().out
    assert main(["run", str(experiment), "--out", str(run), "train.steps=2", "evaluate.shots=[1]"]) == 0

    rows = json.loads((run / "results" / "summary.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {"prototype", "cma", "cma+finetune"}
    assert {row["scoring"] for row in rows} == {"paper", "davis"}
    assert all(0 <= row["JF"] <= 100 for row in rows)


@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason="set DAVIS_TINY to the folder of the real clips")
def test_real_clips_are_reported_truly_and_evaluated_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(REAL_CLIPS), "--json"]) == 1  # classes with one video would stop a training
    report = json.loads(capsys.readouterr().out)
    kinds = [problem["kind"] for problem in report["problems"]]
    assert kinds.count("video without expressions") == 17
    assert kinds.count("category outside the class list") == 3
    assert report["videos"] == 23

    experiment = write_experiment(tmp_path / "real.yaml", TinySet(REAL_CLIPS, tmp_path / "cache"))
    values = ["train.steps=2", "data.group=4", "episodes.small_classes=skip", "episodes.validation_videos=0"]
    values += ["train.validate_every=0", "evaluate.shots=[1]"]
    assert main(["run", str(experiment), "--out", str(tmp_path / "run"), *values]) == 0

    rows = json.loads((tmp_path / "run/results/summary.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {"prototype", "cma", "cma+finetune"}
