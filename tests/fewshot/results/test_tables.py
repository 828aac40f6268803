"""Tables print every cell as it is: no number is read, rounded or cut, and no cell is wrapped."""

import re

import pytest

from fewshot.results.tables import markdown_table, text_table
from tests.markdown import markdown_rows

HEAD = ("method", "J&F", "95 % interval", "code")
BODY = (
    ("cma", "70.0", "[-0.50, +12.10]", "007"),
    ("a method with a long name " * 8, "-", "[3.6, 23.3]", "1e5"),
    ("100.10", "5.25", "-", "0x1F"),
)


def cells(table):
    if table.startswith("|"):
        head, _, *body = markdown_rows(table)
    else:
        head, _, *body = (tuple(re.split(r" {2,}", line.strip())) for line in table.splitlines())
    return head, *body


@pytest.mark.parametrize("form", [text_table, markdown_table])
def test_cells_are_printed_as_they_are(form):
    body = tuple(tuple(cell.strip() for cell in row) for row in BODY)
    assert cells(form(HEAD, BODY)) == (HEAD, *body)


@pytest.mark.parametrize("form", [text_table, markdown_table])
def test_numbers_end_in_one_column_and_words_begin_in_one(form):
    head, _, *lines = form(HEAD, BODY).splitlines()
    assert {line.index(row[0].strip()) for line, row in zip(lines, BODY, strict=True)} == {head.index("method")}
    ends = {line.index(f" {row[1]} ") + len(row[1]) for line, row in zip(lines, BODY, strict=True)}
    assert ends == {head.index(" J&F ") + len("J&F")}


def test_a_bar_in_a_cell_ends_no_cell_in_markdown():
    table = markdown_table(("a | b", "c"), [("x|y", "1")])
    assert markdown_rows(table)[0] == (r"a \| b", "c")
    assert markdown_rows(table)[2] == (r"x\|y", "1")


@pytest.mark.parametrize("form", [text_table, markdown_table])
def test_a_table_without_rows_is_its_head(form):
    assert cells(form(HEAD, ())) == (HEAD,)
