"""The adaptation curves of the trainings of an experiment as rows, one for each number of gradient steps."""

from __future__ import annotations

from fewshot.results.adaptation_curve import by_steps
from fewshot.results.page.experiments import Experiment, Row


def adaptation_rows(experiment: Experiment, group: int) -> list[tuple[int, Row]]:
    """(gradient steps, what was answered after them), by method, shots and steps, frames pooled as in `paper` scoring.

    Empty where no run of the experiment has a curve; trainings without one are left out.
    """
    parts = [by_steps(run.curve) for run in experiment.runs if run.curve and run.group == group]
    shared = sorted(key for key in (parts[0] if parts else ()) if all(key in part for part in parts))
    return [(key[2], Row(experiment, *key[:2], None, tuple(tuple(part[key]) for part in parts))) for key in shared]
