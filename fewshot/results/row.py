"""A row of the tables of results: who answers, on how many shots, under which control, scored how, for which group."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Self

from episodes.controls import Control
from fewshot.results.metrics import TOLERANCES

NO_GROUP = 0
CONTROLS = (None, *Control)  # in the order of every table: first the rows whose inputs are the right ones


@dataclass(frozen=True)
class Row:
    """Only rows of one group and scoring can be compared. `control` is None where all inputs are the right ones;
    `group` is NO_GROUP for weights that were trained on every class."""

    method: str
    shots: int
    control: Control | None
    scoring: str
    group: int

    def __post_init__(self) -> None:
        if self.control is not None and not isinstance(self.control, Control):
            raise ValueError(f"Row.control must be one of {list(map(str, Control))} or None, found {self.control!r}")
        if self.scoring not in TOLERANCES:
            raise ValueError(f"Row.scoring must be one of {tuple(TOLERANCES)}, found {self.scoring!r}")
        if self.shots < 0:
            raise ValueError(f"Row.shots must be >= 0, found {self.shots}")

    @property
    def table(self) -> tuple[int, str]:
        """Group and scoring: what the rows of one table share."""
        return self.group, self.scoring

    @property
    def cells(self) -> tuple[str, str]:
        """The cells below HEAD, which say which row of a table without controls it is."""
        return self.method, str(self.shots)

    @property
    def label(self) -> str:
        return f"{self.method}, {self.shots}-shot"

    @property
    def whole(self) -> Self:
        """The same row without a control."""
        return replace(self, control=None)


def group_title(group: int) -> str:
    """How titles name a group of novel classes."""
    return "No novel group" if group == NO_GROUP else f"Group {group}"


HEAD = ("method", "shots")
NAMES = tuple(field.name for field in fields(Row))  # in files


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Different rows, as tables list them: groups ascending, `paper` before `davis`, no control first, methods as they
    first occur, shots ascending."""
    different = list(dict.fromkeys(rows))
    methods, scorings = list(dict.fromkeys(row.method for row in different)), list(TOLERANCES)
    return sorted(
        different,
        key=lambda row: (
            *(row.group, scorings.index(row.scoring), CONTROLS.index(row.control)),
            *(methods.index(row.method), row.shots),
        ),
    )
