"""The summary of an evaluation: one row for each method, shots, control, scoring and group, in points (0-100)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.records import CONTROLS, Record
from fewshot.results.statistics import CONFIDENCE, RESAMPLES, estimate, means_by


@dataclass(frozen=True)
class SummaryRow:
    """`seeds` is the number of support seeds, `seconds` the wall time of all the row's clips, adaptation included.

    J, F and JF are means over all frames. A frame without the object counts 1 for an empty answer, so `absent` says
    which percentage of the frames that is, and J_visible and F_visible are the means over the other frames alone.
    """

    method: str
    shots: int
    control: Control | None
    scoring: str
    group: int
    seeds: int
    J: float
    F: float
    JF: float
    JF_low: float
    JF_high: float
    J_visible: float
    F_visible: float
    absent: float
    seconds: float


@dataclass(frozen=True)
class Summary:
    """Rows, and facts that hold for all of them (`manifest`: the support list's hash, ...)."""

    rows: tuple[SummaryRow, ...]
    facts: Mapping[str, Any]


Key = tuple[str, int, Control | None, str, int]  # method, shots, control, scoring, group


def split(records: Sequence[Record]) -> dict[Key, list[Record]]:
    """The records of each row, by (method, shots, control, scoring, group)."""
    parts: dict[Key, list[Record]] = {}
    for r in records:
        parts.setdefault((r.method, r.shots, r.control, r.scoring, r.group), []).append(r)
    return parts


def summarise(records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = 0, **facts: Any) -> Summary:
    """One row for each part of the records, ordered: `paper` before `davis`, no control first, methods as they first
    occur, shots ascending. `facts` become top-level keys (`manifest`, ...), so JSON must be able to hold them.

    Raises ValueError if an item occurs twice in one row.
    """
    parts = split(records)
    methods = list(dict.fromkeys(record.method for record in records))
    keys = sorted(parts, key=lambda k: (k[4], k[3] != "paper", CONTROLS.index(k[2]), methods.index(k[0]), k[1]))
    rows = tuple(_row(key, parts[key], resamples, seed) for key in keys)
    interval = (
        f"{CONFIDENCE:.0%} percentile interval of J&F from {resamples} bootstrap resamples: classes are drawn, then "
        "videos in each drawn class; all sentences, objects and support seeds of a video stay together"
    )
    return Summary(rows, {"interval": interval, "resamples": resamples, **facts})


def _row(key: Key, records: Sequence[Record], resamples: int, seed: int) -> SummaryRow:
    method, shots, control, scoring, group = key
    found = estimate(records, resamples=resamples, seed=seed)
    j_visible, f_visible, absent = visible_scores(records)
    return SummaryRow(
        method=method,
        shots=shots,
        control=control,
        scoring=scoring,
        group=group,
        seeds=len({record.seed for record in records}),
        J=found.J,
        F=found.F,
        JF=found.JF,
        JF_low=found.JF_low,
        JF_high=found.JF_high,
        J_visible=j_visible,
        F_visible=f_visible,
        absent=absent,
        seconds=sum(record.seconds for record in records),
    )


def visible_scores(records: Sequence[Record]) -> tuple[float, float, float]:
    """J and F over the frames with the object alone, and the percentage of the frames without it."""
    ((j, f),) = means_by([record.where_visible() for record in records], lambda _: "all").values()
    frames, visible = (sum(getattr(record, name) for record in records) for name in ("frames", "visible"))
    return j, f, 100 * (1 - visible / frames)


def summary_text(summary: Summary) -> str:
    """The summary as JSON: `rows`, and each fact as a key beside them."""
    content = {"rows": [asdict(row) for row in summary.rows], **summary.facts}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def parse_summary(content: bytes, path: Path) -> Summary:
    """The summary that `path` holds. UserError if its content is not JSON, or its rows lack a key."""
    names = [field.name for field in fields(SummaryRow)]
    try:
        facts = json.loads(content)
        cells = [{name: row[name] for name in names} for row in facts.pop("rows")]
        rows = tuple(SummaryRow(**{**row, "control": row["control"] and Control(row["control"])}) for row in cells)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); evaluate the run again") from error
    return Summary(rows, facts)
