"""The part of a report about one group and scoring: how good each method is, and how sure that is."""

from collections.abc import Mapping, Sequence

import numpy as np

from fewshot.results.metrics import TOLERANCES
from fewshot.results.page.content import Block, Figure, Section, Table
from fewshot.results.page.experiments import Result, Stratum, adaptation_results
from fewshot.results.page.plots import BarPlot, LinePlot
from fewshot.results.row import group_title
from fewshot.results.statistics import Estimate, Part, paired_difference
from fewshot.results.tables import (
    INTERVAL_HEAD,
    SCORE_HEAD,
    VISIBLE_HEAD,
    VISIBLE_NOTE,
    change_cells,
    points,
    score_cells,
    unadapted_note,
)

Line = list[tuple[int, Estimate]]  # (shots or gradient steps, J and F)
_FEW_TRAININGS = 3  # below it, a standard deviation over trainings says next to nothing


def results_section(stratum: Stratum) -> Section:
    """All tables and figures of one group and scoring."""
    parts = (
        Section("Methods and shots", (_headline(stratum),)),
        Section("J&F over shots", _over_shots(stratum)),
        Section("J&F over adaptation steps", _over_steps(stratum)),
        Section("Differences", _differences(stratum)),
        Section("Controls", _controls(stratum)),
        Section("Classes", _classes(stratum)),
        Section("Training seed and support draw", _spread(stratum)),
    )
    title = f"{group_title(stratum.group)}, {stratum.scoring} scoring"
    return Section(title, (), tuple(part for part in parts if part.blocks))


def _headline(stratum: Stratum) -> Table:
    body = []
    for result in stratum.plain:
        seeds = len({record.item.seed for record in result.trainings[0]})
        shown = (*map(points, result.visible), points(result.right))
        counts = (f"{result.seconds:.2f}", str(seeds), str(len(result.trainings)))
        body.append((*stratum.cells(result), *score_cells(result.estimate), *shown, *counts))
    head = (*stratum.head, *SCORE_HEAD, *VISIBLE_HEAD)
    head = (*head, "seconds a query", "support seeds", "training seeds")
    intervals = (str(run.summary.facts.get("interval", "method not recorded")) for run in stratum.runs)
    note = (
        f"Points, 0-100. {_pooling(stratum)} Mean over training seeds and support seeds. Interval: "
        f"{'; '.join(dict.fromkeys(intervals))}. Neither support seeds nor training seeds are resampled: their spread "
        f"has a table of its own below. {VISIBLE_NOTE} Seconds: wall time of adapting and predicting for one query "
        "clip, on the machine of the run; reading pictures, and the frozen trunk where its features were cached, are "
        "not in it."
    )
    note = " ".join(filter(None, [note, *dict.fromkeys(unadapted_note(run.summary) for run in stratum.runs)]))
    return Table("Scores of each method", head, tuple(body), note)


def _pooling(stratum: Stratum) -> str:
    within = f"F within {TOLERANCES[stratum.scoring]:.3f} of the diagonal"
    if stratum.scoring == "paper":
        sides = sorted({int(run.config["data"]["short_side"]) for run in stratum.runs})
        size = f"the model's picture size (short side {' and '.join(map(str, sides))})"
        return f"Scored at {size}, all frames pooled, {within}."
    return f"Scored at the files' own size, {within}, mean of each sequence, then of each class, then of the classes."


def _over_shots(stratum: Stratum) -> tuple[Block, ...]:
    lines: dict[str, Line] = {}
    for result in stratum.plain:
        lines.setdefault(stratum.owner(result), []).append((result.row.shots, result.estimate))
    if len({result.row.shots for result in stratum.plain}) < 2:
        return ()
    caption = (
        "J&F over the number of shots K. Whiskers: 95 % interval. A larger support begins with the clips of the "
        "smaller one, so that the points of a line are paired."
    )
    return (Figure(LinePlot(lines, "shots K"), f"J&F over shots. {_ends(lines)}", caption),)


