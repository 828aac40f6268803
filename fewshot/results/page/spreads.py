"""How much of a result is the seed of the training, and how much the draw of the support: two spreads, never one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewshot.results.page.content import Block, Table
from fewshot.results.page.experiments import Row, Stratum
from fewshot.results.statistics import means_by
from fewshot.results.tables import points

FEW_TRAININGS = 3  # below it, a standard deviation over trainings says next to nothing


def spread_blocks(stratum: Stratum) -> tuple[Block, ...]:
    """A warning where trainings are few, and the table of both spreads."""
    if not stratum.plain:
        return ()
    head = (*stratum.head, "J&F", "support seeds", "deviation between support seeds", "training seeds")
    head = (*head, "deviation between training seeds", "J&F of each training seed")
    note = (
        "Standard deviations of J&F, in points. Between support seeds: within one training, root mean square over "
        "trainings. Between training seeds: of the means of whole trainings, which all have the same support draws."
    )
    body = tuple((*stratum.cells(row), *_spreads(row)) for row in stratum.plain)
    return (*_few(stratum), Table("J&F by support seed and by training seed", head, body, note))


def _spreads(row: Row) -> tuple[str, ...]:
    draws = [[sum(jf) / 2 for jf in means_by(t, lambda record: record.seed).values()] for t in row.trainings]
    # One part that holds all records: the mean of a training, pooled as its scoring asks.
    means = [sum(means_by(t, lambda record: record.group)[row.trainings[0][0].group]) / 2 for t in row.trainings]
    each = (f"seed {run.seed}: {points(mean)}" for run, mean in zip(row.experiment.runs, means, strict=True))
    return (
        points(row.estimate.JF),
        *(str(len(draws[0])), _deviation(draws)),
        *(str(len(means)), _deviation([means]), ", ".join(each)),
    )


def _few(stratum: Stratum) -> tuple[str, ...]:
    few = [f"{one.name}: {len(one.runs)}" for one in stratum.experiments if len(one.runs) < FEW_TRAININGS]
    if not few:
        return ()
    return (
        f"Fewer than {FEW_TRAININGS} training seeds ({', '.join(few)}): how much another training would differ is not "
        "measured well enough to be claimed.",
    )


def _deviation(samples: Sequence[Sequence[float]]) -> str:
    """Root mean square of the samples' standard deviations; a dash where a sample has a single value."""
    if min(len(sample) for sample in samples) < 2:
        return "-"
    return points(float(np.sqrt(np.mean([np.var(sample, ddof=1) for sample in samples]))))
