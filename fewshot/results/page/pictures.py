"""The gallery: drawn queries of each run, as its evaluation drew them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

from PIL import Image, UnidentifiedImageError

from episodes.errors import UserError
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.gallery import DrawnQuery
from fewshot.results.page.content import Block, Figure, Section
from fewshot.results.tables import points

MOST_BYTES = 7_000_000  # of all pictures, as data URIs: the page stays below 10 MB, so that it can be sent by mail
_WIDEST = 1200  # pixels; overlays are drawn at about that width
_QUALITY = 82  # of WebP: a tenth of the PNG's size, and outlines stay sharp
_CHOICES = {"best": "best query", "median": "median query", "worst": "worst query", "in order": "as the tasks come"}


def gallery_section(runs: Sequence[EvaluatedRun]) -> Section:
    """Best, median and worst query of every run, then further ones as long as the page may grow."""
    drawn = {run.label: _ordered(run) for run in runs}
    figures: dict[str, list[Figure]] = {label: [] for label in drawn}
    left_out, size = 0, 0
    # The second picture of any run comes before the third of another: a full page holds as many of each.
    for run, query in _in_turn(runs, drawn):
        figure = None if left_out else _figure(query)
        if figure is None or size + len(figure.uri) > MOST_BYTES:
            left_out += 1
        else:
            size += len(figure.uri)
            figures[run.label].append(figure)
    intro = (
        "Support clips with their sentence and mask, then the query: picture, truth (green), prediction (orange, with "
        "the outline of the truth). Best, median and worst are those of all queries of the run by J&F of the model fed "
        "forward; the others come in the order of the tasks, whatever their score."
    )
    blocks = [intro] + ([f"{left_out} picture(s) do not fit a page of this size."] if left_out else [])
    return Section(
        "Queries", tuple(blocks), tuple(Section(f"Run {name}", _blocks(found)) for name, found in figures.items())
    )


def _blocks(figures: Sequence[Figure]) -> tuple[Block, ...]:
    return tuple(figures) or (
        "No query of this run is shown: `machine.save_overlays` is 0, or its evaluation is older "
        "than this report's gallery; evaluate the run again to draw them.",
    )


def _ordered(run: EvaluatedRun) -> list[DrawnQuery]:
    places = list(_CHOICES)
    return sorted(run.drawn, key=lambda query: places.index(query.choice))


def _in_turn(
    runs: Sequence[EvaluatedRun], drawn: dict[str, list[DrawnQuery]]
) -> Iterator[tuple[EvaluatedRun, DrawnQuery]]:
    for place in range(max(map(len, drawn.values()))):
        yield from ((run, drawn[run.label][place]) for run in runs if place < len(drawn[run.label]))


def _figure(query: DrawnQuery) -> Figure:
    scores = f"J {points(query.J)}, F {points(query.F)}"
    asked = f"class {query.category}, video {query.video}, sentence “{query.sentence}”"
    caption = f"{_CHOICES[query.choice].capitalize()}: {query.category}, {query.method}, {query.shots}-shot, {scores}; "
    caption += f"support seed {query.seed}, video {query.video}: “{query.sentence}”"
    alt = f"Support, truth and prediction: {asked}; {scores}"
    try:
        with Image.open(query.picture) as picture:
            page = picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{query.picture} is not a picture ({error}); evaluate the run again") from error
    if page.width > _WIDEST:
        page = page.resize((_WIDEST, round(page.height * _WIDEST / page.width)), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    page.save(content, format="WEBP", quality=_QUALITY)
    return Figure("data:image/webp;base64," + base64.b64encode(content.getvalue()).decode("ascii"), alt, caption)
