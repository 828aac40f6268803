"""The result of an ablation as a picture: lines over a number where there is one, else bars, all with intervals."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from episodes.controls import Control
from episodes.files import write_whole
from fewshot.ablation.cells import point_label
from fewshot.ablation.table import TableRow
from fewshot.results.page.plots import whiskers
from fewshot.results.statistics import Estimate

_NAMES = ("seed", "data.group")  # numbers that count nothing: no line leads from one to the next
_FEW = 3  # fewer shots than this are bars beside each other
Line = list[tuple[float, Estimate]]  # shots, or a value of the grid; scores


def draw_plot(rows: Sequence[TableRow], path: Path) -> bool:
    """Write the rows of the first scoring as a PNG. False if there is none with scores."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    scored = [row for row in rows if row.scores is not None and row.row.scoring == rows[0].row.scoring]
    if not scored:
        return False
    key = _numeric_key(scored)
    lines = key is not None or len({row.row.shots for row in scored}) >= _FEW
    figure = Figure(figsize=(6.4, 4.4) if lines else (7.2, 1.2 + 0.34 * len(scored)), layout="constrained")
    axes = figure.add_subplot()
    if lines:
        _lines(axes, scored, key)
    else:
        _bars(axes, scored)
    axes.set_title(f"{rows[0].row.scoring} scoring, novel classes, 95 % interval", fontsize=10)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    content = io.BytesIO()
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
    lines: dict[str, Line] = {}
    blind: dict[str, Line] = {}  # of the same lines, at 0 shots: clips are seen, but nothing is marked in them
    several = len({row.row.method for row in rows}) > 1
    for row in rows:
        assert row.scores is not None
        rest = {name: value for name, value in row.cell.point.items() if name != key}
        parts = [row.cell.variant, point_label(rest, list(row.cell.point)), row.row.method if several else ""]
        parts += [] if key is None else [f"{row.row.shots}-shot"]
        label = " ".join(part for part in parts if part) or row.row.method
        lines.setdefault(label, []).append((row.row.shots if key is None else row.cell.point[key], row.scores))
        if key is None and Control.NO_MASK in row.controls:
            blind.setdefault(label, []).append((0, row.controls[Control.NO_MASK]))
    for number, (label, line) in enumerate(lines.items()):
        style = {"color": f"C{number % 10}", "markersize": 4, "capsize": 3}
        _error_bars(axes, sorted(line, key=lambda point: point[0]), label=label, marker="o", **style)
        if label in blind:
            _error_bars(axes, blind[label], marker="s", linestyle="none", **style)
    if blind:
        axes.plot([], [], marker="s", linestyle="none", markersize=4, color="#666666", label="0: clips without mask")
    axes.set(xlabel=key or "shots (support clips)", ylabel="J&F", ylim=(0, None))
    positions = [x for line in lines.values() for x, _ in line]
    if min(positions) > 0 and max(positions) >= 100 * min(positions):
        axes.set_xscale("log")


def _error_bars(axes: Any, line: Line, **style: Any) -> None:
    scores = [row for _, row in line]
    axes.errorbar([x for x, _ in line], [row.JF for row in scores], yerr=whiskers(scores), **style)


def _bars(axes: Any, rows: Sequence[TableRow]) -> None:
    several = len({row.row.cells for row in rows}) > 1
    labels = [f"{row.cell.label}  {row.row.method} {row.row.shots}-shot" if several else row.cell.label for row in rows]
    scores = [row.scores for row in rows if row.scores is not None]
    style = {"capsize": 3, "color": "#8fb3d9", "ecolor": "#44546a"}
    axes.barh(range(len(rows)), [row.JF for row in scores], xerr=whiskers(scores), **style)
    for control, marker in zip(Control, "xos", strict=True):
        places = [place for place, row in enumerate(rows) if control in row.controls]
        left = [rows[place].controls[control].JF for place in places]
        if places:
            style = {"marker": marker, "linestyle": "none", "color": "#222222", "mfc": "none"}
            axes.plot(left, places, label=control.heading, **style)
    axes.set(yticks=range(len(rows)), yticklabels=labels, xlabel="J&F", xlim=(0, None))
    axes.invert_yaxis()
