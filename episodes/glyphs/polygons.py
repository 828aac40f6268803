"""Filling polygons with integers alone, so that every machine and every version of every library sets the same pixels.

OpenCV's own filling changed between its versions.
"""

from collections.abc import Iterable

import numpy as np

_STEPS = 16  # positions along the side of a pixel


def edges(polygons: Iterable[np.ndarray]) -> np.ndarray:
    """Closed polygons, each of points (N, 2) x and y -> all their edges (E, 2, 2) float64: start and end, x and y."""
    each = [np.stack([points, np.roll(points, -1, axis=0)], axis=1) for points in polygons]
    return np.concatenate([np.zeros((0, 2, 2)), *each])


def fill(outline: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) uint8: 1 where the pixel's middle lies inside an odd number of the polygons with these edges.

    Pixel (row, column) covers y from row to row + 1 and x from column to column + 1.
    """
    ends = np.rint(outline * _STEPS).astype(np.int64)
    ends = ends[ends[:, 0, 1] != ends[:, 1, 1]]  # level edges cross no row
    down = ends[:, 0, 1] < ends[:, 1, 1]
    (x0, y0), (x1, y1) = np.where(down[:, None, None], ends, ends[:, ::-1]).transpose(1, 2, 0)

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
