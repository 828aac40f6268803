"""What a run writes about itself, also after an interruption."""

import io
import json
import logging

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fewshot.runs import progress
from fewshot.runs.progress import Progress, start_logging
from fewshot.runs.run import Run


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def board(run):
    events = EventAccumulator(str(run / "tb"))
    events.Reload()
    return events


def test_scalars_reach_metrics_and_tensorboard(tmp_path):
    with Run(tmp_path).log(step=0, main=True) as runlog:
        runlog.scalars(1, "train", {"total": 2.5, "grad_norm": torch.tensor(0.5)})
        runlog.scalars(1, "validation", {"JF": 40.0})
    assert lines(tmp_path) == [
        {"step": 1, "kind": "train", "total": 2.5, "grad_norm": 0.5},
        {"step": 1, "kind": "validation", "JF": 40.0},
    ]
    scalars = board(tmp_path).Scalars("train/total")
    assert [(event.step, event.value) for event in scalars] == [(1, 2.5)]


def test_a_line_is_in_the_file_at_once(tmp_path):
    with Run(tmp_path).log(step=0, main=True) as runlog:
        runlog.scalars(1, "train", {"total": 1.0})
        assert len(lines(tmp_path)) == 1


def test_images_and_hyperparameters_reach_one_tensorboard_run(tmp_path):
    with Run(tmp_path).log(step=0, main=True) as runlog:
        runlog.image(3, "validation/episode", torch.zeros(3, 8, 16, dtype=torch.uint8))
        runlog.hyperparameters(
            {"train": {"steps": 3, "schedule": "cosine"}, "shots": [1, 5], "none": None}, {"JF": 40.0}
        )
    events = board(tmp_path)
    assert [(image.width, image.height) for image in events.Images("validation/episode")] == [(16, 8)]
    assert [event.value for event in events.Scalars("final/JF")] == [40.0]
    assert "_hparams_/session_start_info" in events.SummaryMetadata.__self__.summary_metadata
    assert len(list((tmp_path / "tb").iterdir())) == 1


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(tmp_path):
    with Run(tmp_path).log(step=0, main=True) as runlog:
        for step in range(1, 8):
            runlog.scalars(step, "train", {"total": float(step)})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "kind": "tra')  # killed while writing
    with Run(tmp_path).log(step=5, main=True) as runlog:
        for step in range(6, 9):
            runlog.scalars(step, "train", {"total": -float(step)})
    assert [(row["step"], row["total"]) for row in lines(tmp_path)] == [
        *[(step, step) for step in range(1, 6)], *[(step, -step) for step in range(6, 9)]
    ]  # fmt: skip
    scalars = board(tmp_path).Scalars("train/total")
    assert [(event.step, event.value) for event in scalars] == [(row["step"], row["total"]) for row in lines(tmp_path)]


def test_a_run_that_starts_over_forgets_everything(tmp_path):
    for value in (1.0, 2.0):
        with Run(tmp_path).log(step=0, main=True) as runlog:
            runlog.scalars(1, "train", {"total": value})
    assert [row["total"] for row in lines(tmp_path)] == [2.0]
    assert [event.value for event in board(tmp_path).Scalars("train/total")] == [2.0]


def test_other_processes_of_a_training_write_nothing(tmp_path):
    with Run(tmp_path).log(step=0, main=False) as runlog:
        runlog.scalars(1, "train", {"total": 1.0})
        runlog.image(1, "picture", torch.zeros(3, 2, 2, dtype=torch.uint8))
        runlog.hyperparameters({"a": 1}, {"JF": 1.0})
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def plain_lines(monkeypatch):
    """Log lines of the project as they appear without a terminal."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=stream, force_terminal=False))
    logger = logging.getLogger("fewshot.runs.progress")
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    return stream


def test_without_a_terminal_progress_is_a_line_now_and_then_with_speed_and_time_left(clock, plain_lines):
    with Progress("training", 100) as shown:
        for step in range(1, 101):
            clock.now += 0.5
            shown.update(step, {"loss": 1 / step})
    found = plain_lines.getvalue().splitlines()
    assert len(found) == 5
    assert found[0] == "training 20/100  2 step/s  0:00:40 left  loss 0.05"
    assert found[-1].startswith("training 100/100  2 step/s  0:00:00 left")


def test_a_resumed_progress_counts_only_its_own_speed(clock, plain_lines):
    with Progress("training", 1000, done=900) as shown:
        clock.now = 20.0
        shown.update(910)
    assert plain_lines.getvalue() == "training 910/1000  2 s/step  0:03:00 left\n"


def test_progress_survives_updates_without_time_or_advance(clock, plain_lines):
    with Progress("training", 1) as shown:
        shown.update(0)
        shown.update(0)
        shown.update(1)
    assert plain_lines.getvalue() == "training 1/1  \n"


def test_on_a_terminal_progress_is_a_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=stream, force_terminal=True, width=120))
    with Progress("training", 10) as shown:
        shown.update(10, {"loss": 0.25})
    text = stream.getvalue()
    assert "training" in text
    assert "10/10" in text
    assert "loss 0.25" in text
    assert "━" in text


def test_log_lines_of_the_project_go_to_stderr_only(capsys, monkeypatch):
    for name in ("episodes", "models", "fewshot"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    start_logging()
    logging.getLogger("episodes.anything").info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "INFO hello" in captured.err
