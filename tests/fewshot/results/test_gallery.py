"""Which queries are drawn, and the index of the pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from episodes.errors import UserError
from episodes.evaluation_tasks import EvaluationTask
from episodes.types import ClipRef
from fewshot.results.gallery import DrawnQuery, asked, index_text, parse_index, pick_queries
from fewshot.results.records import Item, Record
from fewshot.results.row import Row

TASKS = [
    EvaluationTask(name, seed, (), tuple(ClipRef(f"{name}{n}", "1", "0", ("f",)) for n in range(3)))
    for seed in (0, 1)
    for name in ("anchor", "crown")
]
ROW = Row("cma", 1, None, "paper", 1)
DRAWN = DrawnQuery(Path("a.png"), "best", ROW, Item(0, "anchor", "anchor1", "1", "0"), "the sentence", 80.0, 90.0)


def records(scores):
    """A record of each query of TASKS in order, with these J (and equal F)."""
    queries = [(task, query) for task in TASKS for query in task.queries]
    return [
        Record.of_clip(ROW, asked(task, query), *[np.array([score])] * 2, seconds=0.0)
        for (task, query), score in zip(queries, scores, strict=True)
    ]


def shown(picks):
    return [(pick.choice, pick.task.seed, pick.query.video) for pick in picks]


def test_median_worst_and_best_come_first_then_the_tasks_in_order():
    scores = [0.5, 0.9, 0.1, 0.4, 0.3, 0.6, 0.55, 0.45, 0.52, 0.2, 0.8, 0.7]

    picks = pick_queries(TASKS, records(scores), 6)

    assert shown(picks) == [
        *(("median", 1, "anchor2"), ("worst", 0, "anchor2"), ("best", 0, "anchor1")),
        *(("in order", 0, "anchor0"), ("in order", 0, "crown0"), ("in order", 1, "anchor1")),
    ]
    assert all(pick.query in pick.task.queries for pick in picks)


def test_no_query_is_drawn_twice_and_none_beyond_the_count():
    scores = [0.0, *[0.5] * 10, 1.0]

    assert len({(p.task.seed, p.query) for p in pick_queries(TASKS, records(scores), 99)}) == len(
        pick_queries(TASKS, records(scores), 99)
    )
    assert [choice for choice, *_ in shown(pick_queries(TASKS, records(scores), 1))] == ["median"]
    assert pick_queries(TASKS, records(scores), 0) == []


def test_without_records_the_tasks_are_drawn_in_order():
    assert {choice for choice, *_ in shown(pick_queries(TASKS, [], 99))} == {"in order"}
    assert pick_queries([replace(TASKS[0], queries=())], [], 9) == []


def test_the_index_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "a.png").touch()
    drawn = [replace(DRAWN, picture=tmp_path / "a.png")]

    assert parse_index(index_text(drawn), tmp_path / "index.json", group=1) == drawn


@pytest.mark.parametrize("text", ["{", '[{"picture": "a.png"}]', "[3]", index_text([DRAWN]).replace('"a.png"', "3")])
def test_a_damaged_index_is_named(tmp_path, text):
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        parse_index(text, tmp_path / "index.json", group=1)


def test_an_index_names_only_pictures_beside_it(tmp_path):
    (tmp_path / "overlays").mkdir()
    (tmp_path / "secret.png").touch()
    text = index_text([DRAWN]).replace("a.png", "../secret.png")

    with pytest.raises(UserError, match=r"'\.\./secret\.png', which is not a picture in its folder"):
        parse_index(text, tmp_path / "overlays" / "index.json", group=1)
