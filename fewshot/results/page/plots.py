"""The plots of a report, drawn as SVG where one is shown. Values are J&F in points (0-100)."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewshot.results.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision can tell apart (yellow left out: too pale on white).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_LABEL = 28  # characters of a class name beside its bars
_MARKERS = ("o", "s", "D", "^", "v")


def whiskers(scores: Sequence[Estimate]) -> list[list[float]]:
    """How far the intervals reach below and above J&F: not at all where one lies wholly on the other side."""
    return [[max(0.0, one.JF - one.JF_low) for one in scores], [max(0.0, one.JF_high - one.JF) for one in scores]]


@dataclass(frozen=True)
class LinePlot:
    """One line with whiskers for each name, of estimates over x (shots, steps). `spread` gives small values of x more
    room (steps 0, 1, 2, 5, 10, ...)."""

    lines: Mapping[str, Sequence[tuple[int, Estimate]]]
    x_label: str
    spread: bool = False

    def svg(self) -> bytes:
        places = sorted({x for line in self.lines.values() for x, _ in line})
        with _figure(7.2, 4.0) as figure:
            axes = figure.add_subplot()
            # Whiskers of different lines would hide each other at one place.
            apart = 0.0 if self.spread else 0.012 * (places[-1] - places[0])
            for number, line in enumerate(self.lines.values()):
                axes.errorbar(
                    [x + apart * (number - (len(self.lines) - 1) / 2) for x, _ in line],
                    [one.JF for _, one in line],
                    yerr=whiskers([one for _, one in line]),
                    color=_COLOURS[number % len(_COLOURS)],
                    marker=_MARKERS[number % len(_MARKERS)],
                    capsize=3,
                    linewidth=1.6,
                    markersize=5,
                )
            if self.spread:
                axes.set_xscale("symlog", linthresh=1)
            axes.set_xticks(places, [str(place) for place in places])
            axes.minorticks_off()
            axes.set(xlabel=self.x_label, ylabel="J&F", ylim=(0, 100))
            axes.grid(axis="y", alpha=0.3)
            return _finished(figure, list(self.lines))


@dataclass(frozen=True)
class BarPlot:
    """Bars by class: title of a panel -> name of a bar -> class -> J&F. Classes are ordered by the first panel's first
    bars, best on top."""

    panels: Mapping[str, Mapping[str, Mapping[str, float]]]

    def svg(self) -> bytes:
        names = list(dict.fromkeys(name for bars in self.panels.values() for name in bars))
        first = next(iter(next(iter(self.panels.values())).values()))
        categories = {category for bars in self.panels.values() for scores in bars.values() for category in scores}
        classes = sorted(categories, key=lambda category: (first.get(category, -1.0), category))
        thickness, height = 0.8 / len(names), 1.0 + len(classes) * (0.12 + 0.12 * len(names))
        with _figure(max(7.2, 3.6 * len(self.panels)), height) as figure:
            for position, (title, bars) in enumerate(self.panels.items(), start=1):
                axes = figure.add_subplot(1, len(self.panels), position)
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
            return _finished(figure, names)


Plot = LinePlot | BarPlot


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


def _finished(figure: Figure, names: Sequence[str]) -> bytes:
    """The figure with a legend, as SVG."""
    from matplotlib.patches import Patch

    # Matplotlib leaves out labels that begin with an underscore.
    labels = [f" {name}" if name.startswith("_") else name for name in names]
    patches = [Patch(color=_COLOURS[number % len(_COLOURS)]) for number in range(len(names))]
    figure.legend(patches, labels, loc="outside upper left", ncols=min(len(names), 3), frameon=False, fontsize=9)
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The viewer's fonts draw the text; those here only measure it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
