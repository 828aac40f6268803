"""Scores of many records, and how sure they are: two poolings and a bootstrap over classes and videos.

Clips of one video share frames, and videos of one class share a support set, so frames are not independent draws. The
bootstrap therefore draws classes, then videos within each drawn class, and keeps all records of a video together
(its sentences, objects and seeds). C classes, V videos of the largest class, R resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot.results.records import Record, grouped

Part = TypeVar("Part", int, str)

RESAMPLES = 2000
CONFIDENCE = 0.95
_BLOCK_CELLS = 2_000_000  # drawn cells held at once; those of all resamples of a large set would take gigabytes


@dataclass(frozen=True)
class Estimate:
    """Means in points (0-100); the interval is that of J&F, the mean of J and F."""

    J: float
    F: float
    JF_low: float
    JF_high: float

    @property
    def JF(self) -> float:  # noqa: N802, the measure's name
        return (self.J + self.F) / 2.0


@dataclass(frozen=True)
class Difference(Estimate):
    """Mean of the first minus mean of the second, in points, on the `items` that both answered."""

    items: int


@dataclass(frozen=True)
class _ClusterTable:
    """Sums by class and video. scores (C, V, 2) and weights (C, V) are 0 beyond a class's `videos` (C,)."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    videos: NDArray[np.int64]
    by_class: bool  # True: each class counts equally; False: each frame does


