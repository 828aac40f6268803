"""Region similarity J and boundary measure F of a clip, frame by frame.

T frames of a clip, H W picture size. Both measures lie in [0, 1] and are 1 where both masks are empty.
"""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
Scores = NDArray[np.float64]

# Boundary tolerance of each scoring, as a fraction of the picture's diagonal.
TOLERANCES = {"paper": 0.010, "davis": 0.008}


def score_clip(prediction: Masks, truth: Masks, *, tolerance: float) -> tuple[Scores, Scores]:
    """(J, F) of each frame: two (T, H, W) bool arrays -> two of (T,) float64.

    J is intersection over union. F is that of boundary precision and recall: a boundary pixel is matched if the other
    mask has a boundary pixel within `tolerance`, a fraction of the picture's diagonal, rounded up to pixels.
    Raises ValueError for shapes that differ or are not (T, H, W), or a tolerance outside (0, 1); TypeError if a mask is
    not bool.
    """
    if truth.ndim != 3 or prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} must share one shape (T, H, W)")
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_:
            raise TypeError(f"{name} must be bool, found {mask.dtype}; threshold probabilities first")
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"boundary tolerance must be a fraction of the diagonal in (0, 1), found {tolerance}")
    radius = math.ceil(tolerance * math.hypot(*truth.shape[1:]))
    region, boundary = np.ones(len(truth)), np.ones(len(truth))
    frames = zip(prediction.view(np.uint8), truth.view(np.uint8), strict=True)
    for index, (whole_prediction, whole_truth) in enumerate(frames):
        crop = _union_box(whole_prediction, whole_truth)
        p, t = whole_prediction[crop], whole_truth[crop]
        if union := cv2.countNonZero(cv2.bitwise_or(p, t)):
            region[index] = cv2.countNonZero(cv2.bitwise_and(p, t)) / union
            boundary[index] = _boundary_measure(p, t, radius)
    return region, boundary


def _union_box(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The box that holds both masks and one pixel around them: all boundary pixels lie inside."""
    x, y, width, height = cv2.boundingRect(cv2.bitwise_or(prediction, truth))
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def _boundary_measure(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], radius: int) -> float:
    of_prediction, of_truth = _boundary(prediction), _boundary(truth)
    # As in the DAVIS measure, a mask that fills the picture has no boundary: only J tells it from an empty one.
    has_prediction, has_truth = of_prediction.any(), of_truth.any()
    if not has_prediction and not has_truth:
        return 1.0
    if not has_prediction or not has_truth:
        return 0.0
    precision = _share_near(of_prediction, of_truth, radius)
    recall = _share_near(of_truth, of_prediction, radius)
    return 2.0 * precision * recall / (precision + recall) if precision + recall > 0.0 else 0.0


def _boundary(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where a pixel differs from its right, lower or lower right neighbour; neighbours outside do not count."""
    edge = np.zeros_like(mask)
    edge[:-1] = mask[:-1] ^ mask[1:]
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _share_near(points: NDArray[np.uint8], others: NDArray[np.uint8], radius: int) -> float:
    """Share of `points` that have one of `others` within `radius` pixels."""
    # At 480 x 854 (radius 10) less than half the time of a distance transform, at 1080 x 1920 (radius 23) 1.6 times it.
    near = cv2.bitwise_and(points, cv2.dilate(others, _disk(radius)))
    return cv2.countNonZero(near) / cv2.countNonZero(points)


@cache
def _disk(radius: int) -> NDArray[np.uint8]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (y * y + x * x <= radius * radius).astype(np.uint8)
