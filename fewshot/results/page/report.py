"""From evaluated runs to a page, and from a page to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from episodes.errors import UserError
from episodes.files import write_whole
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.page.content import Page
from fewshot.results.page.experiments import group_runs, strata
from fewshot.results.page.html import html_page
from fewshot.results.page.latex import latex_tables
from fewshot.results.page.markdown import markdown_tables
from fewshot.results.page.pictures import gallery_section
from fewshot.results.page.provenance import provenance_sections, runs_section
from fewshot.results.page.results import results_section


def build_page(runs: Sequence[EvaluatedRun]) -> Page:
    """The report over evaluated runs, at least one; no number is averaged over groups or scorings.

    Raises UserError if the runs were evaluated on different benchmarks, or a picture is damaged.
    """
    experiments = group_runs(runs)
    parts = strata(experiments)
    lead = f"{_count(len(runs), 'run')} of {_count(len(experiments), 'experiment')} on novel classes."
    if len(parts) > 1:
        named = ", ".join(f"group {part.group} by {part.scoring} scoring" for part in parts)
        lead += f" Each group and scoring has a section of its own, and no number is averaged over them: {named}."
    title = "Few-shot referring video object segmentation: " + ", ".join(one.name for one in experiments)
    results = tuple(results_section(part) for part in parts)
    return Page(title, lead, (runs_section(experiments), *results, gallery_section(runs), *provenance_sections(runs)))


def write_page(page: Page, *, html: Path, markdown: Path | None = None, latex: Path | None = None) -> None:
    """Write each file whole or not at all; Markdown and LaTeX hold the tables alone. UserError if one is a folder."""
    for path in filter(None, (html, markdown, latex)):
        if path.is_dir():
            raise UserError(f"{path} is a folder; name a file in it, for example {path / 'report.html'}")
    write_whole(html, html_page(page).encode())
    if markdown is not None:
        write_whole(markdown, markdown_tables(page).encode())
    if latex is not None:
        write_whole(latex, latex_tables(page).encode())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
