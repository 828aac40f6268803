"""An evaluated run: what comparisons, tables and reports are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from episodes.task_file import TaskFile
from fewshot.results.gallery import DrawnQuery
from fewshot.results.records import CurvePoint, Record, split
from fewshot.results.row import NO_GROUP, Row
from fewshot.results.summary import Summary
from fewshot.results.training_curve import Series


@dataclass(frozen=True)
class EvaluatedRun:
    """A complete evaluation of a run, and what is known of its training.

    folder: of the run, for messages; label: what tables call the run; config: the one that was evaluated, overrides
    included, in plain values; curve: empty where no adaptation curve was asked for; start: the last start of the
    training by dotted keys, empty where it is not known; series: metrics of the training; training_curve: their
    picture, None where no loss was logged.
    """

    folder: Path
    label: str
    config: Mapping[str, Any]
    summary: Summary
    records: tuple[Record, ...]
    tasks: TaskFile
    curve: tuple[CurvePoint, ...]
    drawn: tuple[DrawnQuery, ...]
    start: Mapping[str, Any]
    series: Series
    training_curve: Path | None = None

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config["seed"])

    @property
    def group(self) -> int:
        """Group of novel classes, or NO_GROUP."""
        return int(self.config["data"]["group"] or NO_GROUP)

    @property
    def unadapted(self) -> str:
        """What the tables call the model as it was trained, without adaptation."""
        return str(self.config["evaluate"]["label"])

    @cached_property
    def rows(self) -> dict[Row, list[Record]]:
        """The records of each row, rows in the order of tables."""
        return split(self.records)
