"""From evaluated runs to a page, and from a page to files."""

from collections.abc import Sequence
from pathlib import Path

from episodes.errors import UserError
from episodes.files import write_whole
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.page.content import Page
from fewshot.results.page.experiments import group_runs, strata
from fewshot.results.page.html import html_page
from fewshot.results.page.latex import latex_tables
from fewshot.results.page.markdown import markdown_page
from fewshot.results.page.results import results_section
from fewshot.results.page.runs import gallery_section, provenance_sections, runs_section, training_section
from fewshot.results.row import group_title
from fewshot.results.tables import counted, tasks_note


def build_page(runs: Sequence[EvaluatedRun]) -> Page:
    """The report over evaluated runs, at least one; no number is averaged over groups or scorings.

    Raises UserError if the runs were evaluated on different benchmarks.
    """
    experiments = group_runs(runs)
    parts = strata(experiments)
    tasks = " and ".join(dict.fromkeys(tasks_note(run.summary) for run in runs))
    lead = f"{counted(len(runs), 'run')} of {counted(len(experiments), 'experiment')}. Tasks: {tasks}."
    if len(parts) > 1:
        named = ", ".join(f"{group_title(part.group).lower()} by {part.scoring} scoring" for part in parts)
        lead += f" Each group and scoring has a section of its own, and no number is averaged over them: {named}."
    title = "Few-shot referring video object segmentation: " + ", ".join(one.name for one in experiments)
    results = (results_section(part) for part in parts)
    pictures = training_section(runs), gallery_section(runs)
    return Page(title, lead, (runs_section(experiments), *results, *pictures, *provenance_sections(runs)))


def write_page(page: Page, *, html: Path, markdown: Path | None = None, latex: Path | None = None) -> None:
    """Write each file whole or not at all; Markdown and LaTeX hold the tables alone. UserError if one is a folder, or
    a picture is damaged."""
    writers = ((html, html_page), (markdown, markdown_page), (latex, latex_tables))
    for path, _ in writers:
        if path is not None and path.is_dir():
            raise UserError(f"{path} is a folder; name a file in it, for example {path / 'report.html'}")
    for path, text in writers:
        if path is not None:
            write_whole(path, text(page).encode())
