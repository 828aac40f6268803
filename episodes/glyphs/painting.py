"""A scene -> frames and masks.

Everything is drawn four times too large as binary layers and averaged with integers, so that the pixels are the same
on every machine. Colours are uint8 RGB.
"""

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from episodes.generated.draws import Draws
from episodes.glyphs.appearance import Appearance
from episodes.glyphs.movement import Pose
from episodes.glyphs.outlines import outlines
from episodes.glyphs.planning import PlannedObject, Scene
from episodes.glyphs.polygons import edges, fill

_FINE = 4  # fine pixels along the side of a pixel

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Painted:
    """frames (T, H, W, 3) uint8 RGB; masks (T, H, W) uint8, the id of the object seen there or 0;
    whole[object id] (T,) int, pixels in the frame that the object would have if nothing stood before it."""

    frames: np.ndarray
    masks: np.ndarray
    whole: dict[int, list[int]]


def paint(scene: Scene, size: int, frames: int, draws: Draws) -> Painted:
    pictures = background(size, frames, draws)
    masks = np.zeros((frames, size, size), np.uint8)
    whole: dict[int, list[int]] = {number: [] for number in scene.order}
    for frame in range(frames):
        for number in scene.order:
            whole[number].append(_paint_object(pictures[frame], masks[frame], scene.objects[number - 1], frame))
    return Painted(pictures, masks, whole)


