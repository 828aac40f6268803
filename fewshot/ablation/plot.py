"""The result of an ablation as a picture: lines over a number where there is one, else bars, all with intervals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from episodes.controls import Control
from episodes.files import write_whole
from fewshot.ablation.cells import point_label
from fewshot.ablation.table import TableRow

_NAMES = ("seed", "data.group")  # numbers that count nothing: no line leads from one to the next
_FEW = 3  # fewer shots than this are bars beside each other
Point = tuple[float, float, float, float]  # x, J&F, low, high


def draw_plot(rows: Sequence[TableRow], path: Path) -> bool:
    """Write the rows of the first scoring as a PNG. False if there is none with scores."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.scores is not None and row.scoring == rows[0].scoring]
    if not shown:
        return False
    key = _numeric_key(shown)
    lines = key is not None or len({row.shots for row in shown}) >= _FEW
    figure = Figure(figsize=(6.4, 4.4) if lines else (7.2, 1.2 + 0.34 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    if lines:
        _lines(axes, shown, key)
    else:
        _bars(axes, shown)
    axes.set_title(f"{rows[0].scoring} scoring, novel classes, 95 % interval", fontsize=10)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    FigureCanvasAgg(figure)  # a canvas of its own: no global pyplot state, no display
    figure.savefig(content, format="png", dpi=110)
    write_whole(path, content.getvalue())
    return True


def _numeric_key(rows: Sequence[TableRow]) -> str | None:
    """The first key of the grid that has two or more values, all of them quantities."""
    for key in rows[0].cell.point:
        values = [row.cell.point[key] for row in rows]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if key not in _NAMES and numbers and len(set(values)) > 1:
            return key
    return None


def _lines(axes: Any, rows: Sequence[TableRow], key: str | None) -> None:
    series: dict[str, list[Point]] = {}
    controls: dict[str, list[Point]] = {}
    several = len({row.method for row in rows}) > 1
    for row in rows:
        assert row.scores is not None
        rest = {name: value for name, value in row.cell.point.items() if name != key}
        parts = [row.cell.variant, point_label(rest, list(row.cell.point)), row.method if several else ""]
        parts += [] if key is None else [f"{row.shots}-shot"]
        label = " ".join(part for part in parts if part) or row.method
        x = row.shots if key is None else float(row.cell.point[key])
        series.setdefault(label, []).append((x, row.scores.JF, row.scores.JF_low, row.scores.JF_high))
        if key is None and Control.NO_MASK in row.controls:
            # Drawn at 0 shots: clips are seen, but nothing is marked in them.
            blind = row.controls[Control.NO_MASK]
            controls.setdefault(label, []).append((0, blind.JF, blind.JF_low, blind.JF_high))
    colours = {label: f"C{number % 10}" for number, label in enumerate(series)}
    for found, marker, style in ((series, "o", "-"), (controls, "s", "none")):
        for label, unsorted in found.items():
            xs, ys, below, above = _errors(sorted(unsorted))
            how = {"marker": marker, "linestyle": style, "markersize": 4, "capsize": 3, "color": colours[label]}
            shown = label if found is series else None
            axes.errorbar(xs, ys, yerr=(below, above), label=shown, **how)
    if controls:
        axes.plot([], [], marker="s", linestyle="none", markersize=4, color="#666666", label="0: clips without mask")
    axes.set(xlabel=key or "shots (support clips)", ylabel="J&F", ylim=(0, None))
    positions = [x for unsorted in series.values() for x, *_ in unsorted]
    if min(positions) > 0 and max(positions) >= 100 * min(positions):
        axes.set_xscale("log")


def _bars(axes: Any, rows: Sequence[TableRow]) -> None:
    several = len({(row.method, row.shots) for row in rows}) > 1
    labels = [f"{row.cell.label}  {row.method} {row.shots}-shot" if several else row.cell.label for row in rows]
    points = [(0.0, row.scores.JF, row.scores.JF_low, row.scores.JF_high) for row in rows if row.scores is not None]
    _, values, below, above = _errors(points)
    axes.barh(range(len(rows)), values, xerr=(below, above), capsize=3, color="#8fb3d9", ecolor="#44546a")
    for control, marker in zip(Control, "xos", strict=True):
        places = [(row.controls[control].JF, place) for place, row in enumerate(rows) if control in row.controls]
        if places:
            axes.plot(
                *zip(*places, strict=True),
                marker=marker,
                linestyle="none",
                color="#222222",
                label=control.heading,
                mfc="none",
            )
    axes.set(yticks=range(len(rows)), yticklabels=labels, xlabel="J&F", xlim=(0, None))
    axes.invert_yaxis()


def _errors(points: Sequence[Point]) -> tuple[list[float], list[float], list[float], list[float]]:
    """x, J&F, and the lengths of the interval below and above, which a mean outside of it cannot make negative."""
    xs, ys, lows, highs = (list(column) for column in zip(*points, strict=True))
    below = [max(0.0, y - low) for y, low in zip(ys, lows, strict=True)]
    above = [max(0.0, high - y) for y, high in zip(ys, highs, strict=True)]
    return xs, ys, below, above
