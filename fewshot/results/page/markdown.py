"""The tables of a report as Markdown."""

from __future__ import annotations

import re

from fewshot.results.page.content import Page
from fewshot.results.tables import markdown_table

# What would make markup of a name: code, emphasis, HTML and its entities, and `]` where it would make a link.
_SPECIAL = re.compile(r"[\\`*<>~]|&(?=#?\w+;)|\](?=[(\[:])|(?<!\w)_|_(?!\w)")


def markdown_tables(page: Page) -> str:
    """All tables, each below the headings that lead to it and above its note."""
    blocks = [f"# {_text(page.title)}", _text(page.lead)]
    for section in page.sections:
        for heading, table in section.tables():
            head, body = [_text(cell) for cell in table.head], [[_text(cell) for cell in row] for row in table.body]
            blocks += [
                f"## {_text(heading)}",
                f"{_text(table.caption)}.",
                markdown_table(head, body),
                _text(table.note),
            ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _text(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], " ".join(text.split()))
