"""Poolings against sums by hand, and the bootstrap against what a bootstrap must do."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fewshot.results.records import Item, Record
from fewshot.results.row import Row
from fewshot.results.statistics import (
    estimate,
    estimate_over_groups,
    means_by,
    paired_difference,
)


def _record(
    score: float,
    *,
    category: str = "crown",
    video: str = "v0",
    seed: int = 0,
    expression: str = "0",
    frames: int = 4,
    scoring: str = "paper",
    boundary: float | None = None,
) -> Record:
    item = Item(seed, category, video, "1", expression)
    f = score if boundary is None else boundary
    row = Row("cma", 1, None, scoring, 1)
    return Record.of_clip(row, item, np.full(frames, score), np.full(frames, f), seconds=0.1)


def _grid(
    score: Callable[[int, int, int], float],
    *,
    classes: int = 4,
    videos: int = 5,
    seeds: int = 3,
    scoring: str = "paper",
) -> list[Record]:
    return [
        _record(score(c, v, s), category=f"c{c}", video=f"v{v}", seed=s, scoring=scoring)
        for c in range(classes)
        for v in range(videos)
        for s in range(seeds)
    ]


def of_group(group: int, records: list[Record]) -> list[Record]:
    return [replace(record, row=replace(record.row, group=group)) for record in records]


def test_paper_scoring_pools_all_frames() -> None:
    records = [_record(0.9, frames=30), _record(0.3, video="v1", frames=10), _record(0.1, category="hat", frames=10)]

    found = estimate(records)

    assert pytest.approx(100 * (0.9 * 30 + 0.3 * 10 + 0.1 * 10) / 50) == found.J


def test_davis_scoring_takes_the_mean_of_sequences_then_of_classes() -> None:
    records = [
        _record(0.9, frames=30, scoring="davis"),
        _record(0.3, video="v1", frames=10, scoring="davis"),
        _record(0.1, category="hat", frames=10, scoring="davis"),
    ]

    found = estimate(records)

    assert pytest.approx(100 * ((0.9 + 0.3) / 2 + 0.1) / 2) == found.J


def test_jf_is_the_mean_of_j_and_f() -> None:
    found = estimate([_record(0.2, boundary=0.6)])

    assert pytest.approx((20.0, 60.0, 40.0)) == (found.J, found.F, found.JF)


@pytest.mark.parametrize("scoring", ["paper", "davis"])
def test_equal_scores_leave_no_doubt(scoring: str) -> None:
    found = estimate(_grid(lambda c, v, s: 0.5, scoring=scoring))

    assert (found.JF_low, found.JF, found.JF_high) == pytest.approx((50, 50, 50))


@pytest.mark.parametrize("scoring", ["paper", "davis"])
def test_the_order_of_records_does_not_matter(scoring: str) -> None:
    records = _grid(lambda c, v, s: (7 * c + 3 * v + s) % 10 / 10, scoring=scoring)

    first, second = estimate(records), estimate(records[::-1])

    assert (first.JF, first.JF_low, first.JF_high) == pytest.approx((second.JF, second.JF_low, second.JF_high))


def test_the_same_seed_gives_the_same_interval_and_another_one_a_near_interval() -> None:
    records = _grid(lambda c, v, s: (7 * c + 3 * v + s) % 10 / 10)

    assert estimate(records, seed=1) == estimate(records, seed=1)
    assert estimate(records, seed=1).JF_low != estimate(records, seed=2).JF_low
    assert estimate(records, seed=1).JF_low == pytest.approx(estimate(records, seed=2).JF_low, abs=2)


def test_more_seeds_or_sentences_of_the_same_videos_do_not_narrow_the_interval() -> None:
    def score(c: int, v: int, s: int) -> float:
        return (7 * c + 3 * v) % 10 / 10

    few, many = estimate(_grid(score, seeds=1)), estimate(_grid(score, seeds=20))

    assert (many.JF_low, many.JF_high) == pytest.approx((few.JF_low, few.JF_high))


def test_more_classes_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((40, 5))

    few, many = (estimate(_grid(lambda c, v, s: float(scores[c, v]), classes=count)) for count in (5, 40))

    assert many.JF_high - many.JF_low < 0.6 * (few.JF_high - few.JF_low)


def test_classes_that_differ_widen_the_interval_beyond_that_of_single_videos() -> None:
    by_class = estimate(_grid(lambda c, v, s: 0.2 + 0.2 * c))
    by_video = estimate(_grid(lambda c, v, s: 0.2 + 0.15 * v))  # nearly the same spread of videos, equal classes

    assert by_class.JF_high - by_class.JF_low > 1.5 * (by_video.JF_high - by_video.JF_low)


def test_the_interval_is_as_wide_as_theory_says_for_many_classes_of_one_video() -> None:
    scores = np.random.default_rng(1).random(60)
    records = [_record(float(score), category=f"c{c:02d}") for c, score in enumerate(scores)]

    found = estimate(records, resamples=4000)

    assert (found.JF_high - found.JF_low) / 2 == pytest.approx(100 * 1.96 * scores.std() / np.sqrt(60), rel=0.08)


@pytest.mark.parametrize("cells", [200, 2_000_000])
def test_the_interval_is_that_of_classes_and_videos_drawn_one_by_one(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewshot.results.statistics._BLOCK_CELLS", cells)
    sizes = [3, 40, 1, 7]
    records = [
        _record((11 * c + 5 * v) % 10 / 10, category=f"c{c}", video=f"v{v}")
        for c, count in enumerate(sizes)
        for v in range(count)
    ]

    found = estimate(records, resamples=3000)

    rng, drawn = np.random.default_rng(9), []
    for _ in range(3000):
        total = []
        for c in rng.integers(len(sizes), size=len(sizes)):
            total += [(11 * c + 5 * v) % 10 / 10 for v in rng.integers(sizes[c], size=sizes[c])]
        drawn.append(100 * np.mean(total))
    assert (found.JF_low, found.JF_high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))), abs=1.0)


@pytest.mark.parametrize("scoring", ["paper", "davis"])
def test_groups_count_equally_whatever_their_number_of_classes_and_frames(scoring: str) -> None:
    small = _grid(lambda c, v, s: 0.2, classes=1, videos=1, scoring=scoring)
    large = of_group(3, _grid(lambda c, v, s: 0.8, classes=9, scoring=scoring))

    found = estimate_over_groups(small + large)

    assert (found.JF_low, found.JF, found.JF_high) == pytest.approx((50, 50, 50))


def test_the_mean_over_one_group_is_that_of_the_group() -> None:
    records = _grid(lambda c, v, s: (7 * c + 3 * v + s) % 10 / 10)

    one, plain = estimate_over_groups(records, resamples=4000), estimate(records, resamples=4000)

    assert (one.J, one.F) == (plain.J, plain.F)
    assert (one.JF_low, one.JF_high) == pytest.approx((plain.JF_low, plain.JF_high), abs=1.0)


def test_groups_are_drawn_apart_so_that_four_equal_ones_halve_the_interval() -> None:
    one = _grid(lambda c, v, s: (7 * c + 3 * v + s) % 10 / 10, classes=8)
    four = [record for group in (1, 2, 3, 4) for record in of_group(group, one)]

    single, mean = estimate(one, resamples=4000), estimate_over_groups(four, resamples=4000)

    assert pytest.approx(single.JF) == mean.JF
    assert mean.JF_high - mean.JF_low == pytest.approx((single.JF_high - single.JF_low) / 2, rel=0.1)


def test_a_paired_difference_cancels_what_is_hard_for_both() -> None:
    def score(c: int, v: int, s: int) -> float:
        return (7 * c + 3 * v + s) % 8 / 10

    better, worse = _grid(lambda c, v, s: score(c, v, s) + 0.1), _grid(score)

    difference = paired_difference([better], [worse])

    assert difference is not None
    assert (difference.JF_low, difference.JF, difference.JF_high) == pytest.approx((10, 10, 10))
    assert difference.items == 60


def test_a_paired_difference_uses_only_what_both_answered() -> None:
    first = [_record(0.9), _record(0.1, video="v1")]
    second = [_record(0.5), _record(1.0, video="v2")]

    difference = paired_difference([first], [second])

    assert difference is not None
    assert (difference.items, difference.JF) == (1, pytest.approx(40))


def test_methods_without_a_common_item_have_no_difference() -> None:
    assert paired_difference([[_record(0.9)]], [[_record(0.9, video="v1")]]) is None


def _uneven(c: int, v: int, s: int) -> float:
    return 0.3 + (7 * c + 3 * v + s) % 8 / 20


def test_equal_trainings_have_the_estimate_of_one() -> None:
    assert estimate(_grid(_uneven), _grid(_uneven)) == estimate(_grid(_uneven))


def test_trainings_that_err_oppositely_leave_no_doubt_together() -> None:
    trainings = [_grid(_uneven), _grid(lambda c, v, s: 1 - _uneven(c, v, s))]

    mean = estimate(*trainings)

    # Both are resampled by the same draws, so what one gains the other loses in every resample.
    assert (mean.JF_low, mean.JF, mean.JF_high) == pytest.approx((50, 50, 50))
    assert estimate(trainings[0]).JF_high - estimate(trainings[0]).JF_low > 1


def test_trainings_of_one_method_must_have_answered_the_same_items() -> None:
    for trainings in ([_grid(_uneven), _grid(_uneven, videos=4)], []):
        with pytest.raises(ValueError, match="the same items"):
            estimate(*trainings)


def test_a_difference_over_trainings_is_that_of_their_means_on_what_all_answered() -> None:
    first = [_grid(lambda c, v, s: _uneven(c, v, s) + 0.1), _grid(lambda c, v, s: _uneven(c, v, s) + 0.2, videos=3)]

    difference = paired_difference(first, [_grid(_uneven)])

    assert difference is not None
    assert difference.items == 4 * 3 * 3
    assert (difference.JF_low, difference.JF, difference.JF_high) == pytest.approx((15, 15, 15))
    assert paired_difference(first, [[_record(0.5, seed=9)]]) is None


def test_means_by_class_and_by_seed_are_those_of_their_records() -> None:
    records = _grid(lambda c, v, s: 0.1 * c + 0.05 * s)

    assert means_by(records, lambda r: r.item.category)["c3"] == pytest.approx((35, 35))
    assert means_by(records, lambda r: r.item.seed)[2] == pytest.approx((25, 25))


def test_what_cannot_be_averaged_is_rejected() -> None:
    with pytest.raises(ValueError, match="no records"):
        estimate([])
    with pytest.raises(ValueError, match="no records"):
        estimate_over_groups([])
    with pytest.raises(ValueError, match="occurs twice"):
        estimate([_record(0.5), _record(0.6)])
    with pytest.raises(ValueError, match="one scoring"):
        estimate([_record(0.5), _record(0.6, scoring="davis")])