def estimate(*trainings: Sequence[Record], resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Mean and 95 % interval of the records of one row, from one training or the mean of several.

    `paper` pools all frames; `davis` takes the mean of each sequence, then of each class, then of the classes. All
    trainings are resampled by the same draws of classes and videos and then averaged; trainings themselves are not
    resampled, so their spread is not in the interval. Raises ValueError if there is no record, an item occurs twice,
    scorings are mixed, or trainings answered different items.
    """
    if len({frozenset(record.item for record in records) for records in trainings}) != 1:
        raise ValueError("trainings of one method must have answered the same items, at least one training")
    return Estimate(**_in_points(*_over_trainings(trainings, resamples, seed)))


def paired_difference(
    first: Sequence[Sequence[Record]], second: Sequence[Sequence[Record]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference | None:
    """Difference of two rows, means over their trainings, on the items (seed, class, video, object, sentence) that all
    trainings of both answered; None if there is no such item.

    Both are resampled by the same draws: what makes a class or video hard for both cancels.
    """
    shared = set.intersection(*({record.item for record in records} for records in (*first, *second)))
    if not shared:
        return None
    sides = [[[r for r in records if r.item in shared] for records in side] for side in (first, second)]
    # Equal items make equal clusters, and equal seeds then make equal draws.
    (mean, drawn), (other_mean, other_drawn) = (_over_trainings(side, resamples, seed) for side in sides)
    return Difference(**_in_points(mean - other_mean, drawn - other_drawn), items=len(shared))


def estimate_over_groups(records: Sequence[Record], *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Mean over the groups that occur, each pooled as `estimate` does, and its 95 % interval.

    Groups are fixed, and each counts equally: classes and videos are drawn within each group, apart from the others,
    and each resample averages the groups' means. Raises ValueError as `estimate` does.
    """
    parts = sorted(grouped(records, lambda record: record.row.group).items())
    tables = {group: _cluster_table(of_group) for group, of_group in parts}
    if not tables:
        raise ValueError("no records to average: give those of one run for each group")
    drawn = np.mean([_bootstrap(table, resamples, (seed, group)) for group, table in tables.items()], axis=0)
    return Estimate(**_in_points(np.mean([_mean(table) for table in tables.values()], axis=0), drawn))


def means_by(records: Sequence[Record], key: Callable[[Record], Part]) -> dict[Part, tuple[float, float]]:
    """(J, F) in points of the records of each key (a class, a seed), keys ascending, pooled as their scoring asks."""
    means = {}
    for part, held in sorted(grouped(records, key).items()):
        j, f = (float(100 * value) for value in _mean(_cluster_table(held)))
        means[part] = (j, f)
    return means


def _cluster_table(records: Sequence[Record]) -> _ClusterTable:
    if not records:
        raise ValueError("no records to average: filter by a method, shots, control and scoring that were evaluated")
    scorings = {record.row.scoring for record in records}
    if len(scorings) != 1:
        raise ValueError(f"records of one scoring are needed, found {sorted(scorings)}: filter by scoring first")
    seen = set()
    videos: dict[str, set[str]] = {}
    for record in records:
        if record.item in seen:
            raise ValueError(f"{record.item} occurs twice: select one method, shots and control")
        seen.add(record.item)
        videos.setdefault(record.item.category, set()).add(record.item.video)
    by_class = scorings == {"davis"}
    classes = {name: row for row, name in enumerate(sorted(videos))}
    places = {name: {video: column for column, video in enumerate(sorted(held))} for name, held in videos.items()}
    counts = np.array([len(videos[name]) for name in classes], dtype=np.int64)
    scores, weights = np.zeros((len(classes), counts.max(), 2)), np.zeros((len(classes), counts.max()))
    for record in records:
        cell = classes[record.item.category], places[record.item.category][record.item.video]
        scores[cell] += (record.J, record.F) if by_class else (record.J_sum, record.F_sum)
        weights[cell] += 1 if by_class else record.frames
    return _ClusterTable(scores, weights, counts, by_class)


def _over_trainings(
    trainings: Sequence[Sequence[Record]], resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2,) J and F as fractions, and (R, 2) of each resample: means over trainings, all on the same draws."""
    tables = [_cluster_table(records) for records in trainings]
    drawn = np.mean([_bootstrap(table, resamples, seed) for table in tables], axis=0)
    return np.asarray(np.mean([_mean(table) for table in tables], axis=0)), np.asarray(drawn)


def _mean(table: _ClusterTable) -> NDArray[np.float64]:
    """(2,) J and F as fractions."""
    return _pool(table.scores.sum(axis=1), table.weights.sum(axis=1), table.by_class)


def _pool(scores: NDArray[np.float64], weights: NDArray[np.float64], by_class: bool) -> NDArray[np.float64]:
    """(..., C, 2) sums and (..., C) weights of classes -> (..., 2) means."""
    if by_class:
        return np.asarray((scores / weights[..., None]).mean(axis=-2))
    return np.asarray(scores.sum(axis=-2) / weights.sum(axis=-1)[..., None])


def _bootstrap(table: _ClusterTable, resamples: int, seed: int | Sequence[int]) -> NDArray[np.float64]:
    """(R, 2) J and F of each resample."""
    classes, longest = table.weights.shape
    rng = np.random.default_rng(seed)
    means = []
    block = max(1, _BLOCK_CELLS // (classes * longest))
    for start in range(0, resamples, block):
        rows = rng.integers(classes, size=(min(block, resamples - start), classes))  # (R, C)
        counts = table.videos[rows][..., None]  # (R, C, 1)
        columns = (rng.random((*rows.shape, longest)) * counts).astype(np.int64)  # (R, C, V), each < its class's count
        kept = np.arange(longest) < counts
        scores = (table.scores[rows[..., None], columns] * kept[..., None]).sum(axis=2)
        weights = (table.weights[rows[..., None], columns] * kept).sum(axis=2)
        means.append(_pool(scores, weights, table.by_class))
    return np.concatenate(means)


def _in_points(mean: NDArray[np.float64], drawn: NDArray[np.float64]) -> dict[str, float]:
    """(2,) J and F and (R, 2) resampled ones, as fractions -> J, F, and the percentile interval of J&F, in points."""
    tail = 100 * (1 - CONFIDENCE) / 2
    interval = np.percentile(100 * drawn.mean(axis=1), (tail, 100 - tail))
    return dict(zip(("J", "F", "JF_low", "JF_high"), map(float, (*(100 * mean), *interval)), strict=True))
