"""Region similarity J and boundary measure F of a clip, frame by frame.

T frames of a clip, H W picture size. Both measures lie in [0, 1] and are 1 where both masks are empty.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
Scores = NDArray[np.float64]

# Boundary tolerance of each scoring, as a fraction of the picture's diagonal.
TOLERANCES = {"paper": 0.010, "davis": 0.008}


def region_similarity(prediction: Masks, truth: Masks) -> Scores:
    """Intersection over union of each frame: two (T, H, W) bool arrays -> (T,) float64.

    Raises ValueError if the shapes differ or are not (T, H, W), TypeError if a mask is not bool.
    """
    _check(prediction, truth)
    union = np.count_nonzero(prediction | truth, axis=(1, 2))
    intersection = np.count_nonzero(prediction & truth, axis=(1, 2))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def boundary_measure(prediction: Masks, truth: Masks, *, tolerance: float) -> Scores:
    """F of boundary precision and recall of each frame: two (T, H, W) bool arrays -> (T,) float64.

    `tolerance` is a fraction of the picture's diagonal; the radius in pixels is rounded up. A boundary pixel is
    matched if the other mask has a boundary pixel within that radius.
    Raises ValueError for shapes that differ or a tolerance outside (0, 1), TypeError if a mask is not bool.
    """
    _check(prediction, truth)
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"boundary tolerance must be a fraction of the diagonal in (0, 1), found {tolerance}")
    radius = math.ceil(tolerance * math.hypot(*truth.shape[1:]))
    frames = zip(prediction.view(np.uint8), truth.view(np.uint8), strict=True)
    return np.array([_boundary_frame(p, t, radius) for p, t in frames], dtype=np.float64)


def score_clip(prediction: Masks, truth: Masks, *, tolerance: float) -> tuple[Scores, Scores]:
    """(J, F), each (T,), of one clip."""
    return region_similarity(prediction, truth), boundary_measure(prediction, truth, tolerance=tolerance)


def _check(prediction: Masks, truth: Masks) -> None:
    if truth.ndim != 3 or prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} must share one shape (T, H, W)")
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_:
            raise TypeError(f"{name} must be bool, found {mask.dtype}; threshold probabilities first")


def _boundary_frame(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], radius: int) -> float:
    crop = _union_box(prediction, truth)
    of_prediction, of_truth = _boundary(prediction[crop]), _boundary(truth[crop])
    # As in the DAVIS measure, a mask that fills the picture has no boundary: only J tells it from an empty one.
    has_prediction, has_truth = of_prediction.any(), of_truth.any()
    if not has_prediction and not has_truth:
        return 1.0
    if not has_prediction or not has_truth:
        return 0.0
    precision = _share_near(of_prediction, of_truth, radius)
    recall = _share_near(of_truth, of_prediction, radius)
    return 2.0 * precision * recall / (precision + recall) if precision + recall > 0.0 else 0.0


def _union_box(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[slice, slice]:
    """The box that holds both masks and one pixel around them: all boundary pixels lie inside."""
    x, y, width, height = cv2.boundingRect(cv2.bitwise_or(prediction, truth))
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def _boundary(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where a pixel differs from its right, lower or lower right neighbour; neighbours outside do not count."""
    edge = np.zeros_like(mask)
    down, right = mask[:-1] ^ mask[1:], mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] = down
    edge[:, :-1] |= right
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _share_near(points: NDArray[np.uint8], others: NDArray[np.uint8], radius: int) -> float:
    """Share of `points` that have one of `others` within `radius` pixels (a disk)."""
    distance = cv2.distanceTransform(1 - others, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances are whole numbers: half a unit of slack makes the comparison exact in float32.
    near = distance[points.view(np.bool_)] <= math.sqrt(radius * radius + 0.5)
    return float(np.count_nonzero(near) / near.size)
