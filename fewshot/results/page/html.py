"""A report as one HTML page that loads nothing: pictures and style lie in the file, and there is no script."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fewshot.results.page.content import Figure, Page, Table
from fewshot.results.tables import numeric_columns

_LONG = 32  # characters: longer cells (hashes, commands) may be broken anywhere


def html_page(page: Page) -> str:
    """The whole page as text; every name and sentence in it is escaped by the template."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.tests |= {"table": lambda block: isinstance(block, Table), "figure": lambda b: isinstance(b, Figure)}
    return templates.get_template("page.html.jinja").render(page=page, numeric=numeric_columns, long=_LONG)
