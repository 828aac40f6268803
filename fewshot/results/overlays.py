"""Overlay pictures: support frames with mask and sentence, then query frames, truth and prediction.

T frames of a clip, H W picture size. Truth is green, a prediction orange with the truth's outline over it.
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from episodes.files import write_whole
from episodes.types import Clips

Picture = NDArray[np.uint8]  # (H, W, 3) RGB

_TRUTH, _PREDICTION = (40, 200, 90), (255, 140, 0)
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_GAP, _MARGIN, _LABEL = 6, 12, 92  # pixels: between tiles, around the page, left column with a row's name
_WRAP = 96  # characters of one line of a sentence


@dataclass(frozen=True)
class ClipPicture:
    """One clip to draw: frames (T, H, W, 3) uint8 RGB, masks (T, H, W) bool of the referred object, its sentence."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    text: str

    def __post_init__(self) -> None:
        shape, kind, mask = self.frames.shape, self.frames.dtype, self.masks
        if len(shape) != 4 or shape[0] == 0 or shape[3] != 3 or kind != np.uint8:
            raise ValueError(f"frames must be (T, H, W, 3) uint8 with T >= 1, found {shape} {kind}")
        if mask.shape != shape[:3] or mask.dtype != np.bool_:
            raise ValueError(f"masks must be {shape[:3]} bool to fit the frames, found {mask.shape} {mask.dtype}")

    @classmethod
    def of_clips(cls, clips: Clips, masks: Tensor, clip: int = 0) -> Self:
        """One of N clips without its padding, masks (N, T, H, W) bool. ValueError if they carry no frames."""
        if clips.frames is None:
            raise ValueError("these clips hold trunk features only; load them with frames to draw them")
        rows, columns = clips.picture(clip)
        frames = clips.frames[clip, :, :, rows, columns].permute(0, 2, 3, 1)
        return cls(
            frames.cpu().contiguous().numpy(), masks[clip, :, rows, columns].cpu().numpy(), clips.sentences[clip]
        )


def draw_overlay(
    support: Sequence[ClipPicture],
    query: ClipPicture,
    prediction: NDArray[np.bool_],
    *,
    title: str,
    scores: Sequence[float] | None = None,
    columns: int = 6,
    tile_height: int = 160,
) -> Picture:
    """The page as an RGB array.

    `prediction` is (T, H, W) bool at the query's size, `scores` (T,) J of each query frame in [0, 1]. Of longer clips,
    `columns` frames are shown, evenly spread from the first to the last.
    """
    if prediction.shape != query.masks.shape or prediction.dtype != np.bool_:
        raise ValueError(f"prediction must be {query.masks.shape} bool, found {prediction.shape} {prediction.dtype}")
    page = _Page()
    page.heading(title)
    for number, clip in enumerate(support, start=1):
        page.sentence(f"support {number} of {len(support)}", clip.text)
        shown = _spread(len(clip.frames), columns)
        page.row("mask", [_painted(clip.frames[t], clip.masks[t], _TRUTH, tile_height) for t in shown])
    page.sentence("query", query.text)
    shown = _spread(len(query.frames), columns)
    plain = [_tile(query.frames[t], tile_height) for t in shown]
    truth = [_painted(query.frames[t], query.masks[t], _TRUTH, tile_height) for t in shown]
    answers = [_painted(query.frames[t], prediction[t], _PREDICTION, tile_height) for t in shown]
    answers = [_outlined(tile, query.masks[t], _TRUTH) for tile, t in zip(answers, shown, strict=True)]
    page.row("picture", plain, [f"frame {t + 1}" for t in shown])
    page.row("truth", truth, [_presence(query.masks[t]) for t in shown])
    page.row("prediction", answers, [f"J {100 * scores[t]:.0f}" for t in shown] if scores is not None else None)
    page.note("green: mask, truth; orange: prediction, with the truth's outline in green")
    return page.render()


