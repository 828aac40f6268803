"""A summary has exactly its schema, and its rows stand on their own records."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.records import Item, Record
from fewshot.results.row import Row
from fewshot.results.summary import parse_summary, summarise, summary_text

FILE = Path("summary.json")
KEYS = [
    *("method", "shots", "control", "scoring", "group", "seeds", "J", "F", "JF", "JF_low", "JF_high"),
    *("J_visible", "F_visible", "absent", "seconds", "right"),
]


def _records() -> list[Record]:
    rows = [("prototype", 5, None), ("prototype", 1, None), ("cma", 1, Control.NO_MASK), ("cma", 1, None)]
    records = []
    for scoring in ("davis", "paper"):
        for place, (method, shots, control) in enumerate(rows):
            for seed in range(2):
                for video in range(3):
                    row, item = Row(method, shots, control, scoring, 2), Item(seed, "hat", f"v{video}", "1", "0")
                    region, boundary = np.full(4, place / 10), np.full(4, place / 5)
                    records.append(Record.of_clip(row, item, region, boundary, seconds=0.25))
    return records


def test_rows_have_exactly_the_keys_of_the_schema() -> None:
    content = json.loads(summary_text(summarise(_records(), manifest="ab" * 32)))

    assert all(list(row) == KEYS for row in content["rows"])
    assert content["manifest"] == "ab" * 32
    assert "bootstrap" in content["interval"]


def test_rows_count_seeds_add_seconds_and_are_in_points() -> None:
    scores = summarise(_records()).rows[Row("cma", 1, None, "paper", 2)]

    assert (scores.seeds, scores.seconds) == (2, 1.5)
    assert pytest.approx((30, 60, 45)) == (scores.J, scores.F, scores.JF)


def test_rows_are_ordered_by_scoring_control_method_and_shots() -> None:
    order = [(row.scoring, row.control, row.method, row.shots) for row in summarise(_records()).rows]

    of_one = [(None, "prototype", 1), (None, "prototype", 5), (None, "cma", 1), ("support_none", "cma", 1)]
    assert order == [(scoring, *row) for scoring in ("paper", "davis") for row in of_one]


def test_a_summary_reads_back_equal() -> None:
    summary = summarise(_records(), resamples=50, manifest="ab", training_seconds=3.5)

    assert parse_summary(summary_text(summary).encode(), FILE) == summary


def test_groups_have_rows_of_their_own() -> None:
    records = _records() + [replace(record, row=replace(record.row, group=3)) for record in _records()]

    assert [row.group for row in summarise(records).rows] == [2] * 8 + [3] * 8


def test_no_records_make_no_rows() -> None:
    assert summarise([]).rows == {}


def test_an_item_that_was_recorded_twice_is_rejected() -> None:
    with pytest.raises(ValueError, match="occurs twice"):
        summarise([*_records(), _records()[0]])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": [{"method": "cma"}]}', '{"rows": 3}', "[" * 100_000])
def test_a_damaged_file_is_named(content: str) -> None:
    with pytest.raises(UserError, match=r"summary\.json is damaged .* evaluate the run again"):
        parse_summary(content.encode(), FILE)


@pytest.mark.parametrize("scoring", ["paper", "davis"])
def test_a_summary_says_how_many_frames_lack_the_object_and_what_the_others_score(scoring: str) -> None:
    row = Row("cma", 1, None, scoring, 1)
    region = np.array([1.0, 1.0, 1.0, 0.2])  # an empty answer is right where nothing is to be seen
    records = [
        Record.of_clip(row, Item(0, name, name, "1", "0"), region, region, np.array([0, 0, 0, 1]) > 0, seconds=0.0)
        for name in ("anchor", "crown")
    ]

    (scores,) = summarise(records, resamples=10).rows.values()

    assert (scores.J, scores.absent) == pytest.approx((80.0, 75.0))
    assert (scores.J_visible, scores.F_visible) == pytest.approx((20.0, 20.0))


def test_the_share_of_right_objects_is_that_of_the_answers_that_could_be_about_another() -> None:
    verdicts = [True, True, False, None, None, False]
    records = [replace(r, right=right) for r, right in zip(_records()[:6], verdicts, strict=True)]

    (scores,) = summarise(records, resamples=10).rows.values()

    assert scores.right == 50.0
    assert summarise(_records()[:6]).rows[_records()[0].row].right is None


def test_a_summary_of_an_earlier_version_has_no_share_of_right_objects() -> None:
    content = json.loads(summary_text(summarise(_records())))
    for row in content["rows"]:
        del row["right"]

    assert all(scores.right is None for scores in parse_summary(json.dumps(content).encode(), FILE).rows.values())