def background(size: int, frames: int, draws: Draws) -> np.ndarray:
    """(T, H, W, 3) uint8: a slowly panning, pale or dim texture of low contrast and low saturation."""
    drift = [draws.uniform(-0.08, 0.08) * size, draws.uniform(-0.08, 0.08) * size]
    margin = size // 10 + 1
    side = size + 2 * margin
    level = draws.uniform(70, 185)
    base = [level + draws.uniform(-14, 14) for _ in range(3)]
    canvas = np.zeros((side, side), np.float64)
    for cells, strength in ((3, 18.0), (7, 12.0), (19, 7.0)):
        canvas += (_smooth_noise(cells, side, draws) - 0.5) * strength * draws.uniform(0.3, 1.4)
    canvas += _bands(side, draws)
    canvas += (_smooth_noise(side // 2, side, draws) - 0.5) * draws.uniform(2, 12)
    tint = [draws.uniform(0.8, 1.2) for _ in range(3)]
    picture = np.stack([np.rint(b + canvas * t) for b, t in zip(base, tint, strict=True)], axis=-1)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    shots = []
    for frame in range(frames):
        u = frame / max(1, frames - 1) - 0.5
        top, left = (margin + round(d * u) for d in drift)
        shots.append(picture[top : top + size, left : left + size])
    return np.stack(shots)


def _smooth_noise(cells: int, side: int, draws: Draws) -> np.ndarray:
    """(side, side) float64 in [0, 1): random values on a grid, blended linearly in between."""
    grid = draws.noise(cells + 1, cells + 1)
    place = np.arange(side) * cells / side
    low = place.astype(np.int64)
    part = place - low
    rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def _bands(side: int, draws: Draws) -> np.ndarray:
    """Soft triangle waves in one direction, or nothing."""
    strength = draws.pick((0.0, 0.0, 6.0, 10.0))
    across, along = draws.uniform(-1, 1), draws.uniform(-1, 1)
    periods = draws.uniform(2, 8)
    y, x = np.mgrid[0:side, 0:side] / side
    phase = (x * across + y * along) * periods
    return (np.abs(phase - np.floor(phase) - 0.5) * 4 - 1) * strength


def _paint_object(picture: np.ndarray, mask: np.ndarray, planned: PlannedObject, frame: int) -> int:
    """Draws the object over both arrays; returns its pixels in the frame before anything covers them."""
    size = picture.shape[0]
    outline, look, pose = outlines()[planned.category], planned.look, planned.poses[frame]
    every = _warp(outline.silhouette, pose, size)
    spare = 2 + size // 64  # room for the rim
    x0, y0 = (max(0, int(v) - spare) for v in np.floor(every.min(axis=(0, 1))))
    x1, y1 = (min(size, int(v) + spare) for v in np.ceil(every.max(axis=(0, 1))))
    if x0 >= x1 or y0 >= y1:
        return 0

    def layer(shape: np.ndarray) -> np.ndarray:
        return fill((_warp(shape, pose, size) - (x0, y0)) * _FINE, (y1 - y0) * _FINE, (x1 - x0) * _FINE)

    width = size / 128 * _FINE
    ink = layer(outline.ink)
    shape = layer(outline.silhouette) | ink
    lines = _grow((shape & ~ink & 1) if outline.solid else ink, look.stroke * width) & shape
    pattern = layer(_pattern(look))
    rim = _grow(shape, look.rim * width)
    body, line, second, edge = _shades(look)
    inside = shape & ~lines
    parts = ((lines, line), (inside & pattern, second), (inside & ~pattern, body), (rim & ~shape, edge))

    full = _FINE * _FINE
    cover = _sum_fine(rim)
    colour = sum(_sum_fine(part & 1)[..., None].astype(np.int64) * np.array(shade) for part, shade in parts)
    window = picture[y0:y1, x0:x1]
    window[:] = (window * (full - cover.astype(np.int64))[..., None] + colour + full // 2) // full
    seen = cover * 2 >= full
    mask[y0:y1, x0:x1][seen] = planned.id
    return int(seen.sum())


def _warp(points: np.ndarray, pose: Pose, size: int) -> np.ndarray:
    """Unit coordinates (..., 2) -> frame pixels, with + - * / alone."""
    x, y = points[..., 0] * pose.aspect, points[..., 1] / pose.aspect
    y = y + pose.bend * x * x
    x = x + pose.shear * y
    depth = 1 + pose.tilt_x * x + pose.tilt_y * y
    x, y = x / depth, y / depth
    cosine, sine = _rotation(pose.turn)
    side = pose.size * size
    return np.stack(
        [pose.x * size + side * (cosine * x - sine * y), pose.y * size + side * (sine * x + cosine * y)], axis=-1
    )


def _rotation(turn: float) -> tuple[float, float]:
    """Cosine and sine of the angle whose half has the tangent `turn`."""
    return (1 - turn * turn) / (1 + turn * turn), 2 * turn / (1 + turn * turn)


@lru_cache(maxsize=8)  # a video's objects keep their looks over its frames
def _pattern(look: Appearance) -> np.ndarray:
    """Edges of the second colour's patches in unit coordinates; they reach beyond the silhouette."""
    if look.texture == "plain":
        return edges([])
    step = {"striped": 0.19, "dotted": 0.20, "checkered": 0.17}[look.texture] * look.grain
    reach = int(1.0 / step) + 1
    patches: list[tuple[float, float, list[tuple[float, float]]]] = []
    if look.texture == "striped":
        bar = [(-1.2, -step / 4), (1.2, -step / 4), (1.2, step / 4), (-1.2, step / 4)]
        patches = [(0.0, row * step, bar) for row in range(-reach, reach + 1)]
    else:
        r = step * (0.33 if look.texture == "dotted" else 0.5)
        k = r * 0.41421356237309503
        octagon = [(r, k), (k, r), (-k, r), (-r, k), (-r, -k), (-k, -r), (k, -r), (r, -k)]
        square = [(r, r), (-r, r), (-r, -r), (r, -r)]
        for row in range(-reach, reach + 1):
            for column in range(-reach, reach + 1):
                if look.texture == "dotted":
                    patches.append(((column + (row % 2) / 2) * step, row * step, octagon))
                elif (row + column) % 2:
                    patches.append((column * step, row * step, square))
    x, y = np.moveaxis(edges(np.array(corners) + np.array([x, y]) for x, y, corners in patches), -1, 0)
    cosine, sine = _rotation(look.grain_turn)
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def _shades(look: Appearance) -> tuple[RGB, RGB, RGB, RGB]:
    """Body, lines, pattern and rim: one hue in four strengths, so that the named colour is the object's only one."""
    hue, saturation, value = look.tint

    def rgb(share: float, brightness: float) -> RGB:
        red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue / 360, saturation * share, brightness))
        return red, green, blue

    pale, dark = rgb(0.22, 1.0), rgb(1.0, value * 0.30)
    lines, pattern = (dark, rgb(0.40, 1.0)) if look.dark_lines else (pale, rgb(1.0, value * 0.48))
    return rgb(1.0, value), lines, pattern, dark if look.rim_dark else pale


def _grow(layer: np.ndarray, radius: float) -> np.ndarray:
    """Dilates ones by about `radius` fine pixels."""
    r = round(radius)
    if r < 1:
        return layer
    return cv2.dilate(layer, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)))


def _sum_fine(fine: np.ndarray) -> np.ndarray:
    """(4 h, 4 w) of zeros and ones -> (h, w): how many of each pixel's fine pixels are set, 0..16."""
    rows = fine[0::_FINE] + fine[1::_FINE] + fine[2::_FINE] + fine[3::_FINE]
    return rows[:, 0::_FINE] + rows[:, 1::_FINE] + rows[:, 2::_FINE] + rows[:, 3::_FINE]
