"""metrics.jsonl: one JSON object with `step`, `kind` and numbers on a line, appended while a run trains."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from episodes.files import shown, write_whole
from fewshot.results.training_curve import Series

log = logging.getLogger(__name__)


def append_metrics(path: Path, step: int, kind: str, values: Mapping[str, float]) -> None:
    """One line, in the file at once."""
    row = {"step": step, "kind": kind, **{name: float(value) for name, value in values.items()}}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def cut_metrics(path: Path, step: int) -> None:
    """Keep the lines of the first `step` steps; a line without its end was being written when the run was killed."""
    if path.is_file():
        kept = [json.dumps(row) + "\n" for row in _rows(path) if row["step"] <= step]
        write_whole(path, "".join(kept).encode())


def read_series(path: Path) -> Series:
    """Every number that was logged, named by its line's kind, as in `train/loss`; empty without a file.

    Where a resumed run logged a step again, the later value counts. Damaged lines are left out with a warning.
    """
    points: dict[str, dict[int, float]] = {}
    for row in _rows(path):
        kind = f"{row['kind']}/" if "kind" in row else ""
        for name, value in row.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if number and name != "step":
                points.setdefault(f"{kind}{name}", {})[row["step"]] = float(value)
    return {name: sorted(values.items()) for name, values in points.items()}


def last_metrics(path: Path) -> tuple[int, float | None]:
    """(last step, J&F in points of the last validation); (0, None) before anything was logged."""
    step, score = 0, None
    for row in _rows(path):
        step = row["step"]
        score = row.get("JF", score) if row.get("kind") == "validation" else score
    return step, score


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines: one without its end is being written, or was when the run was killed."""
    text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    for line in text.split("\n")[:-1]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row
        elif line.strip():
            log.warning("%s: left out a line that is not a JSON object with a step: %s", path, shown(line))
