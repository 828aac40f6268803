"""Adaptation curves: what the queries scored after each number of gradient steps on the support, as CSV."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fewshot.results.records import COLUMNS, Record, csv_text, parse_csv, parse_record, record_cells
from fewshot.results.row import Row

_COLUMNS = ("steps", *COLUMNS)


class CurvePoint(NamedTuple):
    """One predicted clip, scored as `paper`, and the number of gradient steps before it."""

    steps: int
    record: Record


def curve_text(points: Iterable[CurvePoint]) -> str:
    """The points as CSV: the columns of records after the number of steps."""
    return csv_text(_COLUMNS, ((steps, *record_cells(record)) for steps, record in points))


def parse_curve(text: str, path: Path) -> list[CurvePoint]:
    """The points of `text`, the content of `path`. UserError names the file, the line and the value."""
    return parse_csv(text, path, _COLUMNS, lambda line: CurvePoint(int(line["steps"]), parse_record(line)))


def by_steps(points: Iterable[CurvePoint]) -> dict[tuple[Row, int], list[Record]]:
    """The records of each row after each number of steps."""
    parts: dict[tuple[Row, int], list[Record]] = {}
    for steps, record in points:
        parts.setdefault((record.row, steps), []).append(record)
    return parts
