"""Whether what the sentences say can be seen in the masks (and, for colours, in the pictures)."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import cv2
import numpy as np

from episodes.composed.planning import Role
from episodes.composed.words import HUES

_SMALLEST = 90  # visible pixels of an object, in at least half of the frames
_AXES = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1), "up": (1, -1), "down": (1, 1)}


def all_true(roles: Sequence[Role], masks: np.ndarray, whole: Sequence[Sequence[int]], frames: np.ndarray) -> bool:
    """roles[i] has id i + 1 in masks (T, H, W); whole[i][t] are the pixels it would have if nothing stood before it."""
    seen = np.stack([(masks == number).sum(axis=(1, 2)) for number in range(1, len(roles) + 1)])  # (objects, T)
    for pixels, full in zip(seen, whole, strict=True):
        shown = pixels >= np.maximum(_SMALLEST, 0.35 * np.asarray(full))
        if 2 * shown.sum() < len(shown):
            return False
    for first, second in combinations(range(len(roles)), 2):
        role, twin = roles[first], roles[second]
        alike = (role.category, role.attribute) == (twin.category, twin.attribute)
        if alike and not _pair_differs(role, twin, seen[[first, second]], masks, (first + 1, second + 1)):
            return False
    for index, role in enumerate(roles):
        if role.attribute == "motion" and not _moves(role.value, masks == index + 1):
            return False
        if role.attribute == "colour" and not _has_hue(role.value, masks == index + 1, frames):
            return False
    return True


def _pair_differs(role: Role, twin: Role, seen: np.ndarray, masks: np.ndarray, ids: tuple[int, int]) -> bool:
    if role.attribute == "size":
        return measured_size(seen) == (role.value, twin.value)
    if role.attribute == "position":
        return (role.value, twin.value) in (measured_places(masks, ids, axis) for axis in (0, 1))
    return True


def measured_size(seen: np.ndarray) -> tuple[str, str] | None:
    """Which of two objects (2, T) visible pixels is the larger one in every frame that shows both, and clearly so."""
    both = (seen > 0).all(axis=0)
    first, second = seen[:, both].astype(float)
    for a, b, values in ((first, second, ("large", "small")), (second, first, ("small", "large"))):
        if both.any() and (a > 1.15 * b).all() and np.median(a / b) > 1.7:
            return values
    return None


def measured_places(masks: np.ndarray, ids: tuple[int, int], axis: int) -> tuple[str, str] | None:
    """Which of two objects is on which side of the other in every frame that shows both; axis 0: left, 1: top."""
    centres = [[centre(mask == number) for mask in masks] for number in ids]
    gaps = [b[axis] - a[axis] for a, b in zip(*centres, strict=True) if a and b]
    side = masks.shape[2 - axis]
    low, high = ("left", "right") if axis == 0 else ("top", "bottom")
    if gaps and min(gaps) > 0.1 * side:
        return low, high
    return (high, low) if gaps and max(gaps) < -0.1 * side else None


def centre(mask: np.ndarray) -> tuple[float, float] | None:
    """x, y of the mean of a mask's pixels."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    return (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]) if moments["m00"] else None


def _moves(value: str, masks: np.ndarray) -> bool:
    """In the named direction from each frame to the next, by a twelfth of the frame in all."""
    axis, sign = _AXES[value]
    places = [sign * c[axis] for mask in masks if (c := centre(mask))]
    steps = [b - a for a, b in pairwise(places)]
    return bool(steps) and min(steps) > 0 and sum(steps) > masks.shape[2 - axis] / 12


def _has_hue(value: str, masks: np.ndarray, frames: np.ndarray) -> bool:
    """Whether the mean hue of the visible pixels, weighted by saturation, is nearest to that of the named colour."""
    hsv = cv2.cvtColor(frames[masks][None], cv2.COLOR_RGB2HSV)[0].astype(float)
    angle, weight = hsv[:, 0] * np.pi / 90, hsv[:, 1]
    mean = np.degrees(np.arctan2((np.sin(angle) * weight).sum(), (np.cos(angle) * weight).sum())) / 2
    far = {name: abs((mean - hue + 90) % 180 - 90) for name, hue in HUES.items()}
    return min(far, key=far.__getitem__) == value and float(weight.mean()) > 50
