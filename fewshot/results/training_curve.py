"""The training curve of a run, drawn from its metrics.jsonl."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from episodes.errors import UserError
from episodes.files import write_whole

Series = dict[str, list[tuple[int, float]]]  # name -> (step, value), steps ascending


def read_series(path: Path) -> Series:
    """Every number that metrics.jsonl logged with a step, named by its line's kind, as in `train/loss`.

    A last line that was cut off by a killed run is left out. Where a resumed run logged a step again, the later value
    counts. Raises UserError naming any other line that is no JSON object.
    """
    points: dict[str, dict[int, float]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            if number == len(lines):
                continue
            raise UserError(f"{path}, line {number} is no JSON ({error.msg}); remove the line") from error
        if not isinstance(entry, dict):
            raise UserError(f"{path}, line {number} is no JSON object but {line[:40]!r}; remove the line")
        if isinstance(entry.get("step"), int):
            kind = f"{entry['kind']}/" if "kind" in entry else ""
            for name, value in _numbers(entry):
                points.setdefault(f"{kind}{name}", {})[entry["step"]] = value
    return {name: sorted(values.items()) for name, values in points.items()}


def loss_series(series: Series) -> Series:
    """The total loss alone if one is logged (its name ends in `total` or `loss`), else every loss term."""
    total = {name: points for name, points in series.items() if _last(name) in ("total", "loss")}
    return total or {name: points for name, points in series.items() if "loss" in name.lower()}


def validation_series(series: Series) -> Series:
    """The validation scores: every name whose last part is J, F or JF."""
    return {name: points for name, points in series.items() if _last(name) in ("J", "F", "JF")}


def _last(name: str) -> str:
    return name.split("/")[-1]


def draw_curve(series: Series, path: Path) -> bool:
    """Write the loss and, if there is one, the validation score over steps as a PNG. False if nothing can be drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titled = {"training loss": loss_series(series), "validation, base classes": validation_series(series)}
    panels = [(title, found) for title, found in titled.items() if found]
    if not panels:
        return False
    figure = Figure(figsize=(5.6 * len(panels), 3.6), layout="constrained")
    for position, (title, found) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), position)
        for name, points in sorted(found.items()):
            steps, values = zip(*points, strict=True)
            # A long series is noise with a trend: the trend gets the ink.
            window = len(values) // 20
            if window > 1:
                (line,) = axes.plot(steps, values, linewidth=0.6, alpha=0.35)
                axes.plot(steps, _smoothed(values, window), linewidth=1.8, color=line.get_color(), label=name)
            else:
                axes.plot(steps, values, marker="o", markersize=3, linewidth=1.4, label=name)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    content = io.BytesIO()
    FigureCanvasAgg(figure)  # a canvas of its own: no global pyplot state, no display
    figure.savefig(content, format="png", dpi=110)
    write_whole(path, content.getvalue())
    return True


def _smoothed(values: tuple[float, ...], window: int) -> list[float]:
    """Mean of the last `window` values; fewer at the start."""
    means = []
    for stop in range(1, len(values) + 1):
        recent = values[max(0, stop - window) : stop]
        means.append(sum(recent) / len(recent))
    return means


def _numbers(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)
