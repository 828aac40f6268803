"""What an evaluation measured: one record for each clip and way of predicting it, and their lines as CSV.

A record keeps sums over frames, so that scores can be pooled by frame (`paper`) and by sequence (`davis`).
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.metrics import TOLERANCES, Scores

Parsed = TypeVar("Parsed")

CONTROLS = (None, *Control)  # in the order of every table: first the rows whose inputs are the right ones


class Item(NamedTuple):
    """What was asked, whoever answered: methods are compared on equal items."""

    group: int
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

    method: str
    shots: int
    control: Control | None
    scoring: str
    group: int
    seed: int
    category: str
    video: str
    object_id: str
    expression: str
    frames: int
    J_sum: float
    F_sum: float
    visible: int
    J_visible_sum: float
    F_visible_sum: float
    seconds: float

    def __post_init__(self) -> None:
        if self.control is not None and not isinstance(self.control, Control):
            raise ValueError(f"Record.control must be one of {list(map(str, Control))} or None, found {self.control!r}")
        if self.scoring not in TOLERANCES:
            raise ValueError(f"Record.scoring must be one of {tuple(TOLERANCES)}, found {self.scoring!r}")
        if self.frames < 1 or self.shots < 0:
            raise ValueError(f"Record needs frames >= 1 and shots >= 0, found {self.frames} and {self.shots}")
        if not 1 <= self.visible <= self.frames:
            raise ValueError(f"Record.visible must lie in [1, {self.frames}] (its frames), found {self.visible}")
        sums = {
            "J_sum": self.frames,
            "F_sum": self.frames,
            "J_visible_sum": self.visible,
            "F_visible_sum": self.visible,
        }
        for name, most in sums.items():
            if not -1e-9 <= (value := getattr(self, name)) <= most + 1e-9:  # also catches NaN
                raise ValueError(f"Record.{name} must lie in [0, {most}] (its frames), found {value} in {self.item}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0.0):
            raise ValueError(f"Record.seconds must be finite and not negative, found {self.seconds}")

    @classmethod
    def of_clip(
        cls,
        item: Item,
        region: Scores,
        boundary: Scores,
        visible: NDArray[np.bool_] | None = None,
        *,
        method: str,
        shots: int,
        control: Control | None,
        scoring: str,
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
            *(method, shots, control, scoring, *item, len(region), float(region.sum()), float(boundary.sum())),
            *(int(visible.sum()), float(region[visible].sum()), float(boundary[visible].sum()), seconds),
        )

    def where_visible(self) -> Self:
        """The same of those frames alone in which the object has a pixel."""
        return replace(self, frames=self.visible, J_sum=self.J_visible_sum, F_sum=self.F_visible_sum)

    @property
    def item(self) -> Item:
        return Item(self.group, self.seed, self.category, self.video, self.object_id, self.expression)

    @property
    def J(self) -> float:  # noqa: N802, the measure's name
        return self.J_sum / self.frames

    @property
    def F(self) -> float:  # noqa: N802
        return self.F_sum / self.frames


COLUMNS = (
    *("method", "shots", "control", "scoring", "group", "seed", "class", "video", "object", "expression"),
    *("frames", "J", "F", "J_sum", "F_sum", "visible", "J_visible_sum", "F_visible_sum", "seconds"),
)


def record_cells(r: Record) -> tuple[str | int, ...]:
    """The cells of COLUMNS; every bit of the sums and seconds is kept."""
    return (
        *(r.method, r.shots, r.control or "", r.scoring, r.group, r.seed),
        *(r.category, r.video, r.object_id, r.expression),
        # repr keeps every bit; the means J and F are for people.
        *(r.frames, f"{r.J:.6f}", f"{r.F:.6f}", repr(r.J_sum), repr(r.F_sum)),
        *(r.visible, repr(r.J_visible_sum), repr(r.F_visible_sum), repr(r.seconds)),
    )


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """A line of CSV for each row, below a head."""
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


def parse_record(row: Mapping[str, str]) -> Record:
    """The record of a line by its columns. ValueError or TypeError where a cell is absent or refused."""
    whole = {name: int(row[name]) for name in ("shots", "group", "seed", "frames", "visible")}
    sums = {name: float(row[name]) for name in ("J_sum", "F_sum", "J_visible_sum", "F_visible_sum", "seconds")}
    words = {name: row[name] for name in ("method", "scoring", "video", "expression")}
    control = Control(row["control"]) if row["control"] else None
    return Record(control=control, category=row["class"], object_id=row["object"], **words, **whole, **sums)  # type: ignore[arg-type]
