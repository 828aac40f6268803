"""A report as Markdown."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from fewshot.results.page.content import Block, Page, Section, Table
from fewshot.results.tables import markdown_table

# What would make markup of a name: code, emphasis, HTML and its entities, and `]` where it would make a link.
_SPECIAL = re.compile(r"[\\`*<>~]|&(?=#?\w+;)|\](?=[(\[:])|(?<!\w)_|_(?!\w)")


def markdown_page(page: Page, folder: Path | None = None) -> str:
    """The page as a file in `folder`, from where it links pictures; its tables alone, for other documents, if None.

    Plots are left out: the tables beside them hold their numbers.
    """
    sections = (text for section in page.sections for text in _section(section, "##", folder))
    return "\n\n".join((f"# {_text(page.title)}", _text(page.lead), *sections)) + "\n"


def _section(section: Section, mark: str, folder: Path | None) -> list[str]:
    """Its heading and what stands below it; nothing where nothing is left below."""
    below = [text for block in section.blocks for text in _block(block, folder)]
    below += [text for part in section.parts for text in _section(part, f"{mark}#", folder)]
    return [f"{mark} {_text(section.title)}", *below] if below else []


def _block(block: Block, folder: Path | None) -> Iterator[str]:
    if isinstance(block, Table):
        yield f"{_text(block.caption)}."
        yield markdown_table([_text(cell) for cell in block.head], [[_text(c) for c in row] for row in block.body])
        yield from filter(None, [_text(block.note)])
    elif folder is None:
        return
    elif isinstance(block, str):
        yield _text(block)
    elif isinstance(block.image, Path):
        alt = _text(block.alt.replace("[", "(").replace("]", ")"))  # a bracket would end it
        yield f"![{alt}]({quote(Path(os.path.relpath(block.image, folder)).as_posix())})"
        yield _text(block.caption)


def _text(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], " ".join(text.split()))
