"""Pictogram shapes, from the integer outlines of the DejaVu Sans font that matplotlib ships.

The raw font units are read (not a rendered glyph), so that no hinting or font engine can move a pixel.
Unit coordinates: x right, y down, the silhouette's box centred on 0 and sqrt(width * height) of it about 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from episodes.glyphs.classes import CHARACTERS
from episodes.glyphs.polygons import Polygons, fill

_RASTER = 512  # canvas on which a silhouette is closed, in pixels
_MARGIN = 56
_CLOSING = 29  # diameter: gaps up to about 7 % of the glyph belong to its silhouette
_CRUMB = 0.04  # share of the silhouette below which a separate part is dropped
_ROOMY = 0.15  # broad body, in squares of the unit side, that a texture needs
_CURVE_STEPS = 8  # a power of two keeps the curve's points exact
_LONGEST = 1.25  # longest side of the unit box: wide glyphs would else be too wide for a 2 x 2 scene


@dataclass(frozen=True)
class Outline:
    """A class's shape in unit coordinates.

    `ink` are the font's own contours (filled by the even-odd rule), `silhouette` is the outer shape without holes;
    `solid` tells that ink covers most of the silhouette, so that its holes, not its strokes, are the drawing's lines.
    `roomy` tells that the body between the lines is broad enough to show a texture.
    """

    ink: Polygons
    silhouette: Polygons
    half_width: float
    half_height: float
    solid: bool
    roomy: bool


@lru_cache(maxsize=1)
def outlines() -> Mapping[str, Outline]:
    """The outline of each class, by name."""
    import matplotlib
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    with TTFont(path, lazy=True) as font:
        characters, glyphs = font.getBestCmap(), font["glyf"]
        return {name: _outline(_contours(glyphs, characters[code])) for name, code in CHARACTERS.items()}


def _contours(glyphs: Any, name: str) -> list[np.ndarray]:
    """The glyph's closed contours as polygons in font units, y up."""
    coordinates, ends, flags = glyphs[name].getCoordinates(glyphs)
    contours, start = [], 0
    for end in ends:
        points = np.array(coordinates[start : end + 1], dtype=np.float64)
        contours.append(_flatten(points, [bool(flag & 1) for flag in flags[start : end + 1]]))
        start = end + 1
    return contours


def _flatten(points: np.ndarray, on_curve: list[bool]) -> np.ndarray:
    """TrueType contour -> polygon: between two off-curve points lies an implied on-curve point, their midpoint."""
    full: list[tuple[np.ndarray, bool]] = []
    for i, on in enumerate(on_curve):
        if not on and not on_curve[i - 1]:
            full.append(((points[i - 1] + points[i]) / 2, True))
        full.append((points[i], on))
    first = next(i for i, (_, on) in enumerate(full) if on)
    full = full[first:] + full[: first + 1]
    polygon = [full[0][0]]
    for i in range(1, len(full)):
        point, on = full[i]
        if on and full[i - 1][1]:
            polygon.append(point)
        elif not on:
            before, after = full[i - 1][0], full[i + 1][0]
            for step in range(1, _CURVE_STEPS + 1):
                t = step / _CURVE_STEPS
                polygon.append(before * ((1 - t) * (1 - t)) + point * (2 * t * (1 - t)) + after * (t * t))
    return np.array(polygon[:-1])


def _outline(contours: list[np.ndarray]) -> Outline:
    while len(kept := _without_crumbs(contours)) < len(contours):
        contours = kept  # what was bridged by closing may be separate now that the rest is drawn larger
    centred, scale, (width, height) = _to_raster(contours)
    ink = _fill(centred)
    closed, borders = _close(ink)
    filled = cv2.drawContours(np.zeros_like(closed), borders, -1, 1, cv2.FILLED)
    side = max(math.sqrt(width * height), max(width, height) / _LONGEST) * scale
    solid = int(ink.sum()) * 100 > int(filled.sum()) * 60
    body = ink if solid else filled & ~ink & 1
    return Outline(
        ink=Polygons.of([contour / side for contour in centred]),
        silhouette=Polygons.of([(border[:, 0] + 0.5 - _RASTER / 2) / side for border in borders]),
        half_width=width * scale / side / 2,
        half_height=height * scale / side / 2,
        solid=solid,
        roomy=_broad_area(body) > _ROOMY * side * side,
    )


def _to_raster(contours: list[np.ndarray]) -> tuple[list[np.ndarray], float, tuple[float, float]]:
    """Contours in raster pixels with y down and 0 in the middle, pixels per font unit, and the size in font units."""
    every = np.concatenate(contours)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = (_RASTER - 2 * _MARGIN) / float((high - low).max())
    flip = np.array([1.0, -1.0])
    width, height = (float(v) for v in high - low)
    return [(c - (low + high) / 2) * flip * scale for c in contours], scale, (width, height)


def _fill(centred: Sequence[np.ndarray]) -> np.ndarray:
    return fill(Polygons.of(centred).map(lambda points: points + _RASTER / 2), _RASTER, _RASTER)


def _close(ink: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSING, _CLOSING))
    closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, disc)
    borders, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return closed, list(borders)


def _broad_area(body: np.ndarray) -> int:
    """Raster pixels of the parts that are wide enough for a few stripes or dots."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    return 16 * int(cv2.morphologyEx(body[::4, ::4], cv2.MORPH_OPEN, disc).sum())


def _without_crumbs(contours: list[np.ndarray]) -> list[np.ndarray]:
    """Drops small separate parts (the flakes around the snowman, the steam of the teacup): a mask is one thing."""
    centred, _, _ = _to_raster(contours)
    _, borders = _close(_fill(centred))
    areas = [cv2.contourArea(border) for border in borders]
    large = [border for border, area in zip(borders, areas, strict=True) if area > _CRUMB * sum(areas)]
    kept = cv2.drawContours(np.zeros((_RASTER, _RASTER), np.uint8), large, -1, 1, cv2.FILLED)
    kept = cv2.dilate(kept, np.ones((7, 7), np.uint8))  # a contour's points lie on the very edge of what it encloses
    places = [np.floor(contour + _RASTER / 2).astype(int) for contour in centred]
    return [c for c, place in zip(contours, places, strict=True) if kept[place[:, 1], place[:, 0]].any()]
