"""adaptation_curve.csv of a run folder: what the queries scored after each number of gradient steps on the support."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from episodes.errors import UserError
from fewshot.records import Record
from fewshot.reporting.experiments import Experiment
from fewshot.reporting.plots import Point
from fewshot.reporting.runs import ReportedRun
from fewshot.statistics import estimate_over_trainings

_FILE = "adaptation_curve.csv"
_COLUMNS = ("method", "shots", "steps", "seed", "class", "video", "expression", "frames", "J_sum", "F_sum")
Curve = tuple[str, int, int]  # method, shots, steps


def adaptation_curves(experiment: Experiment, group: int) -> dict[tuple[str, int], list[Point]]:
    """(method, shots) -> J&F at each number of steps with its interval, frames pooled as in `paper` scoring.

    Empty where no run of the experiment has the file; trainings without it are left out of the mean.
    """
    parts = [part for run in experiment.runs if (part := _read(run, group))]
    shared = [key for key in (parts[0] if parts else ()) if all(key in part for part in parts)]
    curves: dict[tuple[str, int], list[Point]] = {}
    for method, shots, steps in sorted(shared):
        trainings: Sequence[Sequence[Record]] = [part[method, shots, steps] for part in parts]
        found = estimate_over_trainings(trainings, resamples=experiment.resamples)
        curves.setdefault((method, shots), []).append(Point(steps, found.JF, found.JF_low, found.JF_high))
    return curves


def _read(run: ReportedRun, group: int) -> dict[Curve, list[Record]]:
    """The file's lines as records of (method, shots, steps); empty if the run has no such file, or is of another
    group. Raises UserError naming the line and the value."""
    path = run.folder / _FILE
    if not path.is_file() or run.config.get("data.group", 1) != group:
        return {}
    parts: dict[Curve, list[Record]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path} lacks the columns {', '.join(missing)}; evaluate the run again to rewrite it")
        for number, row in enumerate(rows, start=2):
            try:
                record = Record(
                    method=row["method"],
                    shots=int(row["shots"]),
                    control=None,
                    scoring="paper",
                    group=group,
                    seed=int(row["seed"]),
                    category=row["class"],
                    video=row["video"],
                    object_id="",  # an expression belongs to one object, so the expression tells items apart
                    expression=row["expression"],
                    frames=int(row["frames"]),
                    J_sum=float(row["J_sum"]),
                    F_sum=float(row["F_sum"]),
                    seconds=0.0,
                )
                parts.setdefault((record.method, record.shots, int(row["steps"])), []).append(record)
            except (TypeError, ValueError) as error:
                raise UserError(f"{path}, line {number}: {error}; evaluate the run again to rewrite it") from error
    return parts
