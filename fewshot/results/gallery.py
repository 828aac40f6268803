"""Which queries an evaluation draws, and the index of the pictures: what each of them shows.

Median, worst and best are those of the records; the others come in the order of the tasks, whatever their score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from episodes.errors import UserError
from fewshot.results.records import Item, Record
from fewshot.results.row import Row

if TYPE_CHECKING:  # reports read the index without torch
    from episodes.evaluation_tasks import EvaluationTask
    from episodes.types import ClipRef

Choice = Literal["median", "worst", "best", "in order"]


@dataclass(frozen=True)
class Pick:
    """A query to draw, its task, and why it was taken."""

    task: EvaluationTask
    query: ClipRef
    choice: Choice


@dataclass(frozen=True)
class DrawnQuery:
    """A query drawn in the file `picture`, and the row whose answer it shows. J and F in points, at the model's picture
    size, as for `paper` scoring."""

    picture: Path
    choice: Choice
    row: Row
    item: Item
    sentence: str
    J: float
    F: float


def asked(task: EvaluationTask, query: ClipRef) -> Item:
    """What a query of a task asks."""
    return Item(task.seed, task.category, query.video, query.object_id, query.expression_id)


def pick_queries(tasks: Sequence[EvaluationTask], records: Sequence[Record], count: int) -> list[Pick]:
    """Up to `count` different queries of `tasks`: median, worst and best by J&F of `records` (one row of the table;
    they may be empty), then the first query of one task after another.

    The median comes first, so that a single picture is representative.
    """
    queries = {asked(task, query): (task, query) for task in tasks for query in task.queries}
    ranked = [record.item for record in sorted(records, key=lambda r: (r.J + r.F, r.item))]
    picks: dict[Item, Pick] = {}
    if ranked:
        chosen: list[tuple[Choice, int]] = [("median", len(ranked) // 2), ("worst", 0), ("best", -1)]
        for choice, place in chosen:
            picks.setdefault(ranked[place], Pick(*queries[ranked[place]], choice))
    for task in tasks:
        if task.queries:
            query = task.queries[task.seed % len(task.queries)]
            picks.setdefault(asked(task, query), Pick(task, query, "in order"))
    return list(picks.values())[:count]


def index_text(drawn: Sequence[DrawnQuery]) -> str:
    """The index of drawn queries as JSON; a picture goes by its file's name, since the index lies beside it."""
    entries = [
        {
            **{"picture": query.picture.name, "choice": query.choice},
            **{"method": query.row.method, "shots": query.row.shots, **asdict(query.item)},
            **{"sentence": query.sentence, "J": query.J, "F": query.F},
        }
        for query in drawn
    ]
    return json.dumps(entries, indent=1) + "\n"


def parse_index(text: str, path: Path, group: int) -> list[DrawnQuery]:
    """The drawn queries of `text`, the content of `path`, an evaluation of this group. UserError if it is damaged, or
    a picture that it names is not a file beside it."""
    drawn = []
    try:
        for entry in json.loads(text):
            picture = path.with_name(Path(entry["picture"]).name)
            if picture.name != entry["picture"] or not picture.is_file():
                raise UserError(
                    f"{path} names {entry['picture']!r}, which is not a picture in its folder; evaluate the run again"
                )
            row = Row(entry["method"], entry["shots"], None, "paper", group)
            item = Item(**{field.name: entry[field.name] for field in fields(Item)})
            scores = {name: entry[name] for name in ("sentence", "J", "F")}
            drawn.append(DrawnQuery(picture, entry["choice"], row, item, **scores))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); evaluate the run again") from error
    return drawn
