"""The part of a report about one group and scoring: how good each method is, and how sure that is."""

from __future__ import annotations

import numpy as np

from fewshot.results.page.adaptation import adaptation_curves
from fewshot.results.page.content import Block, Figure, Section, Table
from fewshot.results.page.experiments import Row, Stratum
from fewshot.results.page.plots import Point, bar_plot, line_plot
from fewshot.results.page.spreads import spread_blocks
from fewshot.results.statistics import Difference, difference_over_trainings, means_by
from fewshot.results.tables import interval, points, signed

_INTERVAL = "95 % interval"
_POOLING = {
    "paper": "Scored at the model's picture size, all frames pooled, F within 0.010 of the diagonal.",
    "davis": "Scored at the files' own size, F within 0.008 of the diagonal, mean of each sequence, then of each "
    "class, then of the classes.",
}


def results_section(stratum: Stratum) -> Section:
    """All tables and figures of one group and scoring."""
    parts = (
        Section("Methods and shots", (_headline(stratum),)),
        Section("J&F over shots", _over_shots(stratum)),
        Section("J&F over adaptation steps", _over_steps(stratum)),
        Section("Differences from the model fed forward", _differences(stratum)),
        Section("Controls", _controls(stratum)),
        Section("Classes", _classes(stratum)),
        Section("Training seed and support draw", spread_blocks(stratum)),
    )
    title = f"Group {stratum.group}, {stratum.scoring} scoring"
    return Section(title, (), tuple(part for part in parts if part.blocks))


def _headline(stratum: Stratum) -> Table:
    body = []
    for row in stratum.plain:
        seeds = len({record.seed for record in row.trainings[0]})
        counts = (f"{row.seconds:.2f}", str(seeds), str(len(row.trainings)))
        body.append((*stratum.cells(row), *_scores(row), *counts))
    head = (*stratum.head, "J", "F", "J&F", _INTERVAL, "seconds a query", "support seeds", "training seeds")
    note = (
        f"Points, 0-100. {_POOLING[stratum.scoring]} Mean over training seeds and support seeds. Interval: bootstrap "
        "of J&F over classes, then over videos of each drawn class; neither support seeds nor training seeds are "
        "resampled. Seconds: wall time of adapting and predicting for one query clip, on the machine of the run."
    )
    return Table("Scores of each method", head, tuple(body), note)


def _over_shots(stratum: Stratum) -> tuple[Block, ...]:
    lines: dict[str, list[Point]] = {}
    for row in stratum.plain:
        found = row.estimate
        lines.setdefault(stratum.owner(row), []).append(Point(row.shots, found.JF, found.JF_low, found.JF_high))
    shots = sorted({row.shots for row in stratum.plain})
    if len(shots) < 2:
        return ("All rows have the same number of shots: there is no curve to draw.",) if shots else ()
    caption = (
        "J&F over the number of shots K. Whiskers: 95 % interval. A larger support begins with the clips of the "
        "smaller one, so that the points of a line are paired."
    )
    return (Figure(line_plot(lines, x_label="shots K"), f"J&F over shots. {_ends(lines)}", caption),)


def _over_steps(stratum: Stratum) -> tuple[Block, ...]:
    if stratum.scoring != "paper":  # the file pools frames
        return ()
    lines: dict[str, list[Point]] = {}
    for experiment in stratum.experiments:
        for (method, shots), curve in adaptation_curves(experiment, stratum.group).items():
            name = f"{experiment.name}, {method}" if stratum.several else method
            lines[f"{name}, {shots}-shot"] = curve
    if not lines:
        return ()
    body = tuple(
        (name, str(point.x), points(point.JF), interval(point.low, point.high))
        for name, line in lines.items()
        for point in line
    )
    caption = "J&F of the queries after gradient steps on the support. Whiskers: 95 % interval."
    plot = line_plot(lines, x_label="gradient steps", spread=True)
    figure = Figure(plot, f"J&F over gradient steps. {_ends(lines)}", caption)
    return figure, Table("J&F after gradient steps", ("method", "steps", "J&F", _INTERVAL), body)


