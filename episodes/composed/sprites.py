"""Pictures as arrays: cut-outs as sprites, photographs with the mask of their object, backgrounds."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from episodes.composed.pictures import Picture

_LONGEST_SPRITE, _LONGEST_PHOTOGRAPH = 360, 960  # pixels; larger files are reduced once, when they are read


@dataclass(frozen=True)
class Sprite:
    """(h, w, 4) uint8 RGBA, not premultiplied, cropped to the object with a transparent border of two pixels."""

    rgba: np.ndarray

    @property
    def extent(self) -> float:
        """sqrt(width * height) in pixels."""
        height, width = self.rgba.shape[:2]
        return float(width * height) ** 0.5


@dataclass(frozen=True)
class Photograph:
    """rgb (h, w, 3) uint8; mask (h, w) uint8, 255 on its object, or all 0 in a background."""

    rgb: np.ndarray
    mask: np.ndarray


@lru_cache(maxsize=192)  # of half a megabyte at most, in each process
def sprite(picture: Picture) -> Sprite:
    if picture.mask is None:
        with Image.open(picture.path) as image:
            rgba = np.asarray(image.convert("RGBA"))
    else:
        photograph = annotated(picture)
        # One pixel inwards and softened: the photograph's own background must not shine through at the edge.
        alpha = cv2.GaussianBlur(cv2.erode(photograph.mask, np.ones((3, 3), np.uint8)), (0, 0), 0.8)
        rgba = np.dstack([photograph.rgb, alpha])
    x, y, width, height = cv2.boundingRect((rgba[..., 3] > 24).astype(np.uint8))
    rgba = _reduced(rgba[y : y + height, x : x + width], _LONGEST_SPRITE)
    return Sprite(np.pad(rgba, ((2, 2), (2, 2), (0, 0))))


@lru_cache(maxsize=48)
def annotated(picture: Picture) -> Photograph:
    """A still; its mask is cut at half."""
    rgb = _rgb(picture.path)
    assert picture.mask is not None
    with Image.open(picture.mask) as image:
        mask = np.asarray(image.convert("L").resize((rgb.shape[1], rgb.shape[0])))
    return Photograph(rgb, np.where(mask > 127, 255, 0).astype(np.uint8))


@lru_cache(maxsize=48)
def background(path: Path) -> Photograph:
    rgb = _rgb(path)
    return Photograph(rgb, np.zeros(rgb.shape[:2], np.uint8))


def _rgb(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return _reduced(np.asarray(ImageOps.exif_transpose(image).convert("RGB")), _LONGEST_PHOTOGRAPH)


def _reduced(array: np.ndarray, longest: int) -> np.ndarray:
    """uint8 (h, w, channels); a colour's weight is its alpha where there are four channels."""
    factor = longest / max(array.shape[:2])
    if factor >= 1:
        return array
    size = (max(1, round(array.shape[1] * factor)), max(1, round(array.shape[0] * factor)))
    if array.shape[2] == 3:
        return np.asarray(cv2.resize(array, size, interpolation=cv2.INTER_AREA))
    small = cv2.resize(premultiplied(array), size, interpolation=cv2.INTER_AREA)
    colours = small[..., :3] / np.maximum(small[..., 3:], 1 / 255)
    return np.rint(np.clip(np.dstack([colours, small[..., 3]]) * 255, 0, 255)).astype(np.uint8)


def premultiplied(rgba: np.ndarray) -> np.ndarray:
    """uint8 RGBA -> float32 in [0, 1], colours times alpha."""
    result = rgba.astype(np.float32) / 255
    result[..., :3] *= result[..., 3:]
    return result
