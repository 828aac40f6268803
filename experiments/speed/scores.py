"""The speed of J and F against a plain whole-picture computation of the same definition, and whether both agree.

`python experiments/speed/scores.py` in the folder of the project.
"""

import math
import sys
import time

import cv2
import numpy as np

from fewshot.results.metrics import TOLERANCES, Masks, Scores, score_clip

ROUNDS = 3  # the fastest of them counts: what else the machine does only ever adds time


def main() -> None:
    frames, size = 60, (480, 854)
    cv2.setNumThreads(1)
    seconds, difference = compare_metrics(*draw_masks(frames, size, seed=0))
    plain, ours = (1e3 * value / frames for value in seconds)
    sys.stdout.write(
        f"J and F of {frames} pairs of {size[0]} x {size[1]} masks, one core, fastest of {ROUNDS} rounds:\n"
        f"  whole picture {plain:.2f} ms a frame\n"
        f"  this project  {ours:.2f} ms a frame, {plain / ours:.1f} times as fast\n"
        f"  largest difference of a score: {difference}\n"
    )


def compare_metrics(prediction: Masks, truth: Masks) -> tuple[tuple[float, float], float]:
    """((seconds of the plain computation, of ours), largest difference of a score), `paper` tolerance."""
    tolerance = TOLERANCES["paper"]
    plain_seconds = own_seconds = math.inf
    for _ in range(ROUNDS):
        began = time.perf_counter()
        expected = plain_scores(prediction, truth, tolerance=tolerance)
        between = time.perf_counter()
        own_scores = score_clip(prediction, truth, tolerance=tolerance)
        plain_seconds = min(plain_seconds, between - began)
        own_seconds = min(own_seconds, time.perf_counter() - between)
    return (plain_seconds, own_seconds), float(np.abs(np.array(expected) - np.array(own_scores)).max())


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


if __name__ == "__main__":
    main()
