"""What an evaluation measured: one record for each clip and way of predicting it, and their lines as CSV.

A record keeps sums over frames, so that scores can be pooled by frame (`paper`) and by sequence (`davis`).
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.metrics import Scores
from fewshot.results.row import NAMES, Row, in_order

Parsed = TypeVar("Parsed")


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
    adaptation included."""

    row: Row
    item: Item
    frames: int
    J_sum: float
    F_sum: float
    visible: int
    J_visible_sum: float
    F_visible_sum: float
    seconds: float

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


def split(records: Iterable[Record]) -> dict[Row, list[Record]]:
    """The records of each row, rows in the order of tables."""
    parts: dict[Row, list[Record]] = {}
    for record in records:
        parts.setdefault(record.row, []).append(record)
    return {row: parts[row] for row in in_order(parts)}


COLUMNS = (
    *(*NAMES, "seed", "class", "video", "object", "expression"),
    *("frames", "J", "F", "J_sum", "F_sum", "visible", "J_visible_sum", "F_visible_sum", "seconds"),
)


def record_cells(record: Record) -> tuple[str | float | None, ...]:
    """The cells of COLUMNS. The means J and F are for people; of the sums and seconds, CSV keeps every bit."""
    return (
        *(*astuple(record.row), *astuple(record.item)),
        *(record.frames, f"{record.J:.6f}", f"{record.F:.6f}", record.J_sum, record.F_sum),
        *(record.visible, record.J_visible_sum, record.F_visible_sum, record.seconds),
    )


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """A line of CSV for each row, below a head; None is an empty cell."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(rows)
    return text.getvalue()


def parse_csv(
    text: str, path: Path, columns: Sequence[str], parse: Callable[[Mapping[str, str]], Parsed]
) -> list[Parsed]:
    """What `parse` makes of each line of `text`, the content of `path`. UserError names file, line and value."""
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


def records_text(records: Iterable[Record]) -> str:
    """The records as CSV."""
    return csv_text(COLUMNS, map(record_cells, records))


def parse_records(text: str, path: Path) -> list[Record]:
    """The records of `text`, the content of `path`, in its order; UserError as `parse_csv` raises it."""
    return parse_csv(text, path, COLUMNS, parse_record)


def parse_record(line: Mapping[str, str]) -> Record:
    """The record of a line by its columns. ValueError or TypeError where a cell is absent or refused."""
    control = Control(line["control"]) if line["control"] else None
    row = Row(line["method"], int(line["shots"]), control, line["scoring"], int(line["group"]))
    item = Item(int(line["seed"]), *(line[name] for name in ("class", "video", "object", "expression")))
    frames, visible = int(line["frames"]), int(line["visible"])
    j, f, j_visible, f_visible, seconds = (
        float(line[name]) for name in ("J_sum", "F_sum", "J_visible_sum", "F_visible_sum", "seconds")
    )
    return Record(row, item, frames, j, f, visible, j_visible, f_visible, seconds)
