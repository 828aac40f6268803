"""Runs put together: those that differ in nothing but the seed of the training are one experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from episodes.errors import UserError
from fewshot.results.comparable import benchmark_differences, benchmark_text, experiment_differences
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import Record, by_steps
from fewshot.results.row import HEAD, Row, in_order
from fewshot.results.statistics import RESAMPLES, Estimate, Part, estimate, means_by
from fewshot.results.summary import right_share, visible_scores


@dataclass(frozen=True)
class Experiment:
    """Runs of one config and task list, one for each training seed, seeds ascending; the name is its alone."""

    name: str
    runs: tuple[EvaluatedRun, ...]

    @property
    def resamples(self) -> int:
        """Bootstrap resamples behind its intervals, as many as its evaluation took."""
        return int(self.runs[0].summary.facts.get("resamples", RESAMPLES))


@dataclass(frozen=True)
class Result:
    """A row of one experiment: the records of each training."""

    experiment: Experiment
    row: Row
    trainings: tuple[Sequence[Record], ...]

    @cached_property
    def estimate(self) -> Estimate:
        return estimate(*self.trainings, resamples=self.experiment.resamples)

    @property
    def visible(self) -> list[float]:
        """`visible_scores`, means over trainings."""
        return [float(value) for value in np.mean([visible_scores(records) for records in self.trainings], axis=0)]

    @property
    def right(self) -> float | None:
        """`right_share`, mean over trainings."""
        shares = [right_share(records) for records in self.trainings]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known else None

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
    experiments: list[list[EvaluatedRun]] = []
    for run in runs:
        facts = run.summary.facts
        if run is not runs[0] and benchmark_differences(runs[0].summary.facts, facts):
            places = [f"{one.folder} ({benchmark_text(one.summary.facts)})" for one in (runs[0], run)]
            raise UserError(
                f"runs of different benchmarks: {' and '.join(places)}. Their numbers are not comparable; write a "
                "report for each benchmark"
            )
        same = (one for one in experiments if not experiment_differences(one[0].summary.facts, facts, over="seed"))
        trainings = next(same, None)
        if trainings is None:
            experiments.append(trainings := [])
        for other in trainings:
            if other.seed == run.seed:
                raise UserError(
                    f"{other.folder} and {run.folder} are one experiment with one training seed ({run.seed}): both "
                    "would make the interval too narrow. Name one of them"
                )
        trainings.append(run)
    return [Experiment(one[0].label, tuple(sorted(one, key=lambda run: run.seed))) for one in experiments]


@dataclass(frozen=True)
class Stratum:
    """The rows of one group and scoring; only they can be compared. They come by experiment, then in the order of
    tables."""

    group: int
    scoring: str
    results: tuple[Result, ...]

    @property
    def plain(self) -> list[Result]:
        """The rows without a control."""
        return [result for result in self.results if result.row.control is None]

    @property
    def experiments(self) -> list[Experiment]:
        return list({result.experiment.name: result.experiment for result in self.results}.values())

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
        return ("experiment", *HEAD) if self.several else HEAD

    def cells(self, result: Result) -> tuple[str, ...]:
        """The columns that say which row it is."""
        return (*((result.experiment.name,) if self.several else ()), *result.row.cells)

    def owner(self, result: Result) -> str:
        """Experiment and method, the name of a line or bar."""
        return ", ".join(self.cells(result)[:-1])

    def label(self, result: Result) -> str:
        """The whole row in a few characters, for the head of a column."""
        return f"{result.experiment.name}, {result.row.label}" if self.several else result.row.label


def strata(experiments: Sequence[Experiment]) -> list[Stratum]:
    """All that occur: groups ascending, `paper` first. A row that a training of its experiment lacks is left out."""
    results = [
        Result(experiment, row, tuple(run.rows[row] for run in experiment.runs))
        for experiment in experiments
        for row in experiment.runs[0].rows
        if all(row in run.rows for run in experiment.runs)
    ]
    tables = dict.fromkeys(row.table for row in in_order(result.row for result in results))
    return [Stratum(*table, tuple(result for result in results if result.row.table == table)) for table in tables]


def adaptation_results(experiment: Experiment, group: int) -> list[tuple[int, Result]]:
    """(gradient steps, what was answered after them), by method, shots and steps, frames pooled as in `paper` scoring.

    Empty where no run of the experiment has a curve; trainings without one are left out.
    """
    parts = [by_steps(run.curve) for run in experiment.runs if run.curve and run.group == group]
    shared = [key for key in (parts[0] if parts else ()) if all(key in part for part in parts)]
    return [
        (steps, Result(experiment, row, tuple(part[row, steps] for part in parts)))
        for row, steps in sorted(shared, key=lambda key: (key[0].method, key[0].shots, key[1]))
    ]
