"""One picture by which a person judges the benchmark: every class, and some videos with masks and sentences."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from episodes.glyphs.classes import GROUPS
from episodes.glyphs.config import GlyphsError

_TILE = 62  # side of a class example, in sheet pixels
_CELL = 2 * _TILE + 8  # two examples side by side
_NAME = 24
_FRAME = 150  # side of a video frame
_SHOWN = 4  # frames of a video, then as many again with the masks drawn in
_MARGIN = 12
_WIDTH = 12 * _CELL + 2 * _MARGIN
_PAPER, _TEXT = (255, 255, 255), (20, 20, 20)
_COLOURS = np.array([(0, 0, 0), (235, 60, 60), (60, 190, 75), (70, 110, 245), (235, 185, 30)], np.uint8)  # by object id


def contact_sheet(root: Path, out_png: Path) -> None:
    """Draws the benchmark at `root` into the file `out_png`. Raises GlyphsError where `root` holds none."""
    index = root / "scenes.json"
    if not index.is_file():
        raise GlyphsError(f"{index} is not there: write the benchmark to {root} first")
    scenes: dict[str, Any] = json.loads(index.read_text("utf-8"))["videos"]
    videos = list(_chosen_videos(scenes))
    head = len(GROUPS) * (_TILE + _NAME) + 3 * _MARGIN
    sheet = Image.new("RGB", (_WIDTH, head + len(videos) * (_FRAME + _NAME + _MARGIN)), _PAPER)
    for row, names in enumerate(GROUPS):
        for column, name in enumerate(names):
            place = (_MARGIN + column * _CELL, _MARGIN + row * (_TILE + _NAME))
            _draw_class(sheet, place, root, scenes, name, row + 4 * column + 1)
    for row, video in enumerate(videos):
        _draw_video(sheet, (_MARGIN, head + row * (_FRAME + _NAME + _MARGIN)), root, video, scenes[video])
    out_png.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out_png)


def _chosen_videos(scenes: dict[str, Any]) -> Iterable[str]:
    """The first video of each attribute, then the first in which an object leaves the view."""
    attributes = sorted({record["attribute"] for record in scenes.values()})
    chosen = [next(video for video, r in scenes.items() if r["attribute"] == name) for name in attributes]
    yield from chosen
    for video, record in scenes.items():
        if video not in chosen and any(0 in entry["visible_pixels"] for entry in record["objects"].values()):
            yield video
            return


def _draw_class(
    sheet: Image.Image, place: tuple[int, int], root: Path, scenes: dict[str, Any], name: str, class_id: int
) -> None:
    """The two best seen objects of the class, each from another video, with the class's id and name below."""
    candidates = [
        (_clearness(entry, frame), video, number, frame)
        for video, record in scenes.items()
        for number, entry in record["objects"].items()
        if entry["class"] == name
        for frame in range(len(record["frames"]))
        if entry["visible_pixels"][frame]
    ]
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1]))
    used: set[str] = set()
    for _, video, number, frame in candidates:
        if video in used or len(used) == 2:
            continue
        picture, ids = _frame(root, video, scenes[video]["frames"][frame])
        faded = np.where((ids == int(number))[..., None], picture, 200 + picture // 5).astype(np.uint8)
        box = _square(scenes[video]["objects"][number]["box"][frame], picture.shape[0])
        tile = Image.fromarray(faded).crop(box).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
        sheet.paste(tile, (place[0] + len(used) * (_TILE + 2), place[1]))
        used.add(video)
    ImageDraw.Draw(sheet).text((place[0], place[1] + _TILE + 2), f"{class_id} {name}", _TEXT, font=_font(12))


def _clearness(entry: dict[str, Any], frame: int) -> float:
    """The larger, the better the object is seen there: uncovered, not cut by the border, and big."""
    seen, whole = entry["visible_pixels"][frame], entry["whole_pixels"][frame]
    return float(seen - 5 * (whole - seen) - 2 * (max(entry["whole_pixels"]) - whole))


def _draw_video(sheet: Image.Image, place: tuple[int, int], root: Path, video: str, record: dict[str, Any]) -> None:
    """Frames, the same frames with masks in their objects' colours, and the sentences in these colours."""
    frames: list[str] = record["frames"]
    shown = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round()]
    x, y = place
    draw = ImageDraw.Draw(sheet)
    draw.text((x, y), f"video {video}, group {record['group']}, {record['attribute']}", _TEXT, font=_font(13))
    y += _NAME - 4
    for position, frame in enumerate(shown):
        picture, ids = _frame(root, video, frame)
        grey = np.repeat(picture.mean(axis=-1, keepdims=True) // 3, 3, axis=-1)
        masks = np.where(ids[..., None] > 0, _COLOURS[ids] // 5 * 4 + grey // 2, grey)
        for row, image in enumerate(Image.fromarray(array.astype(np.uint8)) for array in (picture, masks)):
            small = image.resize((_FRAME, _FRAME), Image.Resampling.BICUBIC)
            sheet.paste(small, (x + (position + row * len(shown)) * (_FRAME + 2), y))
    left = x + 2 * len(shown) * (_FRAME + 2) + 6
    texts = [(int(number), text) for number, entry in record["objects"].items() for text in entry["expressions"]]
    height = min(20, _FRAME // max(1, len(texts)))
    for line, (number, text) in enumerate(texts):
        top = y + line * height
        draw.rectangle((left, top + 3, left + 10, top + 13), fill=tuple(int(v) for v in _COLOURS[number]))
        draw.text((left + 15, top), text, _TEXT, font=_font(min(12, height - 2)))


def _frame(root: Path, video: str, frame: str) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) and object ids (H, W), both uint8."""
    with Image.open(root / "train" / "JPEGImages" / video / f"{frame}.jpg") as file:
        picture = np.asarray(file.convert("RGB"))
    with Image.open(root / "train" / "Annotations" / video / f"{frame}.png") as file:
        return picture, np.asarray(file)


def _square(box: list[int], size: int) -> tuple[int, int, int, int]:
    """A square around the box, moved to where the picture reaches."""
    side = min(size, max(box[2] - box[0], box[3] - box[1]) + 4)
    left = min(max(0, (box[0] + box[2] - side) // 2), size - side)
    top = min(max(0, (box[1] + box[3] - side) // 2), size - side)
    return left, top, left + side, top + side


def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # only for the folder of its fonts; here, because it is slow to import

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
