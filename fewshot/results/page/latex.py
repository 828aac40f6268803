"""The tables of a report as LaTeX, to be read into a document with `\\input`."""

import re
import textwrap
from collections.abc import Sequence

from fewshot.results.page.content import Page, Table
from fewshot.results.tables import numeric_columns

_SPECIAL = str.maketrans(
    {
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
)
_LONG = 32  # characters: a column with a longer cell gets lines of its own, and a longer word may be broken
_HEAD_WIDTH = 12  # characters of a line in the head of a column
_PAGE_WIDTH = 80  # characters of \footnotesize that a text width of 345 pt (LaTeX's article) holds, about
_PREAMBLE = r"""% Needs \usepackage{booktabs,graphicx} and, for quotation marks, \usepackage[T1]{fontenc}.
% Names in other scripts than Latin need LuaLaTeX or XeLaTeX with a font that has them."""


def latex_tables(page: Page) -> str:
    """All tables, each as a `table` environment with caption and label (`tab:1`, `tab:2`, ...)."""
    found = [pair for section in page.sections for pair in section.tables()]
    tables = [_table(heading, table, number) for number, (heading, table) in enumerate(found, start=1)]
    return "\n\n".join((_PREAMBLE, *tables)) + "\n"


def _table(heading: str, table: Table, number: int) -> str:
    numeric = numeric_columns(table.head, table.body)
    heads = [textwrap.wrap(head, _HEAD_WIDTH, break_long_words=False) or [""] for head in table.head]
    widths = [max(map(len, (*head, *(row[column] for row in table.body)))) for column, head in enumerate(heads)]
    share = 0.6 / max(1, sum(width > _LONG for width in widths))
    kinds = [
        f"p{{{share:.2f}\\linewidth}}" if width > _LONG else "r" if right else "l"
        for width, right in zip(widths, numeric, strict=True)
    ]
    caption = ". ".join(filter(None, (f"{heading}. {table.caption}", table.note)))
    stacks = (_stack(head, "r" if kind == "r" else "l") for head, kind in zip(heads, kinds, strict=True))
    # Long columns take a share of the page; the others as much as they hold, and two characters apart.
    taken = sum(share * _PAGE_WIDTH if width > _LONG else width for width in widths) + 2 * len(widths)
    begin, end = (r"\resizebox{\linewidth}{!}{", "}") if taken > _PAGE_WIDTH else ("", "")
    lines = (
        r"\begin{table}[tp]",
        r"\centering\footnotesize",
        f"\\caption{{{_text(caption)}}}\\label{{tab:{number}}}",
        f"{begin}\\begin{{tabular}}{{{''.join(kinds)}}}",
        r"\toprule",
        _row(list(stacks)),
        r"\midrule",
        *(_row([_number(c) if n else _text(c) for c, n in zip(row, numeric, strict=True)]) for row in table.body),
        r"\bottomrule",
        rf"\end{{tabular}}{end}",
        r"\end{table}",
    )
    return "\n".join(lines)


def _stack(lines: Sequence[str], side: str) -> str:
    """The head of a column on several lines."""
    shown = r"\\{}".join(_text(line) for line in lines)
    return shown if len(lines) == 1 else f"\\shortstack[{side}]{{{shown}}}"


def _row(cells: Sequence[str]) -> str:
    # After the last row's `\\` a bracket would be read as the option of that line break, a star as its variant.
    guard = "{}" if cells[0][:1] in ("[", "*") else ""
    return guard + " & ".join(cells) + r" \\"


def _number(cell: str) -> str:
    """A hyphen before a digit is a minus sign."""
    return re.sub(r"-(?=\d)", r"$-$", _text(cell))


def _text(text: str) -> str:
    """Plain text as LaTeX: on one line, without control characters, long words breakable."""
    words = "".join(c if c.isprintable() else " " for c in text).split()
    parts = (textwrap.wrap(word, 16, break_on_hyphens=False) if len(word) > _LONG else [word] for word in words)
    return " ".join(r"\allowbreak{}".join(part.translate(_SPECIAL) for part in of_word) for of_word in parts)
