"""How much of a result is the seed of the training, and how much the draw of the support: two spreads, never one."""

from collections.abc import Mapping, Sequence

import numpy as np

from fewshot.results.page.content import Block, Table
from fewshot.results.page.experiments import Result, Stratum
from fewshot.results.statistics import Part
from fewshot.results.tables import points

FEW_TRAININGS = 3  # below it, a standard deviation over trainings says next to nothing


def spread_blocks(stratum: Stratum) -> tuple[Block, ...]:
    """A warning where trainings are few, and the table of both spreads."""
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
    return (*_few(stratum), Table("J&F by support seed and by training seed", head, body, note))


def _spreads(result: Result) -> tuple[str, ...]:
    draws = result.means_by(lambda record: record.item.seed)
    by_draw = average(draws)
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


def average(trainings: Sequence[Mapping[Part, float]]) -> dict[Part, float]:
    """The mean over trainings of each part."""
    return {part: float(np.mean([means[part] for means in trainings])) for part in trainings[0]}


def _each(means: Mapping[int, float]) -> str:
    return ", ".join(f"seed {seed}: {points(mean)}" for seed, mean in means.items())


def _few(stratum: Stratum) -> tuple[str, ...]:
    few = ", ".join(f"{one.name}: {len(one.runs)}" for one in stratum.experiments if len(one.runs) < FEW_TRAININGS)
    warning = "how much another training would differ is not measured well enough to be claimed."
    return (f"Fewer than {FEW_TRAININGS} training seeds ({few}): {warning}",) if few else ()


def _deviation(samples: Sequence[Sequence[float]]) -> str:
    """Root mean square of the samples' standard deviations; a dash where a sample has a single value."""
    if min(len(sample) for sample in samples) < 2:
        return "-"
    return points(float(np.sqrt(np.mean([np.var(sample, ddof=1) for sample in samples]))))
