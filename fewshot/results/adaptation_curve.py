"""adaptation_curve.csv of a run folder: what the queries scored after each number of gradient steps on the support."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from episodes.errors import UserError
from episodes.files import write_whole
from fewshot.results.records import Record

CURVE = "adaptation_curve.csv"
_COLUMNS = ("method", "shots", "steps", "seed", "class", "video", "expression", "frames", "J_sum", "F_sum")
Curve = tuple[str, int, int]  # method, shots, steps


class CurvePoint(NamedTuple):
    """One predicted clip, scored as `paper`, and the number of gradient steps before it."""

    steps: int
    record: Record


def write_curve(path: Path, points: Iterable[CurvePoint]) -> None:
    """Write the file whole: a reader sees the old one or the new one, never a part."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for steps, r in points:
        shown = (r.method, r.shots, steps, r.seed, r.category, r.video, r.expression, r.frames)
        rows.writerow((*shown, repr(r.J_sum), repr(r.F_sum)))
    write_whole(path, text.getvalue().encode())


def read_curve(path: Path, group: int) -> dict[Curve, list[Record]]:
    """The file's lines as records of (method, shots, steps). Raises UserError naming the line and the value."""
    parts: dict[Curve, list[Record]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again to rewrite it")
        for number, row in enumerate(rows, start=2):
            try:
                record = Record(
                    method=row["method"],
                    shots=int(row["shots"]),
                    control=None,
                    scoring="paper",
                    group=group,
                    seed=int(row["seed"]),
                    category=row["class"],
                    video=row["video"],
                    object_id="",  # an expression belongs to one object, so the expression tells items apart
                    expression=row["expression"],
                    frames=int(row["frames"]),
                    J_sum=float(row["J_sum"]),
                    F_sum=float(row["F_sum"]),
                    seconds=0.0,
                )
                parts.setdefault((record.method, record.shots, int(row["steps"])), []).append(record)
            except (TypeError, ValueError) as error:
                raise UserError(f"{path}, line {number}: {error}; evaluate the run again to rewrite it") from error
    return parts
