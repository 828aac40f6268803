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
_TAIL_BYTES = 1 << 16  # some hundreds of lines, enough to hold the last validation


def append_metrics(path: Path, step: int, kind: str, values: Mapping[str, float]) -> None:
    """One line, in the file at once."""
    row = {"step": step, "kind": kind, **{name: float(value) for name, value in values.items()}}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def cut_metrics(path: Path, step: int) -> None:
    """Keep the lines of the first `step` steps; a line without its end was being written when the run was killed."""
    if path.is_file():
        rows = _rows(path, _lines(path.read_bytes()))
        write_whole(path, "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step).encode())


def read_series(path: Path) -> Series:
    """Every number that was logged, named by its line's kind, as in `train/loss`; empty without a file.

    Where a resumed run logged a step again, the later value counts. Damaged lines are left out with a warning.
    """
    points: dict[str, dict[int, float]] = {}
    for row in _rows(path, _lines(path.read_bytes()) if path.is_file() else []):
        kind = f"{row['kind']}/" if "kind" in row else ""
        for name, value in _numbers(row):
            points.setdefault(f"{kind}{name}", {})[row["step"]] = value
    return {name: sorted(values.items()) for name, values in points.items()}


def last_metrics(path: Path) -> tuple[int, float | None]:
    """(last step, J&F in points of the last validation) from the end of the file; (0, None) before there is one."""
    if not path.is_file():
        return 0, None
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL_BYTES))
        lines = _lines(stream.read())
    step, score = 0, None
    for row in _rows(path, lines[1:] if size > _TAIL_BYTES else lines):
        step = row["step"]
        score = row.get("JF", score) if row.get("kind") == "validation" else score
    return step, score


def _lines(content: bytes) -> list[str]:
    """Whole lines: one without its end is being written, or was when the run was killed."""
    return content.decode(errors="replace").split("\n")[:-1]


def _rows(path: Path, lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row
        elif line.strip():
            log.warning("%s: left out a line that is not a JSON object with a step: %s", path, shown(line))


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)
