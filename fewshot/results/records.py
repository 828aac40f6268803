"""What an evaluation measured: one record for each clip and way of predicting it, adaptation curves, both as CSV.

A record keeps sums over frames, so that scores can be pooled by frame (`paper`) and by sequence (`davis`).
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.metrics import Scores
from fewshot.results.row import NAMES, Row, in_order

Parsed = TypeVar("Parsed")
Value = TypeVar("Value")
Key = TypeVar("Key")


@dataclass(frozen=True, order=True)
class Item:
    """What was asked, whoever answered: methods are compared on equal items of one group."""

    seed: int
    category: str
    video: str
    object_id: str
    expression: str


@dataclass(frozen=True)
class Record:
    """Scores of one predicted clip. J_sum and F_sum add up its `frames`, each in [0, 1], J_visible_sum and
    F_visible_sum those `visible` frames in which the object has a pixel; seconds is wall time, the clip's share of
    adaptation included; right says whether the answer shares more with its object than with any other annotated one,
    None where the clip shows no other."""

    row: Row
    item: Item
    frames: int
    J_sum: float
    F_sum: float
    visible: int
    J_visible_sum: float
    F_visible_sum: float
    seconds: float
    right: bool | None = None

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"Record needs frames >= 1, found {self.frames}")
        if not 1 <= self.visible <= self.frames:
            raise ValueError(f"Record.visible must lie in [1, {self.frames}] (its frames), found {self.visible}")
        for name in ("J_sum", "F_sum", "J_visible_sum", "F_visible_sum"):
            most = self.visible if "visible" in name else self.frames
            if not -1e-9 <= (value := getattr(self, name)) <= most + 1e-9:  # also catches NaN
                raise ValueError(f"Record.{name} must lie in [0, {most}] (its frames), found {value} in {self.item}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0.0):
            raise ValueError(f"Record.seconds must be finite and not negative, found {self.seconds}")

    @classmethod
    def of_clip(
        cls,
        row: Row,
        item: Item,
        region: Scores,
        boundary: Scores,
        visible: NDArray[np.bool_] | None = None,
        *,
        seconds: float,
    ) -> Self:
        """The record of one clip from its (T,) region similarities and boundary measures.

        visible (T,): frames in which the object has a pixel, None for all of them.
        """
        visible = np.ones(region.shape, dtype=bool) if visible is None else visible
        if region.ndim != 1 or not region.shape == boundary.shape == visible.shape:
            shapes = f"{region.shape}, {boundary.shape} and {visible.shape}"
            raise ValueError(f"J, F and visible must share one shape (T,), found {shapes}")
        return cls(
            *(row, item, len(region), float(region.sum()), float(boundary.sum())),
            *(int(visible.sum()), float(region[visible].sum()), float(boundary[visible].sum()), seconds),
        )

    def where_visible(self) -> Self:
        """The same of those frames alone in which the object has a pixel."""
        return replace(self, frames=self.visible, J_sum=self.J_visible_sum, F_sum=self.F_visible_sum)

    @property
    def J(self) -> float:  # noqa: N802, the measure's name
        return self.J_sum / self.frames

    @property
    def F(self) -> float:  # noqa: N802
        return self.F_sum / self.frames


class CurvePoint(NamedTuple):
    """One predicted clip, scored as `paper`, and the number of gradient steps on the support before it."""

    steps: int
    record: Record


def grouped(values: Iterable[Value], key: Callable[[Value], Key]) -> dict[Key, list[Value]]:
    """The values of each key, keys as they first occur."""
    parts: dict[Key, list[Value]] = {}
    for value in values:
        parts.setdefault(key(value), []).append(value)
    return parts


def split(records: Iterable[Record]) -> dict[Row, list[Record]]:
    """The records of each row, rows in the order of tables."""
    parts = grouped(records, lambda record: record.row)
    return {row: parts[row] for row in in_order(parts)}


def by_steps(points: Iterable[CurvePoint]) -> dict[tuple[Row, int], list[Record]]:
    """The records of each row after each number of steps."""
    parts = grouped(points, lambda point: (point.record.row, point.steps))
    return {key: [point.record for point in part] for key, part in parts.items()}


# --------------------------------------------------------------------------- as CSV

_COLUMNS = (
    *(*NAMES, "seed", "class", "video", "object", "expression"),
    *("frames", "J", "F", "J_sum", "F_sum", "visible", "J_visible_sum", "F_visible_sum", "seconds"),
)
_RIGHT = "right"  # a column that files of earlier versions lack


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """A line of CSV for each row, below a head; None is an empty cell."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(rows)
    return text.getvalue()


def records_text(records: Iterable[Record]) -> str:
    """The records as CSV."""
    return csv_text((*_COLUMNS, _RIGHT), map(_cells, records))


def curve_text(points: Iterable[CurvePoint]) -> str:
    """The points as CSV: the columns of records after the number of steps."""
    return csv_text(("steps", *_COLUMNS, _RIGHT), ((steps, *_cells(record)) for steps, record in points))


def _cells(record: Record) -> tuple[str | float | None, ...]:
    """The cells of _COLUMNS, and of _RIGHT (0, 1, or empty for None). The means J and F are for people; of the sums and
    seconds, CSV keeps every bit."""
    return (
        *(*astuple(record.row), *astuple(record.item)),
        *(record.frames, f"{record.J:.6f}", f"{record.F:.6f}", record.J_sum, record.F_sum),
        *(record.visible, record.J_visible_sum, record.F_visible_sum, record.seconds),
        None if record.right is None else int(record.right),
    )


def parse_records(text: str, path: Path) -> list[Record]:
    """The records of `text`, the content of `path`, in its order. UserError names file, line and value."""
    return _parse(text, path, _COLUMNS, _record)


def parse_curve(text: str, path: Path) -> list[CurvePoint]:
    """The points of `text`, as `parse_records` does."""
    return _parse(text, path, ("steps", *_COLUMNS), lambda line: CurvePoint(int(line["steps"]), _record(line)))


def _parse(text: str, path: Path, columns: Sequence[str], parse: Callable[[Mapping[str, str]], Parsed]) -> list[Parsed]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in columns if name not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again to rewrite it")
    parsed = []
    for number, row in enumerate(rows, start=2):
        try:
            parsed.append(parse(row))
        except (TypeError, ValueError) as error:  # a cell that is absent (None) or not a number, or a rejected value
            raise UserError(f"{path}, line {number}: {error}; evaluate the run again to rewrite the file") from error
    return parsed


def _record(line: Mapping[str, str]) -> Record:
    """ValueError or TypeError where a cell is absent or rejected."""
    control = Control(line["control"]) if line["control"] else None
    row = Row(line["method"], int(line["shots"]), control, line["scoring"], int(line["group"]))
    item = Item(int(line["seed"]), *(line[name] for name in ("class", "video", "object", "expression")))
    sums = {name: float(line[name]) for name in ("J_sum", "F_sum", "J_visible_sum", "F_visible_sum", "seconds")}
    right = {"": None, "0": False, "1": True}
    if (cell := line.get(_RIGHT, "")) not in right:
        raise ValueError(f"{_RIGHT} must be 0, 1 or empty, found {cell!r}")
    return Record(row, item, frames=int(line["frames"]), visible=int(line["visible"]), **sums, right=right[cell])
