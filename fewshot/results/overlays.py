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
Colour = tuple[int, int, int]

_TRUTH, _PREDICTION = (40, 200, 90), (255, 140, 0)
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_GAP, _MARGIN, _LABEL = 6, 12, 92  # pixels: between tiles, around the page, left column with a row's name
_COLUMNS, _HEIGHT = 6, 160  # tiles of a row, and pixels of a tile
_WRAP = 96  # characters of one line of a sentence
_NOTE = "green: mask, truth; orange: prediction, with the truth's outline in green"


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
            raise ValueError("these clips hold image features only; load them with frames to draw them")
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
) -> Picture:
    """The page as an RGB array.

    `prediction` is (T, H, W) bool at the query's size, `scores` (T,) J of each query frame in [0, 1]. Of longer clips,
    _COLUMNS frames are shown, evenly spread from the first to the last.
    """
    if prediction.shape != query.masks.shape or prediction.dtype != np.bool_:
        raise ValueError(f"prediction must be {query.masks.shape} bool, found {prediction.shape} {prediction.dtype}")
    strips = [_line(title, _font(17, bold=True), 28)]
    for number, clip in enumerate(support, start=1):
        strips.append(_sentence(f"support {number} of {len(support)}", clip.text))
        painted = [_painted(clip.frames[t], clip.masks[t], _TRUTH) for t in _spread(clip)]
        strips.append(_row("mask", painted))
    shown = _spread(query)
    plain = [_tile(query.frames[t]) for t in shown]
    truth = [_painted(query.frames[t], query.masks[t], _TRUTH) for t in shown]
    answers = [_painted(query.frames[t], prediction[t], _PREDICTION) for t in shown]
    answers = [_outlined(tile, query.masks[t], _TRUTH) for tile, t in zip(answers, shown, strict=True)]
    strips += [
        _sentence("query", query.text),
        _row("picture", plain, [f"frame {t + 1}" for t in shown]),
        _row("truth", truth, ["" if query.masks[t].any() else "not in view" for t in shown]),
        _row("prediction", answers, [f"J {100 * scores[t]:.0f}" for t in shown] if scores is not None else ()),
        _line(_NOTE, _font(12), 18, left=_MARGIN + _LABEL, above=_GAP, colour=_FAINT),
    ]
    height = sum(strip.height for strip in strips) + 2 * _MARGIN - _GAP
    page = Image.new("RGB", (max(strip.width for strip in strips), height), _PAPER)
    bottom = _MARGIN
    for strip in strips:
        page.paste(strip, (0, bottom))
        bottom += strip.height
    return np.asarray(page, dtype=np.uint8)


def write_overlay(path: Path, page: Picture) -> None:
    """Write a page as PNG, whole or not at all."""
    content = io.BytesIO()
    Image.fromarray(page).save(content, format="PNG")
    write_whole(path, content.getvalue())


def _spread(clip: ClipPicture) -> list[int]:
    frames = len(clip.frames)
    return [round(position) for position in np.linspace(0, frames - 1, min(frames, _COLUMNS))]


def _painted(frame: Picture, mask: NDArray[np.bool_], colour: Colour) -> Picture:
    """The frame as a tile: pale and grey outside the mask, so that the object keeps its own colours, and outlined."""
    tile = _tile(frame)
    inside = _fitted(mask, tile)
    faded = 0.55 * tile.mean(axis=2, keepdims=True) + 0.45 * 255
    tinted = 0.85 * tile + 0.15 * np.array(colour)
    painted = np.where(inside[..., None], tinted, faded).round().astype(np.uint8)
    return _outlined(painted, mask, colour)


def _outlined(tile: Picture, mask: NDArray[np.bool_], colour: Colour) -> Picture:
    lines, _ = cv2.findContours(_fitted(mask, tile).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(tile.copy(), lines, -1, colour, thickness=2), dtype=np.uint8)


def _tile(picture: Picture) -> Picture:
    width = max(1, round(picture.shape[1] * _HEIGHT / picture.shape[0]))
    rule = cv2.INTER_AREA if picture.shape[0] > _HEIGHT else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, _HEIGHT), interpolation=rule), dtype=np.uint8)


def _fitted(mask: NDArray[np.bool_], tile: Picture) -> NDArray[np.bool_]:
    size = (tile.shape[1], tile.shape[0])
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


# --------------------------------------------------------------------------- strips of a page, each with its margins


def _line(
    text: str, font: ImageFont.FreeTypeFont, height: int, *, left: int = _MARGIN, above: int = 0, colour: Colour = _INK
) -> Image.Image:
    """A paragraph in lines of `height` pixels."""
    lines = textwrap.wrap(text, _WRAP) or [""]
    width = left + max(int(font.getlength(line)) for line in lines) + 1 + _MARGIN
    strip = Image.new("RGB", (width, above + height * len(lines)), _PAPER)
    for number, line in enumerate(lines):
        ImageDraw.Draw(strip).text((left, above + number * height), line, font=font, fill=colour)
    return strip


def _sentence(label: str, text: str) -> Image.Image:
    bold = _font(14, bold=True)
    strip = _line(f"“{text}”", _font(15), 24, left=_MARGIN + int(bold.getlength(label)) + 10, above=_GAP)
    ImageDraw.Draw(strip).text((_MARGIN, _GAP), label, font=bold, fill=_FAINT)
    return strip


def _row(label: str, tiles: Sequence[Picture], captions: Sequence[str] = ()) -> Image.Image:
    """Tiles side by side behind their name, captions below them."""
    height = tiles[0].shape[0]
    width = _MARGIN + _LABEL + sum(tile.shape[1] + _GAP for tile in tiles) - _GAP + _MARGIN
    strip = Image.new("RGB", (width, height + (18 if any(captions) else 0) + _GAP), _PAPER)
    draw = ImageDraw.Draw(strip)
    draw.text((_MARGIN, height // 2), label, font=_font(13), fill=_FAINT, anchor="lm")
    left = _MARGIN + _LABEL
    for tile, caption in zip(tiles, captions or [""] * len(tiles), strict=True):
        strip.paste(Image.fromarray(tile), (left, 0))
        draw.text((left + tile.shape[1] // 2, height + 3), caption, font=_font(12), fill=_FAINT, anchor="ma")
        left += tile.shape[1] + _GAP
    return strip
