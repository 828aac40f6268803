"""One picture by which a person judges the benchmark: every class, and some videos with masks and sentences."""

import json
from collections.abc import Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from episodes.glyphs.classes import CLASS_NAMES, GROUPS

_TILE = 62  # side of a class example, in sheet pixels
_CELL = 2 * _TILE + 8  # two examples side by side
_FRAME = 150  # side of a video frame
_SHOWN = 4  # frames of a video, then as many again with the masks drawn in
_LINE = 20  # height of a line of text
_COLOURS = np.array([(0, 0, 0), (215, 50, 50), (40, 150, 60), (60, 100, 235), (180, 125, 0)])  # by object id


def contact_sheet(root: Path) -> Image.Image:
    """The sheet of the benchmark at `root`, drawn from its files."""
    scenes: dict[str, Any] = json.loads((root / "scenes.json").read_text("utf-8"))["videos"]
    videos = _chosen_videos(scenes)
    head = len(GROUPS) * (_TILE + _LINE) + _LINE
    sheet = Image.new("RGB", (12 * _CELL, head + len(videos) * (_FRAME + 2 * _LINE)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(13)
    for position, name in enumerate(CLASS_NAMES):
        x, y = position // len(GROUPS) * _CELL, position % len(GROUPS) * (_TILE + _LINE)
        for place, example in enumerate(_examples(root, scenes, name)):
            sheet.paste(example, (x + place * (_TILE + 2), y))
        draw.text((x, y + _TILE), f"{position + 1} {name}", "black")
    for row, video in enumerate(videos):
        record, y = scenes[video], head + row * (_FRAME + 2 * _LINE)
        draw.text((0, y), f"video {video}, group {record['group']}, {record['attribute']}", "black")
        strip = _strip(root, video, record["frames"])
        sheet.paste(strip, (0, y + _LINE))
        texts = [(int(number), text) for number, entry in record["objects"].items() for text in entry["expressions"]]
        height = min(_LINE, _FRAME / len(texts))
        for line, (number, text) in enumerate(texts, start=1):
            draw.text((strip.width + 6, y + line * height), text, tuple(_COLOURS[number].tolist()))
    return ImageOps.expand(sheet, 12, "white")


def _chosen_videos(scenes: dict[str, Any]) -> list[str]:
    """The first video of each attribute, then the first other one in which an object leaves the view."""
    first = {record["attribute"]: video for video, record in reversed(scenes.items())}
    chosen = [video for _, video in sorted(first.items())]
    others = [record["objects"].values() if video not in chosen else () for video, record in scenes.items()]
    leaving = [any(0 in entry["visible_pixels"] for entry in entries) for entries in others]
    return chosen + list(compress(scenes, leaving))[:1]


def _examples(root: Path, scenes: dict[str, Any], name: str) -> Iterator[Image.Image]:
    """The two best seen objects of the class, each from another video: uncovered, not cut by the border, and big."""
    views = []
    for video, record in scenes.items():
        for number, entry in record["objects"].items():
            if entry["class"] == name:
                largest = max(entry["whole_pixels"])
                for frame, seen in enumerate(entry["visible_pixels"]):
                    whole = entry["whole_pixels"][frame]
                    views.append((5 * (whole - seen) + 2 * (largest - whole) - seen, video, number, frame))
    best: dict[str, tuple[str, int]] = {}
    for _, video, number, frame in sorted(views):
        best.setdefault(video, (number, frame))
    for video, (number, frame) in list(best.items())[:2]:
        picture, ids = _frame(root, video, scenes[video]["frames"][frame])
        faded = np.where((ids == int(number))[..., None], picture, 200 + picture // 5)
        tile = Image.fromarray(faded).crop(scenes[video]["objects"][number]["box"][frame])
        yield ImageOps.pad(tile, (_TILE, _TILE), color="white")


def _strip(root: Path, video: str, frames: list[str]) -> Image.Image:
    """Some frames side by side, then the same frames with masks in their objects' colours."""
    shown = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round()]
    views = [_frame(root, video, frame) for frame in shown]
    masks = [picture.mean(axis=-1, keepdims=True) // 4 + _COLOURS[ids] * 0.75 for picture, ids in views]
    gap = ((0, 0), (0, 2), (0, 0))
    spaced = [np.pad(view, gap, constant_values=255) for view in (*(picture for picture, _ in views), *masks)]
    strip = Image.fromarray(np.concatenate(spaced, axis=1).astype(np.uint8))
    return strip.resize((2 * len(shown) * _FRAME, _FRAME))


def _frame(root: Path, video: str, frame: str) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) and object ids (H, W), both uint8."""
    train = root / "train"
    return (
        np.asarray(Image.open(train / "JPEGImages" / video / f"{frame}.jpg")),
        np.asarray(Image.open(train / "Annotations" / video / f"{frame}.png")),
    )
