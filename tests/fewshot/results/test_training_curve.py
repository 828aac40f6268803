"""The training curve draws what metrics.jsonl logged, whatever state a run left it in."""

import json
from pathlib import Path

import pytest

from episodes.errors import UserError
from fewshot.results.training_curve import draw_curve, loss_series, read_series, validation_series


def _write(path: Path, *entries: object, tail: str = "") -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail)
    return path


def test_numbers_are_named_by_their_kind_and_sorted_by_step(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "metrics.jsonl",
        {"step": 20, "kind": "train", "loss": 1.0, "note": "warm", "flag": True},
        {"step": 10, "kind": "train", "loss": 2.0},
        {"step": 20, "kind": "validation", "J": 40, "F": float("nan")},
        {"note": "a line without a step"},
    )

    assert read_series(path) == {"train/loss": [(10, 2.0), (20, 1.0)], "validation/J": [(20, 40.0)]}


def test_a_step_that_a_resumed_run_logged_again_counts_once(tmp_path: Path) -> None:
    entries = [{"step": step, "loss": loss} for step, loss in ((1, 3.0), (2, 2.0), (2, 1.5))]

    path = _write(tmp_path / "metrics.jsonl", *entries)

    assert read_series(path) == {"loss": [(1, 3.0), (2, 1.5)]}


def test_a_last_line_that_a_killed_run_cut_off_is_left_out(tmp_path: Path) -> None:
    path = _write(tmp_path / "metrics.jsonl", {"step": 1, "loss": 3.0}, tail='{"step": 2, "lo')

    assert read_series(path) == {"loss": [(1, 3.0)]}


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nboom\n{"step": 2}\n')

    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2 is no JSON"):
        read_series(path)


def test_the_total_loss_stands_for_its_terms_where_it_is_logged() -> None:
    terms = {"train/loss/dice": [(1, 1.0)], "train/loss/focal": [(1, 1.0)], "train/learning_rate": [(1, 0.1)]}

    assert set(loss_series(terms)) == {"train/loss/dice", "train/loss/focal"}
    assert set(loss_series({**terms, "train/loss/total": [(1, 2.0)]})) == {"train/loss/total"}
    assert set(validation_series({**terms, "validation/JF": [(1, 5.0)]})) == {"validation/JF"}


def test_nothing_is_drawn_where_nothing_was_logged(tmp_path: Path) -> None:
    assert not draw_curve({"seconds": [(1, 1.0)]}, tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_equal_logs_make_equal_pictures(tmp_path: Path) -> None:
    series = {"loss": [(step, 1 / (step + 1)) for step in range(100)]}

    assert draw_curve(series, tmp_path / "a.png")
    assert draw_curve(series, tmp_path / "b.png")

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
