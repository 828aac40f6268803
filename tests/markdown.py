"""Markdown tables read back."""

import re


def markdown_rows(text: str) -> list[tuple[str, ...]]:
    """The cells of every row of all tables in `text`, those with heads and rules too."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)) for line in lines]
