"""The adaptation curves of several trainings as one: the mean over trainings at each number of gradient steps."""

from __future__ import annotations

from collections.abc import Sequence

from fewshot.results.adaptation_curve import by_steps
from fewshot.results.page.experiments import Experiment
from fewshot.results.page.plots import Point
from fewshot.results.records import Record
from fewshot.results.statistics import estimate_over_trainings


def adaptation_curves(experiment: Experiment, group: int) -> dict[tuple[str, int], list[Point]]:
    """(method, shots) -> J&F at each number of steps with its interval, frames pooled as in `paper` scoring.

    Empty where no run of the experiment has a curve; trainings without one are left out of the mean.
    """
    parts = [by_steps(run.curve) for run in experiment.runs if run.curve and run.group == group]
    shared = [key for key in (parts[0] if parts else ()) if all(key in part for part in parts)]
    curves: dict[tuple[str, int], list[Point]] = {}
    for method, shots, steps in sorted(shared):
        trainings: Sequence[Sequence[Record]] = [part[method, shots, steps] for part in parts]
        found = estimate_over_trainings(trainings, resamples=experiment.resamples)
        curves.setdefault((method, shots), []).append(Point(steps, found.JF, found.JF_low, found.JF_high))
    return curves
