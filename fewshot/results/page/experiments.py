"""Runs put together: those that differ in nothing but the seed of the training are one experiment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.adaptation_curve import by_steps
from fewshot.results.comparable import benchmark_differences, benchmark_text, experiment_differences
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import CONTROLS, Record
from fewshot.results.statistics import RESAMPLES, Estimate, Part, estimate_over_trainings, means_by
from fewshot.results.summary import split, visible_scores


@dataclass(frozen=True)
class Experiment:
    """Runs of one config and support list, one for each training seed, seeds ascending; the name is its alone."""

    name: str
    runs: tuple[EvaluatedRun, ...]

    @property
    def resamples(self) -> int:
        """Bootstrap resamples behind its intervals, as many as its evaluation took."""
        return int(self.runs[0].summary.facts.get("resamples", RESAMPLES))


@dataclass(frozen=True)
class Row:
    """What one method of one experiment answered in one group and scoring: the records of each training."""

    experiment: Experiment
    method: str
    shots: int
    control: Control | None
    trainings: tuple[tuple[Record, ...], ...]

    @cached_property
    def estimate(self) -> Estimate:
        return estimate_over_trainings(self.trainings, resamples=self.experiment.resamples)

    @property
    def visible(self) -> list[float]:
        """`visible_scores`, means over trainings."""
        return [float(value) for value in np.mean([visible_scores(records) for records in self.trainings], axis=0)]

    def means_by(self, part: Callable[[Record], Part]) -> list[dict[Part, float]]:
        """J&F of each part of the records (a class, a seed), for each training."""
        return [{name: sum(jf) / 2 for name, jf in means_by(of_one, part).items()} for of_one in self.trainings]

    @property
    def seconds(self) -> float:
        """Wall time of adapting and predicting for one query clip, mean over clips and trainings."""
        spent = [record.seconds for records in self.trainings for record in records]
        return sum(spent) / len(spent)


def group_runs(runs: Sequence[EvaluatedRun]) -> list[Experiment]:
    """The experiments, in the order of their first run.

    Raises UserError if runs are of different benchmarks, or two runs are the same training of one experiment.
    """
    refuse_different_benchmarks(runs)
    experiments: list[list[EvaluatedRun]] = []
    for run in runs:
        facts = run.summary.facts
        same = (one for one in experiments if not experiment_differences(one[0].summary.facts, facts, over="seed"))
        trainings = next(same, None)
        if trainings is None:
            experiments.append(trainings := [])
        for other in trainings:
            if other.seed == run.seed:
                raise UserError(
                    f"{other.folder} and {run.folder} are one experiment with one training seed ({run.seed}): counted "
                    "twice, they would make the result look surer than it is. Name one of them"
                )
        trainings.append(run)
    return [Experiment(one[0].label, tuple(sorted(one, key=lambda run: run.seed))) for one in experiments]


def refuse_different_benchmarks(runs: Sequence[EvaluatedRun]) -> None:
    """Raises UserError unless all runs were evaluated on one benchmark."""
    first, *others = runs
    for run in others:
        if benchmark_differences(first.summary.facts, run.summary.facts):
            places = [f"{one.folder} ({benchmark_text(one.summary.facts)})" for one in (first, run)]
            raise UserError(
                f"runs of different benchmarks: {' and '.join(places)}. Their numbers are not comparable; write a "
                "report for each benchmark"
            )


@dataclass(frozen=True)
class Stratum:
    """The rows of one group and scoring; only they can be compared. `rows` come by experiment, no control first, then
    by method as it first occurs, then by shots."""

    group: int
    scoring: str
    rows: tuple[Row, ...]

    @property
    def plain(self) -> list[Row]:
        """The rows without a control."""
        return [row for row in self.rows if row.control is None]

    @property
    def experiments(self) -> list[Experiment]:
        return list({row.experiment.name: row.experiment for row in self.rows}.values())

    @property
    def runs(self) -> list[EvaluatedRun]:
        return [run for experiment in self.experiments for run in experiment.runs]

    @property
    def several(self) -> bool:
        """Whether a row's experiment must be named."""
        return len(self.experiments) > 1

    @property
    def head(self) -> tuple[str, ...]:
        """What tables call the columns of `cells`."""
        return ("experiment", "method", "shots") if self.several else ("method", "shots")

    def cells(self, row: Row) -> tuple[str, ...]:
        """The columns that say which row it is."""
        return (*((row.experiment.name,) if self.several else ()), row.method, str(row.shots))

    def owner(self, row: Row) -> str:
        """Experiment and method, the name of a line or bar."""
        return ", ".join(self.cells(row)[:-1])

    def label(self, row: Row) -> str:
        """The whole row in a few characters, for the head of a column."""
        return f"{self.owner(row)}, {row.shots}-shot"


def strata(experiments: Sequence[Experiment]) -> list[Stratum]:
    """All that occur: groups ascending, `paper` first. A row that a training of its experiment lacks is left out."""
    found = {(r.group, r.scoring) for experiment in experiments for run in experiment.runs for r in run.records}
    ordered = sorted(found, key=lambda part: (part[0], part[1] != "paper", part[1]))
    return [
        Stratum(group, scoring, tuple(row for experiment in experiments for row in _rows(experiment, group, scoring)))
        for group, scoring in ordered
    ]


def _rows(experiment: Experiment, group: int, scoring: str) -> Iterator[Row]:
    parts = [split(run.records) for run in experiment.runs]
    shared = [key for key in parts[0] if key[3:] == (scoring, group) and all(key in part for part in parts)]
    methods = list(dict.fromkeys(key[0] for key in shared))
    for key in sorted(shared, key=lambda k: (CONTROLS.index(k[2]), methods.index(k[0]), k[1])):
        yield Row(experiment, *key[:3], tuple(tuple(part[key]) for part in parts))


def adaptation_rows(experiment: Experiment, group: int) -> list[tuple[int, Row]]:
    """(gradient steps, what was answered after them), by method, shots and steps, frames pooled as in `paper` scoring.

    Empty where no run of the experiment has a curve; trainings without one are left out.
    """
    parts = [by_steps(run.curve) for run in experiment.runs if run.curve and run.group == group]
    shared = sorted(key for key in (parts[0] if parts else ()) if all(key in part for part in parts))
    return [(key[2], Row(experiment, *key[:2], None, tuple(tuple(part[key]) for part in parts))) for key in shared]