def _over_steps(stratum: Stratum) -> tuple[Block, ...]:
    lines: dict[str, Line] = {}
    body = []
    for experiment in stratum.experiments if stratum.scoring == "paper" else ():
        for steps, result in adaptation_results(experiment, stratum.group):
            lines.setdefault(stratum.label(result), []).append((steps, result.estimate))
            body.append((*stratum.cells(result), str(steps), *score_cells(result.estimate)[2:]))
    if not body:
        return ()
    caption = "J&F of the queries after gradient steps on the support. Whiskers: 95 % interval."
    plot = LinePlot(lines, "gradient steps", spread=True)
    figure = Figure(plot, f"J&F over gradient steps. {_ends(lines)}", caption)
    return figure, Table("J&F after gradient steps", (*stratum.head, "steps", "J&F", INTERVAL_HEAD), tuple(body))


def _ends(lines: Mapping[str, Line]) -> str:
    """Where each line begins and ends, for those who cannot see the figure."""
    ends = ((name, *line[0], *line[-1]) for name, line in lines.items())
    return "; ".join(f"{name}: {points(a.JF)} at {low}, {points(b.JF)} at {high}" for name, low, a, high, b in ends)


def _differences(stratum: Stratum) -> tuple[Block, ...]:
    """From the first method, which is the plainest, from the unadapted model, and from fewer shots."""
    if not stratum.plain:
        return ()
    first = stratum.experiments[0]
    own = [result for result in stratum.plain if result.experiment is first]
    tables = []
    for method in dict.fromkeys((own[0].row.method, first.runs[0].unadapted)):
        against = {result.row.shots: result for result in own if result.row.method == method}
        pairs = [(result, against.get(result.row.shots)) for result in stratum.plain]
        if against and (others := [(result, other) for result, other in pairs if result is not other]):
            name = stratum.owner(next(iter(against.values())))
            tables.append(_difference_table(stratum, name, f"{name} at equal shots", others))
    fewest: dict[str, Result] = {}
    for result in stratum.plain:  # shots ascend within a method
        fewest.setdefault(stratum.owner(result), result)
    pairs = [(result, fewest[stratum.owner(result)]) for result in stratum.plain]
    if more := [(result, other) for result, other in pairs if result is not other]:
        tables.append(_difference_table(stratum, "the fewest shots", "the same method with its fewest shots", more))
    return tuple(tables)


def _difference_table(stratum: Stratum, name: str, what: str, pairs: Sequence[tuple[Result, Result | None]]) -> Table:
    note = (
        f"J&F minus that of {what}, on the items that both answered and with equal bootstrap draws. Where the interval "
        "leaves out 0, the draw of classes and videos does not explain the difference; the level of 95 % is that of a "
        "single comparison. A dash: no such row to compare with, or another task list."
    )
    body = tuple((*stratum.cells(result), *_difference(result, other)) for result, other in pairs)
    return Table(f"Differences from {name}", (*stratum.head, "J&F", INTERVAL_HEAD, "items"), body, note)


def _difference(result: Result, other: Result | None) -> tuple[str, str, str]:
    difference = None
    if other is not None and result.experiment.runs[0].tasks.manifest == other.experiment.runs[0].tasks.manifest:
        resamples = result.experiment.resamples
        difference = paired_difference(result.trainings, other.trainings, resamples=resamples)
    return (*change_cells(difference), "-" if difference is None else str(difference.items))


def _controls(stratum: Stratum) -> tuple[Block, ...]:
    whole = {(result.experiment.name, result.row): result for result in stratum.plain}
    changed = [(result, result.row.control) for result in stratum.results if result.row.control is not None]
    if not changed:
        return ("No control was evaluated: these runs do not show whether support and sentence are used.",)
    body = tuple(
        (
            *(*stratum.cells(result), control, *score_cells(result.estimate)),
            *_difference(result, whole.get((result.experiment.name, result.row.whole))),
        )
        for result, control in changed
    )
    meanings = "; ".join(f"{control}: {control.meaning}" for control in sorted({control for _, control in changed}))
    note = (
        f"What is left when one input is wrong or missing ({meanings}). Change: of J&F against the same method with "
        "its right inputs, paired on the same items. A method that uses its inputs loses clearly."
    )
    head = (*stratum.head, "control", *SCORE_HEAD, "change", f"{INTERVAL_HEAD} of it", "items")
    return (Table("Scores without one of the inputs", head, body, note),)