def _ends(lines: dict[str, list[Point]]) -> str:
    """Where each line begins and ends, for those who cannot see the figure."""
    return "; ".join(
        f"{name}: {points(line[0].JF)} at {line[0].x}, {points(line[-1].JF)} at {line[-1].x}"
        for name, line in lines.items()
    )


def _differences(stratum: Stratum) -> tuple[Block, ...]:
    if not stratum.plain:
        return ()
    first = stratum.experiments[0]
    mine = [row for row in stratum.plain if row.experiment is first]
    label = first.runs[0].fed_forward
    fed_forward = [row for row in mine if row.method == label] or [row for row in mine if row.method == mine[0].method]
    against = {row.shots: row for row in fed_forward}
    others = [row for row in stratum.plain if not any(row is one for one in fed_forward)]
    body = tuple((*stratum.cells(row), *_difference(row, against.get(row.shots))) for row in others)
    if not body:
        return ()
    name = stratum.owner(fed_forward[0])
    note = (
        f"J&F minus that of {name} at equal shots, on the items that both answered and with equal bootstrap draws. "
        "Where the interval leaves out 0, the draw of classes and videos does not explain the difference; the level of "
        "95 % is that of a single comparison. A dash: no such row to compare with, or another support list."
    )
    return (Table(f"Differences from {name}", (*stratum.head, "J&F", _INTERVAL, "items"), body, note),)


def _controls(stratum: Stratum) -> tuple[Block, ...]:
    whole = {(id(row.experiment), row.method, row.shots): row for row in stratum.plain}
    body = []
    for row in stratum.rows:
        if row.control is not None:
            change = _difference(row, whole.get((id(row.experiment), row.method, row.shots)))
            body.append((*stratum.cells(row), row.control, *_scores(row), *change))
    if not body:
        return ("No control was evaluated: these runs do not show whether support and sentence are used.",)
    used = sorted({row.control for row in stratum.rows if row.control})
    note = (
        f"What is left when one input is wrong or missing ({'; '.join(f'{one}: {one.meaning}' for one in used)}). "
        "Change: of J&F against the same method with its right inputs, paired on the same items. A method that uses "
        "its inputs loses clearly."
    )
    head = (*stratum.head, "control", "J", "F", "J&F", _INTERVAL, "change", "95 % interval of it", "items")
    return (Table("Scores without one of the inputs", head, tuple(body), note),)


def _classes(stratum: Stratum) -> tuple[Block, ...]:
    scores = [(row, _by_class(row)) for row in stratum.plain]
    if not scores:
        return ()
    panels: dict[str, dict[str, dict[str, float]]] = {}
    videos: dict[str, set[str]] = {}
    for row, found in scores:
        panels.setdefault(f"{row.shots}-shot", {})[stratum.owner(row)] = found
        for record in row.trainings[0]:
            videos.setdefault(record.category, set()).add(record.video)
    body = tuple(
        (name, str(len(videos[name])), *(points(found[name]) if name in found else "-" for _, found in scores))
        for name in sorted(videos)
    )
    head = ("class", "query videos", *(f"{stratum.owner(row)}, {row.shots}-shot" for row in stratum.plain))
    caption = "J&F of each class, mean over training seeds and support seeds."
    figure = Figure(bar_plot(panels), "Bars of J&F for each class; the table that follows holds the numbers", caption)
    return figure, Table("J&F of each class", head, body)


def _by_class(row: Row) -> dict[str, float]:
    """J&F of each class, mean over trainings."""
    found = [means_by(records, lambda record: record.category) for records in row.trainings]
    return {name: float(np.mean([sum(means[name]) / 2 for means in found])) for name in found[0]}


def _scores(row: Row) -> tuple[str, str, str, str]:
    found = row.estimate
    return points(found.J), points(found.F), points(found.JF), interval(found.JF_low, found.JF_high)


def _difference(row: Row, other: Row | None) -> tuple[str, str, str]:
    found: Difference | None = None
    if other is not None and row.experiment.manifest == other.experiment.manifest:
        found = difference_over_trainings(row.trainings, other.trainings, resamples=row.experiment.resamples)
    if found is None:
        return "-", "-", "-"
    return signed(found.JF), interval(found.JF_low, found.JF_high, "+.1f"), str(found.items)
