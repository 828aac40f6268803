"""The tables of a report as LaTeX, to be read into a document with `\\input`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fewshot.reporting.content import Page, Table
from fewshot.tables import numeric_columns

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
    "“": "``",
    "”": "''",
}
_LONG = 32  # characters: a column with a longer cell gets lines of its own, and a longer word may be broken
_HEAD = r"""% Needs \usepackage{booktabs} and, for quotation marks, \usepackage[T1]{fontenc}.
% Names in other scripts than Latin need LuaLaTeX or XeLaTeX with a font that has them."""


def latex_tables(page: Page) -> str:
    """All tables, each as a `table` environment with caption and label (`tab:1`, `tab:2`, ...)."""
    found = [pair for section in page.sections for pair in section.tables()]
    tables = [_table(heading, table, number) for number, (heading, table) in enumerate(found, start=1)]
    return "\n\n".join((_HEAD, *tables)) + "\n"


def _table(heading: str, table: Table, number: int) -> str:
    numeric = numeric_columns(table.head, table.body)
    long = [any(len(row[column]) > _LONG for row in table.body) for column in range(len(table.head))]
    width = 0.6 / max(1, sum(long))
    kinds = (
        f"p{{{width:.2f}\\linewidth}}" if wide else "r" if right else "l"
        for wide, right in zip(long, numeric, strict=True)
    )
    caption = ". ".join(filter(None, (f"{heading}. {table.caption}", table.note)))
    lines = (
        r"\begin{table}[tp]",
        r"\centering\footnotesize",
        f"\\caption{{{_text(caption)}}}\\label{{tab:{number}}}",
        f"\\begin{{tabular}}{{{''.join(kinds)}}}",
        r"\toprule",
        _row([_text(cell) for cell in table.head]),
        r"\midrule",
        *(_row([_number(c) if n else _text(c) for c, n in zip(row, numeric, strict=True)]) for row in table.body),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    )
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    # After `\\` a bracket would be read as the option of a line break, a star as its variant.
    return " & ".join(f"{{}}{cell}" if cell[:1] in ("[", "*") else cell for cell in cells) + r" \\"


def _number(cell: str) -> str:
    """A hyphen before a digit is a minus sign."""
    return re.sub(r"-(?=\d)", r"$-$", _text(cell))


def _text(text: str) -> str:
    """Plain text as LaTeX: on one line, without control characters, long words breakable."""
    words = "".join(c if c.isprintable() else " " for c in text).split()
    return " ".join(r"\allowbreak{}".join(_escaped(part) for part in _parts(word)) for word in words)


def _parts(word: str) -> list[str]:
    return [word[start : start + 16] for start in range(0, len(word), 16)] if len(word) > _LONG else [word]


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text)
