"""Which queries an evaluation draws, and the index of the pictures: what each of them shows.

Median, worst and best are those of the records; the others come in the order of the tasks, whatever their score.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from episodes.errors import UserError
from fewshot.results.records import Item, Record

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
    """A query drawn in the file `picture`. J and F in points, at the model's picture size, as for `paper` scoring."""

    picture: Path
    choice: Choice
    method: str
    shots: int
    seed: int
    category: str
    video: str
    object_id: str
    expression: str
    sentence: str
    J: float
    F: float


def pick_queries(tasks: Sequence[EvaluationTask], records: Sequence[Record], count: int) -> list[Pick]:
    """Up to `count` different queries of `tasks`: median, worst and best by J&F of `records` (one row of the table;
    they may be empty), then the first query of one task after another.

    The median comes first, so that a single picture flatters nobody.
    """
    asked = {_key(task, query): (task, query) for task in tasks for query in task.queries}
    picks: dict[tuple[str, ...], Pick] = {}
    for choice, item in _ranked(records):
        key = (str(item.seed), item.category, item.video, item.object_id, item.expression)
        picks.setdefault(key, Pick(*asked[key], choice))
    for task in tasks:
        if task.queries:
            query = task.queries[task.seed % len(task.queries)]
            picks.setdefault(_key(task, query), Pick(task, query, "in order"))
    return list(picks.values())[:count]


def _ranked(records: Iterable[Record]) -> list[tuple[Choice, Item]]:
    found = [record.item for record in sorted(records, key=lambda r: (r.J + r.F, r.item))]
    return [("median", found[len(found) // 2]), ("worst", found[0]), ("best", found[-1])] if found else []


def _key(task: EvaluationTask, query: ClipRef) -> tuple[str, ...]:
    return str(task.seed), task.category, query.video, query.object_id, query.expression_id


def index_text(drawn: Sequence[DrawnQuery]) -> str:
    """The index of drawn queries as JSON; a picture goes by its file's name, since the index lies beside it."""
    return json.dumps([{**asdict(query), "picture": query.picture.name} for query in drawn], indent=1) + "\n"


def parse_index(text: str, path: Path) -> list[DrawnQuery]:
    """The drawn queries of `text`, the content of `path`. UserError if it is damaged, or a picture that it names is
    not a file beside it."""
    names = [field.name for field in fields(DrawnQuery)]
    try:
        entries = [{name: entry[name] for name in names} for entry in json.loads(text)]
        absent = [name for name in (entry["picture"] for entry in entries) if not _is_beside(path, name)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); evaluate the run again") from error
    if absent:
        raise UserError(f"{path} names {absent[0]!r}, which is not a picture in its folder; evaluate the run again")
    return [DrawnQuery(**{**entry, "picture": path.with_name(entry["picture"])}) for entry in entries]


def _is_beside(path: Path, name: str) -> bool:
    return Path(name).name == name and path.with_name(name).is_file()
