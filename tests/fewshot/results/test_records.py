"""Records survive their lines of CSV bit by bit, and what cannot be a record is rejected."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.records import Item, Record, parse_records, records_text
from fewshot.results.row import Row

FILE = Path("records.csv")
ITEM = Item(seed=3, category="giant_panda", video='a,"b"', object_id="2", expression="0")


def _record(control: Control | None = None) -> Record:
    region, boundary = np.random.default_rng(0).random((2, 7))
    return Record.of_clip(Row("cma+finetune", 5, control, "paper", 1), ITEM, region, boundary, seconds=1 / 3)


def test_a_record_adds_up_the_frames_of_its_clip() -> None:
    row = Row("cma", 1, None, "davis", 1)
    record = Record.of_clip(row, ITEM, np.array([0.5, 1.0]), np.array([0.0, 0.5]), seconds=0.0)

    assert (record.frames, record.J_sum, record.F_sum, record.J, record.F) == (2, 1.5, 0.5, 0.75, 0.25)
    assert (record.row, record.item) == (row, ITEM)


def test_records_read_back_equal_bit_by_bit_and_in_order() -> None:
    items = replace(ITEM, seed=1, video="späte Übung"), replace(ITEM, seed=2, video="two\nlines\r")
    names = [replace(_record(), item=item) for item in items]
    records = [_record(), _record(Control.NO_MASK), *names]

    assert parse_records(records_text(records), FILE) == records


def test_the_file_names_seed_class_video_and_expression_for_people() -> None:
    head = records_text([_record()]).splitlines()[0].split(",")

    assert {"method", "shots", "control", "scoring", "seed", "class", "video", "expression", "J", "F"} <= set(head)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "frames >= 1"),
        ({"J_sum": float("nan")}, "J_sum must lie in"),
        ({"F_sum": 7.5}, "F_sum must lie in"),
        ({"visible": 0}, "visible must lie in"),
        ({"visible": 8}, "visible must lie in"),
        ({"visible": 2, "J_visible_sum": 2.5}, "J_visible_sum must lie in"),
        ({"seconds": -1.0}, "seconds must be finite"),
    ],
)
def test_a_record_that_cannot_be_is_rejected(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(_record(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": "no_text"}, "control must be one of"),
        ({"scoring": "mine"}, "scoring must be one of"),
        ({"shots": -1}, "shots must be >= 0"),
    ],
)
def test_a_row_that_cannot_be_is_rejected(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(_record().row, **change)  # type: ignore[arg-type]


def test_scores_of_unequal_length_are_rejected() -> None:
    with pytest.raises(ValueError, match="share one shape"):
        Record.of_clip(_record().row, ITEM, np.ones(3), np.ones(2), seconds=0)


def test_a_damaged_line_is_named_with_its_value() -> None:
    text = records_text([_record(), _record(Control.NO_MASK)]).replace("support_none", "support_nine")

    with pytest.raises(UserError, match=r"records\.csv, line 3: .*support_nine.*evaluate the run again"):
        parse_records(text, FILE)


def test_a_text_that_was_cut_and_absent_columns_are_named() -> None:
    with pytest.raises(UserError, match="line 2"):
        parse_records(records_text([_record()])[:-40], FILE)
    with pytest.raises(UserError, match="lacks the columns control, scoring"):
        parse_records("method,shots\n", FILE)


def test_frames_without_the_object_are_counted_apart() -> None:
    region, boundary, visible = np.array([1.0, 0.2, 1.0]), np.array([1.0, 0.4, 1.0]), np.array([0, 1, 0]) > 0
    record = Record.of_clip(_record().row, ITEM, region, boundary, visible, seconds=0.0)

    assert (record.frames, record.visible, record.J_visible_sum, record.F_visible_sum) == (3, 1, 0.2, 0.4)
    assert (record.where_visible().J, record.where_visible().F) == (0.2, 0.4)
    assert parse_records(records_text([record]), FILE) == [record]


def test_whether_the_right_object_was_met_is_kept_and_may_be_absent() -> None:
    records = [replace(_record(), right=right) for right in (True, False, None)]
    text = records_text(records)
    assert parse_records(text, FILE) == records

    earlier = "\n".join(line.rsplit(",", 1)[0] for line in records_text([records[2]]).splitlines())
    assert "right" not in earlier
    assert parse_records(earlier, FILE) == [records[2]]

    with pytest.raises(UserError, match="right must be 0, 1 or empty, found '2'"):
        parse_records(text[: text.rindex("0.3333333333333333")] + "0.3333333333333333,2\n", FILE)
