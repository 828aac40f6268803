"""The pictures of each run: its training curve, and queries as its evaluation drew them."""

from collections.abc import Sequence

from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.gallery import DrawnQuery
from fewshot.results.page.content import Block, Figure, Section
from fewshot.results.tables import points

_CHOICES = {"best": "best query", "median": "median query", "worst": "worst query", "in order": "as the tasks come"}


def training_section(runs: Sequence[EvaluatedRun]) -> Section:
    return Section("Training", (), tuple(Section(f"Run {run.label}", (_curve(run),)) for run in runs))


def gallery_section(runs: Sequence[EvaluatedRun]) -> Section:
    """Best, median and worst query of every run, then the others."""
    intro = (
        "Support clips with their sentence and mask, then the query: picture, truth (green), prediction (orange, with "
        "the outline of the truth). Best, median and worst are those of all queries of the run by J&F of the model fed "
        "forward; the others come in the order of the tasks, whatever their score."
    )
    return Section("Queries", (intro,), tuple(Section(f"Run {run.label}", _queries(run)) for run in runs))


def _curve(run: EvaluatedRun) -> Block:
    if run.training_curve is None or not run.series:
        return "No loss was logged."
    last = max(points[-1][0] for points in run.series.values())
    caption = f"Training loss and, if there was one, validation score, up to step {last}."
    return Figure(run.training_curve, "Training curve", caption)


def _queries(run: EvaluatedRun) -> tuple[Block, ...]:
    places = list(_CHOICES)
    figures = (_query(query) for query in sorted(run.drawn, key=lambda query: places.index(query.choice)))
    return tuple(figures) or ("No query of this run was drawn (`machine.save_overlays`).",)


def _query(query: DrawnQuery) -> Figure:
    item, scores = query.item, f"J {points(query.J)}, F {points(query.F)}"
    asked = f"class {item.category}, video {item.video}, sentence “{query.sentence}”"
    caption = f"{_CHOICES[query.choice].capitalize()}: {item.category}, {query.row.label}, {scores}; "
    caption += f"support seed {item.seed}, video {item.video}: “{query.sentence}”"
    return Figure(query.picture, f"Support, truth and prediction: {asked}; {scores}", caption)
