"""The figures of a report as SVG in a data URI. Values are J&F in points (0-100)."""

from __future__ import annotations

import base64
import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision can tell apart (yellow left out: too pale on white).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_LABEL = 28  # characters of a class name beside its bars
_MARKERS = ("o", "s", "D", "^", "v")


@dataclass(frozen=True)
class Point:
    """One measurement at `x` (shots, steps) with its interval."""

    x: int
    JF: float
    low: float
    high: float


def line_plot(lines: Mapping[str, Sequence[Point]], *, x_label: str, spread: bool = False) -> str:
    """One line with whiskers for each name. `spread` gives small values of x more room (steps 0, 1, 2, 5, 10, ...)."""
    places = sorted({point.x for points in lines.values() for point in points})
    with _figure(7.2, 4.0) as figure:
        axes = figure.add_subplot()
        # Whiskers of different lines would hide each other at one place.
        apart = 0.0 if spread else 0.012 * (places[-1] - places[0])
        for number, points in enumerate(lines.values()):
            axes.errorbar(
                [point.x + apart * (number - (len(lines) - 1) / 2) for point in points],
                [point.JF for point in points],
                # A percentile interval may lie wholly on one side of the mean.
                yerr=[[max(0.0, p.JF - p.low) for p in points], [max(0.0, p.high - p.JF) for p in points]],
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKERS[number % len(_MARKERS)],
                capsize=3,
                linewidth=1.6,
                markersize=5,
            )
        if spread:
            axes.set_xscale("symlog", linthresh=1)
        axes.set_xticks(places, [str(place) for place in places])
        axes.minorticks_off()
        axes.set(xlabel=x_label, ylabel="J&F", ylim=(0, 100))
        axes.grid(axis="y", alpha=0.3)
        _legend(figure, list(lines))
        return _data_uri(figure)


def bar_plot(panels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Bars by class: title of a panel -> name of a bar -> class -> J&F. Classes are ordered by the first panel's first
    bars, best on top."""
    names = list(dict.fromkeys(name for bars in panels.values() for name in bars))
    first = next(iter(next(iter(panels.values())).values()))
    found = {category for bars in panels.values() for scores in bars.values() for category in scores}
    classes = sorted(found, key=lambda category: (first.get(category, -1.0), category))
    thickness = 0.8 / len(names)
    with _figure(max(7.2, 3.6 * len(panels)), 1.0 + len(classes) * (0.12 + 0.12 * len(names))) as figure:
        for position, (title, bars) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(1, len(panels), position)
            for name, scores in bars.items():
                number = names.index(name)
                held = [place for place, category in enumerate(classes) if category in scores]
                axes.barh(
                    [place + 0.4 - thickness * (number + 0.5) for place in held],
                    [scores[classes[place]] for place in held],
                    height=0.92 * thickness,
                    color=_COLOURS[number % len(_COLOURS)],
                )
            labels = [textwrap.shorten(category, _LABEL, placeholder="...") for category in classes]
            axes.set_yticks(range(len(classes)), labels if position == 1 else [""] * len(classes))
            axes.set(title=title, xlabel="J&F", xlim=(0, 100), ylim=(-0.6, len(classes) - 0.4))
            axes.grid(axis="x", alpha=0.3)
            axes.set_axisbelow(True)
            axes.tick_params(axis="y", length=0)
        _legend(figure, names)
        return _data_uri(figure)


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure (inches) in the report's style; everybody else's settings come back afterwards."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",  # text stays text: small, and in whatever script the viewer has
            "svg.hashsalt": "fewshot",  # equal numbers, equal files
            "text.parse_math": False,  # a class may be called $x$
            "font.family": "sans-serif",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)  # a canvas of its own: no global pyplot state, no display
        yield figure


def _legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    # Matplotlib leaves out labels that begin with an underscore.
    labels = [f" {name}" if name.startswith("_") else name for name in names]
    patches = [Patch(color=_COLOURS[number % len(_COLOURS)]) for number in range(len(names))]
    figure.legend(patches, labels, loc="outside upper left", ncols=min(len(names), 3), frameon=False, fontsize=9)


def _data_uri(figure: Figure) -> str:
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The viewer's fonts draw the text; those here only measure it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(content, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode("ascii")
