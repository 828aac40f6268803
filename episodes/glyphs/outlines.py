"""Pictogram shapes, from the integer outlines of the DejaVu Sans font that matplotlib ships.

The raw font units are read (not a rendered glyph), so that no hinting or font engine can move a pixel.
Unit coordinates: x right, y down, the silhouette's box centred on 0 and sqrt(width * height) of it about 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from fontTools.pens.basePen import BasePen  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

from episodes.glyphs.classes import CHARACTERS
from episodes.glyphs.polygons import edges, fill

_RASTER = 512  # canvas on which a silhouette is closed, in pixels
_MARGIN = 56
_CLOSING = 29  # diameter: gaps up to about 7 % of the glyph belong to its silhouette
_CRUMB = 0.04  # share of the silhouette below which a separate part is dropped
_ROOMY = 0.15  # broad body, in squares of the unit side, that a texture needs
_CURVE = np.arange(1, 9)[:, None] / 8  # places along a curve; eighths keep its points exact
_LONGEST = 1.25  # longest side of the unit box: wide glyphs would else be too wide for a 2 x 2 scene


@dataclass(frozen=True)
class Outline:
    """A class's shape in unit coordinates; `ink` and `silhouette` are edges (E, 2, 2) float64.

    `ink` are the font's own contours (filled by the even-odd rule), `silhouette` is the outer shape without holes;
    `solid`: ink covers most of the silhouette, so that its holes, not its strokes, are the drawing's lines.
    `roomy`: the body between the lines is broad enough to show a texture.
    """

    ink: np.ndarray
    silhouette: np.ndarray
    half_width: float
    half_height: float
    solid: bool
    roomy: bool


@cache
def outlines() -> Mapping[str, Outline]:
    """The outline of each class, by name."""
    import matplotlib

    drawn = {}
    with TTFont(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", lazy=True) as font:
        characters, glyphs = font.getBestCmap(), font.getGlyphSet()
        for name, code in CHARACTERS.items():
            pen = _Contours()
            glyphs[characters[code]].draw(pen)
            drawn[name] = _outline([np.array(points) for points in pen.polygons])
    return drawn


class _Contours(BasePen):
    """Collects a glyph's closed contours as polygons in font units, y up."""

    def __init__(self) -> None:
        super().__init__()
        self.polygons: list[list[np.ndarray]] = []

    def _moveTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self.polygons.append([np.array(point)])

    def _lineTo(self, point: tuple[float, float]) -> None:  # noqa: N802
        self.polygons[-1].append(np.array(point))

    def _qCurveToOne(self, control: tuple[float, float], end: tuple[float, float]) -> None:  # noqa: N802
        t, start = _CURVE, self.polygons[-1][-1]
        self.polygons[-1] += list(
            start * ((1 - t) * (1 - t)) + np.array(control) * (2 * t * (1 - t)) + np.array(end) * (t * t)
        )


def _outline(contours: list[np.ndarray]) -> Outline:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSING, _CLOSING))
    while True:
        points = np.concatenate(contours)
        low, high = points.min(axis=0), points.max(axis=0)
        width, height = map(float, high - low)  # in font units
        scale = (_RASTER - 2 * _MARGIN) / max(width, height)
        centred = [
            (contour - (low + high) / 2) * (1.0, -1.0) * scale for contour in contours
        ]  # y down, 0 in the middle
        ink = fill(edges(centred) + _RASTER / 2, _RASTER, _RASTER)
        closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, disc)
        borders, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        kept = [c for c, large in zip(contours, _of_large_parts(centred, borders), strict=True) if large]
        if len(kept) == len(contours):
            break
        contours = kept  # what was bridged by closing may be separate now that the rest is drawn larger
    filled = cv2.drawContours(np.zeros_like(closed), borders, -1, 1, cv2.FILLED)
    side = max(math.sqrt(width * height), max(width, height) / _LONGEST) * scale
    solid = int(ink.sum()) * 100 > int(filled.sum()) * 60
    body = ink if solid else filled & ~ink & 1
    broad = cv2.morphologyEx(body[::4, ::4], cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13)))
    return Outline(
        ink=edges(centred) / side,
        silhouette=edges((border[:, 0] + 0.5 - _RASTER / 2) / side for border in borders),
        half_width=width * scale / side / 2,
        half_height=height * scale / side / 2,
        solid=solid,
        roomy=16 * int(broad.sum()) > _ROOMY * side * side,
    )


def _of_large_parts(centred: list[np.ndarray], borders: Sequence[np.ndarray]) -> list[bool]:
    """Is each contour of a large part? The snowman's flakes and the teacup's steam are not: a mask is one thing."""
    areas = [cv2.contourArea(border) for border in borders]
    large = [border for border, area in zip(borders, areas, strict=True) if area > _CRUMB * sum(areas)]
    kept = cv2.drawContours(np.zeros((_RASTER, _RASTER), np.uint8), large, -1, 1, cv2.FILLED)
    kept = cv2.dilate(kept, np.ones((7, 7), np.uint8))  # a contour's points lie on the very edge of what it encloses
    places = (np.floor(contour + _RASTER / 2).astype(int) for contour in centred)
    return [bool(kept[place[:, 1], place[:, 0]].any()) for place in places]
