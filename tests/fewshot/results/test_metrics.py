"""J and F against the published values, against a plain whole-picture computation, and by their properties."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from experiments.speed.scores import compare_metrics, draw_masks, plain_scores
from fewshot.results.metrics import TOLERANCES, Masks, score_clip
from tests.paths import REFERENCE


@pytest.mark.reference
def test_both_measures_equal_the_published_values() -> None:
    if not (REFERENCE / "jf.npz").is_file():
        pytest.skip(f"no published values at {REFERENCE / 'jf.npz'}; CMA_REFERENCE names their folder")
    with np.load(REFERENCE / "jf.npz") as pairs:
        for index, (j, f) in enumerate(zip(pairs["J"], pairs["F"], strict=True)):
            truth, prediction = pairs[f"gt_{index}"][None] > 0, pairs[f"pred_{index}"][None] > 0

            scores = score_clip(prediction, truth, tolerance=0.010)

            assert scores[0][0] == pytest.approx(j, abs=1e-9), f"J of pair {index}"
            assert scores[1][0] == pytest.approx(f, abs=1e-9), f"F of pair {index}"


def _blobs(rng: np.random.Generator, height: int, width: int) -> Masks:
    """A random mask: a thresholded smooth field, a few single pixels, sometimes nothing or all of a side."""
    smooth = ndimage.gaussian_filter(rng.normal(size=(height, width)), rng.uniform(1, 8))
    mask: NDArray[np.bool_] = smooth > np.quantile(smooth, rng.uniform(0.4, 1.0))
    mask |= rng.random((height, width)) < rng.choice([0.0, 0.002])
    window = np.zeros_like(mask)
    top, left = rng.integers(0, height), rng.integers(0, width)
    window[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = True
    mask &= window if rng.random() < 0.7 else True
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_the_cropped_computation_equals_the_whole_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        height, width = (int(side) for side in rng.integers(1, 120, size=2))
        prediction, truth = _blobs(rng, height, width), _blobs(rng, height, width)
        if rng.random() < 0.3:
            prediction = np.roll(truth, tuple(rng.integers(-4, 5, size=2)), axis=(0, 1))
        for tolerance in (0.008, 0.010, 0.05):
            expected = plain_scores(prediction[None], truth[None], tolerance=tolerance)

            scores = score_clip(prediction[None], truth[None], tolerance=tolerance)

            assert np.array_equal(scores, expected), (height, width, tolerance)


def test_objects_at_each_border_and_corner_of_the_picture_score_as_on_the_whole_picture() -> None:
    for top, left in ((0, 10), (40, 10), (10, 0), (10, 50), (0, 0), (0, 50), (40, 0), (40, 50)):
        truth = np.zeros((60, 80), dtype=np.bool_)
        truth[top : top + 20, left : left + 30] = True
        for shift in ((0, 0), (2, -3)):
            prediction = ndimage.shift(truth.astype(float), shift, order=0) > 0.5
            expected = plain_scores(prediction[None], truth[None], tolerance=0.010)
            assert score_clip(prediction[None], truth[None], tolerance=0.010) == expected


def _disk(row: float, column: float, radius: float = 14, side: int = 100) -> Masks:
    rows, columns = np.mgrid[:side, :side]
    disk: Masks = np.hypot(rows - row, columns - column) < radius
    return disk


def test_equal_masks_score_one() -> None:
    clip = np.stack([_disk(40, 40), _disk(2, 97), np.zeros((100, 100), bool), np.ones((100, 100), bool)])

    j, f = score_clip(clip, clip, tolerance=0.010)

    assert j.tolist() == f.tolist() == [1.0] * 4


def test_a_missed_or_an_imagined_object_scores_zero() -> None:
    clip, empty = _disk(40, 40)[None], np.zeros((1, 100, 100), bool)

    for prediction, truth in ((clip, empty), (empty, clip)):
        assert score_clip(prediction, truth, tolerance=0.010) == (0.0, 0.0)


def test_a_picture_filled_by_mistake_is_told_from_an_empty_one_by_the_region_only() -> None:
    full, empty = np.ones((1, 20, 20), bool), np.zeros((1, 20, 20), bool)

    assert score_clip(full, empty, tolerance=0.010) == (0.0, 1.0)


def test_both_measures_are_symmetric() -> None:
    rng = np.random.default_rng(3)
    first, second = (np.stack([_blobs(rng, 50, 70) for _ in range(20)]) for _ in range(2))

    there, back = score_clip(first, second, tolerance=0.01), score_clip(second, first, tolerance=0.01)

    assert np.array_equal(there[0], back[0])
    np.testing.assert_allclose(there[1], back[1], atol=1e-12)


def test_a_shift_within_the_tolerance_costs_no_boundary_and_further_shifts_cost_more_and_more() -> None:
    truth = np.stack([_disk(50, 40)] * 6)
    moved = np.stack([_disk(50, 40 + shift) for shift in (0, 1, 2, 4, 8, 30)])  # the radius is ceil(1.41) = 2

    _, f = score_clip(moved, truth, tolerance=0.010)

    assert f[:3].tolist() == [1.0, 1.0, 1.0]
    assert f[2] > f[3] > f[4] > f[5] == 0.0


def test_a_larger_tolerance_never_scores_lower() -> None:
    rng = np.random.default_rng(4)
    first, second = (np.stack([_blobs(rng, 60, 60) for _ in range(20)]) for _ in range(2))

    scores = [score_clip(first, second, tolerance=tolerance)[1] for tolerance in (0.008, 0.01, 0.03, 0.1)]

    assert all((wide >= narrow).all() for narrow, wide in pairwise(scores))


def test_frames_are_scored_one_by_one() -> None:
    rng = np.random.default_rng(5)
    first, second = (np.stack([_blobs(rng, 40, 60) for _ in range(7)]) for _ in range(2))

    j, f = score_clip(first, second, tolerance=0.010)

    alone = [score_clip(first[t : t + 1], second[t : t + 1], tolerance=0.010) for t in range(7)]
    assert j.tolist() == [score[0][0] for score in alone]
    assert f.tolist() == [score[1][0] for score in alone]
    assert j.dtype == f.dtype == np.float64


def test_masks_that_are_views_of_larger_arrays_score_the_same() -> None:
    rng = np.random.default_rng(6)
    large = np.stack([_blobs(rng, 64, 96) for _ in range(3)])
    first, second = large[:, :50, :70], large[:, 10:60, 5:75]

    expected = score_clip(first.copy(), second.copy(), tolerance=0.010)

    np.testing.assert_array_equal(score_clip(first, second, tolerance=0.010), expected)


def test_a_clip_without_frames_has_no_scores() -> None:
    empty = np.zeros((0, 8, 8), bool)

    assert [len(scores) for scores in score_clip(empty, empty, tolerance=0.010)] == [0, 0]


def test_both_scorings_have_their_tolerance() -> None:
    assert TOLERANCES == {"paper": 0.010, "davis": 0.008}


def test_probabilities_shapes_that_differ_and_a_tolerance_in_pixels_are_rejected() -> None:
    mask = np.zeros((2, 8, 8), bool)

    with pytest.raises(TypeError, match="prediction must be bool, found float32; threshold"):
        score_clip(mask.astype(np.float32), mask, tolerance=0.010)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(2, 8, 8\) and truth \(1, 8, 8\) must share one shape"):
        score_clip(mask, mask[:1], tolerance=0.010)
    with pytest.raises(ValueError, match="fraction of the diagonal in"):
        score_clip(mask, mask, tolerance=3)


def test_the_benchmark_of_both_computations_finds_no_difference_on_masks_that_differ_and_on_empty_ones() -> None:
    prediction, truth = draw_masks(20, (96, 128), seed=0)

    _, difference = compare_metrics(prediction, truth)
    assert difference == 0.0
    assert (~truth.any(axis=(1, 2))).any()
    j, f = plain_scores(prediction, truth, tolerance=0.01)
    assert ((j > 0) & (j < 1)).any()
    assert ((f > 0) & (f < 1)).any()