def _classes(stratum: Stratum) -> tuple[Block, ...]:
    scores = [(result, _average(result.means_by(lambda record: record.item.category))) for result in stratum.plain]
    if not scores:
        return ()
    panels: dict[str, dict[str, dict[str, float]]] = {}
    videos: dict[str, set[str]] = {}
    for result, by_class in scores:
        panels.setdefault(f"{result.row.shots}-shot", {})[stratum.owner(result)] = by_class
        for record in result.trainings[0]:
            videos.setdefault(record.item.category, set()).add(record.item.video)
    body = tuple(
        (name, str(len(videos[name])), *(points(by_class[name]) if name in by_class else "-" for _, by_class in scores))
        for name in sorted(videos)
    )
    head = ("class", "query videos", *(stratum.label(result) for result, _ in scores))
    caption = "J&F of each class, mean over training seeds and support seeds."
    figure = Figure(BarPlot(panels), "Bars of J&F for each class; the table that follows holds the numbers", caption)
    return figure, Table("J&F of each class", head, body)


def _spread(stratum: Stratum) -> tuple[Block, ...]:
    """How much of a result is the seed of the training, and how much the draw of the support: two spreads, never one.
    A warning where trainings are few."""
    if not stratum.plain:
        return ()
    head = (*stratum.head, "J&F", "support seeds", "deviation between support seeds", "J&F of each support seed")
    head = (*head, "training seeds", "deviation between training seeds", "J&F of each training seed")
    note = (
        "Standard deviations of J&F, in points. Each support seed draws other support clips for every class. Between "
        "support seeds: within one training, root mean square over trainings. Between training seeds: of the means of "
        "whole trainings, which all have the same support draws."
    )
    body = tuple((*stratum.cells(result), *_spreads(result)) for result in stratum.plain)
    table = Table("J&F by support seed and by training seed", head, body, note)
    few = [one for one in stratum.experiments if len(one.runs) < _FEW_TRAININGS]
    if not few:
        return (table,)
    warning = "how much another training would differ is not measured well enough to be claimed."
    listed = ", ".join(f"{one.name}: {len(one.runs)}" for one in few)
    return f"Fewer than {_FEW_TRAININGS} training seeds ({listed}): {warning}", table


def _spreads(result: Result) -> tuple[str, ...]:
    draws = result.means_by(lambda record: record.item.seed)
    by_draw = _average(draws)
    # One part that holds all records: the mean of a training, pooled as its scoring asks.
    by_training = {
        run.seed: whole
        for run, means in zip(result.experiment.runs, result.means_by(lambda record: record.row.group), strict=True)
        for whole in means.values()
    }
    return (
        points(result.estimate.JF),
        *(str(len(by_draw)), _deviation([list(means.values()) for means in draws]), _each(by_draw)),
        *(str(len(by_training)), _deviation([list(by_training.values())]), _each(by_training)),
    )


def _average(trainings: Sequence[Mapping[Part, float]]) -> dict[Part, float]:
    """The mean over trainings of each part."""
    return {part: float(np.mean([means[part] for means in trainings])) for part in trainings[0]}


def _each(means: Mapping[int, float]) -> str:
    return ", ".join(f"seed {seed}: {points(mean)}" for seed, mean in means.items())


def _deviation(samples: Sequence[Sequence[float]]) -> str:
    """Root mean square of the samples' standard deviations; a dash where a sample has a single value."""
    if min(len(sample) for sample in samples) < 2:
        return "-"
    return points(float(np.sqrt(np.mean([np.var(sample, ddof=1) for sample in samples]))))
