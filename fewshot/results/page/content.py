"""What a report consists of, whatever it is written as. All text is plain text: each writer escapes it for itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fewshot.results.page.plots import Plot

Cells = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """`body` has rows of the length of `head`; `note` says what the numbers are."""

    caption: str
    head: tuple[str, ...]
    body: Cells
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.body):
            raise ValueError(f"table {self.caption!r}: every row needs {len(self.head)} cells")


@dataclass(frozen=True)
class Figure:
    """A picture's file, or a plot of what a table beside it holds; `alt` is for those who cannot see it."""

    image: Path | Plot
    alt: str
    caption: str


Block = str | Table | Figure  # a str is a paragraph


@dataclass(frozen=True)
class Section:
    """A heading with blocks and parts of its own."""

    title: str
    blocks: tuple[Block, ...] = ()
    parts: tuple[Section, ...] = ()

    def tables(self) -> Iterator[tuple[str, Table]]:
        """(headings that lead to it, table) of all tables, in reading order."""
        yield from ((self.title, block) for block in self.blocks if isinstance(block, Table))
        for part in self.parts:
            yield from ((f"{self.title}: {heading}", table) for heading, table in part.tables())


@dataclass(frozen=True)
class Page:
    """A whole report; `lead` is the paragraph below its title."""

    title: str
    lead: str
    sections: tuple[Section, ...]
