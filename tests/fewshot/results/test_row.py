"""A row knows its place in a table, its cells and its label."""

from dataclasses import replace

from episodes.controls import Control
from fewshot.results.row import HEAD, NAMES, Row, in_order

ROW = Row("cma", 5, None, "paper", 1)


def test_a_row_has_a_cell_below_each_head_and_a_label() -> None:
    assert dict(zip(HEAD, ROW.cells, strict=True)) == {"method": "cma", "shots": "5"}
    assert ROW.label == "cma, 5-shot"
    assert ROW.table == (1, "paper")
    assert NAMES == ("method", "shots", "control", "scoring", "group")


def test_a_row_with_a_control_leads_to_the_same_row_without() -> None:
    assert replace(ROW, control=Control.NO_MASK).whole == ROW == ROW.whole


def test_rows_are_listed_by_group_scoring_control_method_and_shots() -> None:
    listed = [
        *(replace(ROW, method="prototype", shots=1), replace(ROW, method="prototype"), replace(ROW, shots=1), ROW),
        *(replace(ROW, control=control) for control in Control),
        replace(ROW, scoring="davis"),
        *(replace(ROW, group=2), replace(ROW, group=2, scoring="davis")),
    ]
    mixed = [listed[1], *listed[:0:-1], listed[0]]  # the first method that occurs stays the first; one row twice

    assert in_order(mixed) == listed
