"""J and F as the project computes them against a plain whole-picture implementation of the same definition."""

import math
import time
from dataclasses import dataclass

import cv2
import numpy as np

from fewshot.results.metrics import TOLERANCES, Masks, Scores, score_clip

ROUNDS = 3  # the fastest of them counts: what else the machine does only ever adds time


@dataclass(frozen=True)
class Comparison:
    """Milliseconds for one frame (J and F) on one core, and the largest difference of any score."""

    frames: int
    size: tuple[int, int]
    plain_ms: float
    ours_ms: float
    difference: float

    def __str__(self) -> str:
        height, width = self.size
        return (
            f"J and F of {self.frames} pairs of {height} x {width} masks, one core, fastest of {ROUNDS} rounds:\n"
            f"  whole picture {self.plain_ms:.2f} ms a frame\n"
            f"  this project  {self.ours_ms:.2f} ms a frame, {self.plain_ms / self.ours_ms:.1f} times as fast\n"
            f"  largest difference of a score: {self.difference}"
        )


def compare_metrics(frames: int = 60, size: tuple[int, int] = (480, 854), seed: int = 0) -> Comparison:
    """Both implementations on the same masks, in turn, `paper` tolerance."""
    prediction, truth = draw_masks(frames, size, seed)
    tolerance = TOLERANCES["paper"]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        seconds: dict[str, float] = {"plain": math.inf, "ours": math.inf}
        for _ in range(ROUNDS):
            for name, score in (("plain", plain_scores), ("ours", score_clip)):
                began = time.perf_counter()
                found = score(prediction, truth, tolerance=tolerance)
                seconds[name] = min(seconds[name], time.perf_counter() - began)
                if name == "plain":
                    expected = found
            difference = max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))
    finally:
        cv2.setNumThreads(threads)
    return Comparison(frames, size, 1e3 * seconds["plain"] / frames, 1e3 * seconds["ours"] / frames, difference)


def draw_masks(frames: int, size: tuple[int, int], seed: int) -> tuple[Masks, Masks]:
    """Predictions and truths, (frames, H, W) bool each: ellipses of a tenth to four fifths of the picture's height,
    predicted a few pixels off with a ragged border; one truth in ten is empty.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    pairs = []
    for _ in range(frames):
        radius = height * rng.uniform(0.05, 0.4, size=2)
        centre = rng.uniform(0, height), rng.uniform(0, width)
        ragged = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 4)
        pair = []
        for shift, noise in ((rng.normal(0, 4, size=2), 0.5 * ragged), ((0, 0), 0)):
            far = ((y - centre[0] - shift[0]) / radius[0]) ** 2 + ((x - centre[1] - shift[1]) / radius[1]) ** 2
            pair.append(far + noise < 1)
        pairs.append((pair[0], pair[1] & (rng.random() > 0.1)))
    prediction, truth = zip(*pairs, strict=True)
    return np.stack(prediction), np.stack(truth)


def plain_scores(prediction: Masks, truth: Masks, *, tolerance: float) -> tuple[Scores, Scores]:
    """(J, F), each (T,), straight from the definition: whole pictures, boundaries dilated by a disk."""
    radius = math.ceil(tolerance * math.hypot(*truth.shape[1:]))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (y * y + x * x <= radius * radius).astype(np.uint8)
    pairs = list(zip(prediction, truth, strict=True))
    return np.array([_plain_region(p, t) for p, t in pairs]), np.array([_plain_boundary(p, t, disk) for p, t in pairs])


def _plain_region(prediction: Masks, truth: Masks) -> float:
    union = np.sum(prediction | truth)
    return float(np.sum(prediction & truth) / union) if union else 1.0


def _plain_boundary(prediction: Masks, truth: Masks, disk: np.ndarray) -> float:
    boundaries = [_plain_edge(prediction), _plain_edge(truth)]
    near = [cv2.dilate(boundary.astype(np.uint8), disk) > 0 for boundary in boundaries]
    counts = [np.sum(boundary) for boundary in boundaries]
    if not any(counts):
        return 1.0
    if not all(counts):
        return 0.0
    precision = np.sum(boundaries[0] & near[1]) / counts[0]
    recall = np.sum(boundaries[1] & near[0]) / counts[1]
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _plain_edge(mask: Masks) -> Masks:
    """True where a pixel differs from its right, lower or lower right neighbour; neighbours outside do not count."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    edge = (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1])
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge
