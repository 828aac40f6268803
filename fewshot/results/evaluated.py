"""An evaluated run as its folder tells it: what comparisons between runs read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from episodes.errors import UserError
from fewshot.results.records import Record, read_records
from fewshot.results.summary import Summary, read_summary


@dataclass(frozen=True)
class EvaluatedRun:
    """`config` is the one that was evaluated, overrides included, in plain values."""

    folder: Path
    summary: Summary
    config: dict[str, Any]
    records: list[Record]

    def rows_of(self, method: str) -> list[tuple[int, str]]:
        """(shots, scoring) of each row of the method without control, in the order of the table."""
        return [(r.shots, r.scoring) for r in self.summary.rows if (r.method, r.control) == (method, None)]


def read_evaluated(folder: Path) -> EvaluatedRun:
    """Raises UserError if the folder holds no complete evaluation."""
    summary = read_summary(folder / "summary.json")
    records = read_records(folder / "records.csv")
    if not records or not summary.rows:
        raise UserError(f"{folder}: its evaluation has no rows; evaluate the run again")
    config = summary.facts.get("config")
    if not isinstance(config, dict):
        raise UserError(
            f"{folder / 'summary.json'} does not say which config was evaluated; evaluate the run again: "
            f"`evaluate {folder}`"
        )
    return EvaluatedRun(folder, summary, config, records)
