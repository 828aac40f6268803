"""The summary of an evaluation: the scores of each row of its table, in points (0-100)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.records import Record, split
from fewshot.results.row import NAMES, Row
from fewshot.results.statistics import CONFIDENCE, RESAMPLES, Estimate, estimate, means_by

SCORES = (
    "seeds",
    "J",
    "F",
    "JF",
    "JF_low",
    "JF_high",
    "J_visible",
    "F_visible",
    "absent",
    "seconds",
    "right",
)  # in the file


@dataclass(frozen=True)
class RowScores(Estimate):
    """`seeds` is the number of support seeds, `seconds` the wall time of all the row's clips, adaptation included.

    J, F and JF are means over all frames. A frame without the object counts 1 for an empty answer, so `absent` says
    which percentage of the frames that is, and J_visible and F_visible are the means over the other frames alone.
    right is the percentage of the answers that share more with their object than with any other annotated one, among
    the clips that show another; None where no clip does.
    """

    seeds: int
    J_visible: float
    F_visible: float
    absent: float
    seconds: float
    right: float | None = None


@dataclass(frozen=True)
class Summary:
    """The scores of rows, and facts that hold for all of them (`manifest`: the task list's hash, ...)."""

    rows: Mapping[Row, RowScores]
    facts: Mapping[str, Any]


def summarise(records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = 0, **facts: Any) -> Summary:
    """The scores of each row of the records, in the order of tables. `facts` become top-level keys (`manifest`, ...),
    so JSON must be able to hold them.

    Raises ValueError if an item occurs twice in one row.
    """
    rows = {}
    for row, answers in split(records).items():
        j_visible, f_visible, absent = visible_scores(answers)
        rows[row] = RowScores(
            **asdict(estimate(answers, resamples=resamples, seed=seed)),
            seeds=len({record.item.seed for record in answers}),
            J_visible=j_visible,
            F_visible=f_visible,
            absent=absent,
            seconds=sum(record.seconds for record in answers),
            right=right_share(answers),
        )
    interval = (
        f"{CONFIDENCE:.0%} percentile interval of J&F from {resamples} bootstrap resamples: classes are drawn, then "
        "videos in each drawn class; all sentences, objects and support seeds of a video stay together"
    )
    return Summary(rows, {"interval": interval, "resamples": resamples, **facts})


def visible_scores(records: Sequence[Record]) -> tuple[float, float, float]:
    """J and F over the frames with the object alone, and the percentage of the frames without it."""
    ((j, f),) = means_by([record.where_visible() for record in records], lambda _: "all").values()
    frames, visible = (sum(getattr(record, name) for record in records) for name in ("frames", "visible"))
    return j, f, 100 * (1 - visible / frames)


def right_share(records: Sequence[Record]) -> float | None:
    """Percentage of the answers that are about the right object, of those that could be about another; None without."""
    answers = [record.right for record in records if record.right is not None]
    return 100 * sum(answers) / len(answers) if answers else None


def summary_text(summary: Summary) -> str:
    """The summary as JSON: `rows`, and each fact as a key beside them."""
    rows = [{**asdict(row), **{name: getattr(scores, name) for name in SCORES}} for row, scores in summary.rows.items()]
    return json.dumps({"rows": rows, **summary.facts}, indent=1, allow_nan=False) + "\n"


def parse_summary(content: bytes, path: Path) -> Summary:
    """The summary that `path` holds. UserError if its content is not JSON, or its rows lack a key."""
    try:
        facts = json.loads(content)
        rows = {}
        for cells in facts.pop("rows"):
            row = {name: cells[name] for name in NAMES}
            scores = {name: cells[name] for name in SCORES if name != "right"}
            scores["right"] = cells.get("right")  # summaries of earlier versions lack it
            del scores["JF"]  # follows from J and F
            rows[Row(**{**row, "control": row["control"] and Control(row["control"])})] = RowScores(**scores)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); evaluate the run again") from error
    return Summary(rows, facts)
