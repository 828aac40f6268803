"""Filling polygons with integers alone, so that every machine and every version of every library sets the same pixels.

OpenCV's own filling changed between its versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 16  # positions along the side of a pixel


@dataclass(frozen=True)
class Polygons:
    """Closed polygons: points (N, 2) float64, x and y, and for each point the position of the next one in `points`."""

    points: np.ndarray
    following: np.ndarray

    @staticmethod
    def of(parts: Sequence[np.ndarray]) -> Polygons:
        """From the points of each polygon; none at all is fine."""
        if not parts:
            return Polygons(np.zeros((0, 2)), np.zeros(0, np.int64))
        starts = np.cumsum([0, *(len(part) for part in parts)])
        following = np.arange(1, starts[-1] + 1)
        following[starts[1:] - 1] = starts[:-1]
        return Polygons(np.concatenate(parts).astype(np.float64), following)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Polygons:
        return Polygons(function(self.points), self.following)


def fill(polygons: Polygons, height: int, width: int) -> np.ndarray:
    """(height, width) uint8: 1 where the pixel's middle lies inside an odd number of the polygons.

    Pixel (row, column) covers y from row to row + 1 and x from column to column + 1.
    """
    x0, y0, x1, y1 = _edges(polygons)
    half = _STEPS // 2
    first = np.clip(-((half - y0) // _STEPS), 0, height)  # the first row whose middle is at or below y0
    last = np.clip(-((half - y1) // _STEPS), 0, height)
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]

    # Where the edge crosses the middle of a row: x0 + (y - y0) * (x1 - x0) / (y1 - y0), kept as a fraction.
    rise = (y1 - y0)[edge]
    over = x0[edge] * rise + (rows * _STEPS + half - y0[edge]) * (x1 - x0)[edge]
    columns = np.clip((over - half * rise) // (_STEPS * rise) + 1, 0, width)

    crossings = np.bincount(rows * (width + 1) + columns, minlength=height * (width + 1))
    parity = np.bitwise_xor.accumulate(crossings.reshape(height, width + 1).astype(np.uint8), axis=1) & 1
    return np.ascontiguousarray(parity[:, :width])


def _edges(polygons: Polygons) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x0, y0, x1, y1 of all edges that are not level, in sixteenths of a pixel, with y0 < y1."""
    starts = np.rint(polygons.points * _STEPS).astype(np.int64)
    ends = starts[polygons.following]
    down = starts[:, 1] < ends[:, 1]
    sloped = starts[:, 1] != ends[:, 1]
    upper = np.where(down[:, None], starts, ends)[sloped]
    lower = np.where(down[:, None], ends, starts)[sloped]
    return upper[:, 0], upper[:, 1], lower[:, 0], lower[:, 1]