def write_overlay(path: Path, page: Picture) -> None:
    """Write a page as PNG, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(page).save(content, format="PNG")
    write_whole(path, content.getvalue())


def _spread(frames: int, columns: int) -> list[int]:
    return [round(position) for position in np.linspace(0, frames - 1, min(frames, columns))]


def _presence(mask: NDArray[np.bool_]) -> str:
    return "" if mask.any() else "not in view"


def _painted(frame: Picture, mask: NDArray[np.bool_], colour: tuple[int, int, int], height: int) -> Picture:
    """The frame as a tile: pale and grey outside the mask, so that the object keeps its own colours, and outlined."""
    tile = _tile(frame, height)
    inside = _fitted(mask, tile)
    faded = 0.55 * tile.mean(axis=2, keepdims=True) + 0.45 * 255
    tinted = 0.85 * tile + 0.15 * np.array(colour)
    painted = np.where(inside[..., None], tinted, faded).round().astype(np.uint8)
    return _outlined(painted, mask, colour)


def _outlined(tile: Picture, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> Picture:
    lines, _ = cv2.findContours(_fitted(mask, tile).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(tile.copy(), lines, -1, colour, thickness=2), dtype=np.uint8)


def _tile(picture: Picture, height: int) -> Picture:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    rule = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=rule), dtype=np.uint8)


def _fitted(mask: NDArray[np.bool_], tile: Picture) -> NDArray[np.bool_]:
    size = (tile.shape[1], tile.shape[0])
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


@dataclass(frozen=True)
class _Text:
    text: str
    at: tuple[int, int]
    font: ImageFont.FreeTypeFont
    colour: tuple[int, int, int]
    anchor: str


class _Page:
    """Rows laid out from top to bottom; the page takes the size that they need."""

    def __init__(self) -> None:
        self._tiles: list[tuple[Picture, int, int]] = []
        self._texts: list[_Text] = []
        self._bottom, self._right = _MARGIN, 0

    def heading(self, text: str) -> None:
        self._lines(text, _font(17, bold=True), _MARGIN, 28)

    def sentence(self, label: str, text: str) -> None:
        self._bottom += _GAP
        font = _font(14, bold=True)
        self._texts.append(_Text(label, (_MARGIN, self._bottom), font, _FAINT, "la"))
        self._lines(f"“{text}”", _font(15), _MARGIN + int(font.getlength(label)) + 10, 24)

    def note(self, text: str) -> None:
        self._bottom += _GAP
        self._lines(text, _font(12), _MARGIN + _LABEL, 18, _FAINT)

    def row(self, label: str, tiles: Sequence[Picture], captions: Sequence[str] | None = None) -> None:
        height = tiles[0].shape[0]
        self._texts.append(_Text(label, (_MARGIN, self._bottom + height // 2), _font(13), _FAINT, "lm"))
        left = _MARGIN + _LABEL
        for position, tile in enumerate(tiles):
            self._tiles.append((tile, left, self._bottom))
            if captions:
                middle = (left + tile.shape[1] // 2, self._bottom + height + 3)
                self._texts.append(_Text(captions[position], middle, _font(12), _FAINT, "ma"))
            left += tile.shape[1] + _GAP
        self._right = max(self._right, left - _GAP)
        self._bottom += height + (18 if captions and any(captions) else 0) + _GAP

    def render(self) -> Picture:
        size = (self._right + _MARGIN, self._bottom + _MARGIN - _GAP)
        page = Image.new("RGB", size, _PAPER)
        for tile, left, top in self._tiles:
            page.paste(Image.fromarray(tile), (left, top))
        draw = ImageDraw.Draw(page)
        for item in self._texts:
            draw.text(item.at, item.text, font=item.font, fill=item.colour, anchor=item.anchor)
        return np.asarray(page, dtype=np.uint8)

    def _lines(
        self,
        text: str,
        font: ImageFont.FreeTypeFont,
        left: int,
        height: int,
        colour: tuple[int, int, int] = _INK,
    ) -> None:
        for line in textwrap.wrap(text, _WRAP) or [""]:
            self._texts.append(_Text(line, (left, self._bottom), font, colour, "la"))
            self._right = max(self._right, left + int(font.getlength(line)) + 1)
            self._bottom += height
