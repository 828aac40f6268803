"""metrics.jsonl is read in whatever state a run left it."""

import json
import logging
from pathlib import Path

import pytest

from fewshot.runs.metrics import cut_metrics, last_metrics, read_series


def _write(path: Path, *entries: object, tail: str = "") -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail)
    return path


def test_numbers_are_named_by_their_kind_and_sorted_by_step(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "metrics.jsonl",
        {"step": 20, "kind": "train", "loss": 1.0, "note": "warm", "flag": True},
        {"step": 10, "kind": "train", "loss": 2.0},
        {"step": 20, "kind": "validation", "J": 40, "F": float("nan")},
    )

    assert read_series(path) == {"train/loss": [(10, 2.0), (20, 1.0)], "validation/J": [(20, 40.0)]}


def test_a_step_that_a_resumed_run_logged_again_counts_once(tmp_path: Path) -> None:
    entries = [{"step": step, "loss": loss} for step, loss in ((1, 3.0), (2, 2.0), (2, 1.5))]

    path = _write(tmp_path / "metrics.jsonl", *entries)

    assert read_series(path) == {"loss": [(1, 3.0), (2, 1.5)]}


def test_a_last_line_that_a_killed_run_cut_off_is_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "metrics.jsonl", {"step": 1, "loss": 3.0}, tail='{"step": 2, "lo')

    assert read_series(path) == {"loss": [(1, 3.0)]}


def test_damaged_lines_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 3}\nboom\n\xff\xfe\n[3]\n{"note": 1}\n{"step": 2, "loss": 2}\n')

    with caplog.at_level(logging.WARNING):
        assert read_series(path) == {"loss": [(1, 3.0), (2, 2.0)]}
    assert caplog.text.count("not a JSON object with a step") == 4
    assert "'boom'" in caplog.text
    assert last_metrics(path) == (2, None)
    cut_metrics(path, 1)
    assert path.read_text() == '{"step": 1, "loss": 3}\n'


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_series(tmp_path / "metrics.jsonl") == {}
    assert last_metrics(tmp_path / "metrics.jsonl") == (0, None)
    cut_metrics(tmp_path / "metrics.jsonl", 0)
    assert list(tmp_path.iterdir()) == []


def test_the_last_validation_is_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    rows = [{"step": step, "kind": "train", "loss": 1.0} for step in range(1, 5000)]
    rows.insert(4900, {"step": 4900, "kind": "validation", "JF": 42.0})
    path = _write(tmp_path / "metrics.jsonl", *rows)

    assert last_metrics(path) == (4999, 42.0)
