"""Adaptation curves: what the queries scored after each number of gradient steps on the support, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from episodes.errors import UserError
from fewshot.results.records import Record

_COLUMNS = ("method", "shots", "steps", "seed", "class", "video", "expression", "frames", "J_sum", "F_sum")
Curve = tuple[str, int, int]  # method, shots, steps


class CurvePoint(NamedTuple):
    """One predicted clip, scored as `paper`, and the number of gradient steps before it."""

    steps: int
    record: Record


def curve_text(points: Iterable[CurvePoint]) -> str:
    """A line of CSV for each point, below a head; every bit of the sums is kept."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for steps, r in points:
        shown = (r.method, r.shots, steps, r.seed, r.category, r.video, r.expression, r.frames)
        rows.writerow((*shown, repr(r.J_sum), repr(r.F_sum)))
    return text.getvalue()


def parse_curve(text: str, path: Path, group: int) -> list[CurvePoint]:
    """The points of `text`, the content of `path`, which says no group. UserError names the file, the line and the
    value."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again to rewrite it")
    points = []
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
                object_id="",  # an expression belongs to one object, so the expression identifies the item
                expression=row["expression"],
                frames=int(row["frames"]),
                J_sum=float(row["J_sum"]),
                F_sum=float(row["F_sum"]),
                seconds=0.0,
            )
            points.append(CurvePoint(int(row["steps"]), record))
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: {error}; evaluate the run again to rewrite it") from error
    return points


def by_steps(points: Iterable[CurvePoint]) -> dict[Curve, list[Record]]:
    """The records of each (method, shots, steps)."""
    parts: dict[Curve, list[Record]] = {}
    for steps, record in points:
        parts.setdefault((record.method, record.shots, steps), []).append(record)
    return parts
