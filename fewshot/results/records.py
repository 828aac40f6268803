"""What an evaluation measured: one record for each clip and way of predicting it, and their lines as CSV.

A record keeps sums over frames, so that scores can be pooled by frame (`paper`) and by sequence (`davis`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from episodes.errors import UserError
from fewshot.results.metrics import TOLERANCES, Scores

# What was taken away from a method, or replaced, before it predicted; None where nothing was.
CONTROLS = (None, "support_wrong_class", "support_none", "text_wrong_object")


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
    """Scores of one predicted clip. J_sum and F_sum add up its frames, each in [0, 1]; seconds is wall time, the
    clip's share of adaptation included."""

    method: str
    shots: int
    control: str | None
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
    seconds: float

    def __post_init__(self) -> None:
        if self.control not in CONTROLS:
            raise ValueError(f"Record.control must be one of {CONTROLS}, found {self.control!r}")
        if self.scoring not in TOLERANCES:
            raise ValueError(f"Record.scoring must be one of {tuple(TOLERANCES)}, found {self.scoring!r}")
        if self.frames < 1 or self.shots < 0:
            raise ValueError(f"Record needs frames >= 1 and shots >= 0, found {self.frames} and {self.shots}")
        for name, value, most in (("J_sum", self.J_sum, self.frames), ("F_sum", self.F_sum, self.frames)):
            if not -1e-9 <= value <= most + 1e-9:  # also catches NaN
                raise ValueError(f"Record.{name} must lie in [0, {most}] (its frames), found {value} in {self.item}")
        if not (math.isfinite(self.seconds) and self.seconds >= 0.0):
            raise ValueError(f"Record.seconds must be finite and not negative, found {self.seconds}")

    @classmethod
    def of_clip(
        cls,
        item: Item,
        region: Scores,
        boundary: Scores,
        *,
        method: str,
        shots: int,
        control: str | None,
        scoring: str,
        seconds: float,
    ) -> Record:
        """The record of one clip from its (T,) region similarities and boundary measures."""
        if region.ndim != 1 or region.shape != boundary.shape:
            raise ValueError(f"J and F must share one shape (T,), found {region.shape} and {boundary.shape}")
        return cls(
            method, shots, control, scoring, *item, len(region), float(region.sum()), float(boundary.sum()), seconds
        )

    @property
    def item(self) -> Item:
        return Item(self.group, self.seed, self.category, self.video, self.object_id, self.expression)

    @property
    def J(self) -> float:  # noqa: N802, the measure's name
        return self.J_sum / self.frames

    @property
    def F(self) -> float:  # noqa: N802
        return self.F_sum / self.frames


_COLUMNS = (
    *("method", "shots", "control", "scoring", "group", "seed", "class", "video", "object", "expression"),
    *("frames", "J", "F", "J_sum", "F_sum", "seconds"),
)


def records_text(records: Iterable[Record]) -> str:
    """A line of CSV for each record, below a head; every bit of the sums and seconds is kept."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for r in records:
        rows.writerow(
            (
                *(r.method, r.shots, r.control or "", r.scoring),
                *(r.group, r.seed, r.category, r.video, r.object_id, r.expression),
                # repr keeps every bit; the means J and F are for people.
                *(r.frames, f"{r.J:.6f}", f"{r.F:.6f}", repr(r.J_sum), repr(r.F_sum), repr(r.seconds)),
            )
        )
    return text.getvalue()


def parse_records(text: str, path: Path) -> list[Record]:
    """The records of `text`, the content of `path`, in its order. UserError names the file, the line and the value."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again to rewrite it")
    return [_parse(row, f"{path}, line {number}") for number, row in enumerate(rows, start=2)]


def _parse(row: dict[str, str], where: str) -> Record:
    try:
        return Record(
            method=row["method"],
            shots=int(row["shots"]),
            control=row["control"] or None,
            scoring=row["scoring"],
            group=int(row["group"]),
            seed=int(row["seed"]),
            category=row["class"],
            video=row["video"],
            object_id=row["object"],
            expression=row["expression"],
            frames=int(row["frames"]),
            J_sum=float(row["J_sum"]),
            F_sum=float(row["F_sum"]),
            seconds=float(row["seconds"]),
        )
    except (TypeError, ValueError) as error:  # a cell that is absent (None) or not a number, or a rejected value
        raise UserError(f"{where}: {error}; evaluate the run again to rewrite the file") from error
