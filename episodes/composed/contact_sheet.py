"""One picture by which a person judges composed clips: some videos of every kind and attribute with their masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_VIDEOS, _SHOWN = 40, 3  # videos; frames of each, then as many again with masks
_WIDTH, _LINE = 200, 15
_COLOURS = np.array([(0, 0, 0), (215, 50, 50), (40, 150, 60), (60, 100, 235), (180, 125, 0), (160, 60, 180)])


def contact_sheet(root: Path, first: int = 0) -> Image.Image:
    """The sheet of the benchmark at `root`, drawn from its files; `first` skips so many of the videos it would show."""
    scenes: dict[str, Any] = json.loads((root / "scenes.json").read_text("utf-8"))["videos"]
    tiles = [_tile(root, video, scenes[video]) for video in _chosen(scenes, first)]
    height = max(tile.height for tile in tiles) + 4
    width = tiles[0].width + 12
    rows = (len(tiles) + 1) // 2
    sheet = Image.new("RGB", (2 * width, rows * height), "white")
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % 2 * width, index // 2 * height))
    return sheet


def _chosen(scenes: dict[str, Any], first: int) -> list[str]:
    """Videos of all kinds and attributes in turn."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for video, record in scenes.items():
        kinds.setdefault((record["kind"], record["attribute"]), []).append(video)
    lists = [videos for _, videos in sorted(kinds.items())]
    longest = max(map(len, lists))
    in_turn = [videos[i] for i in range(longest) for videos in lists if i < len(videos)]
    return in_turn[first : first + _VIDEOS]


def _tile(root: Path, video: str, record: dict[str, Any]) -> Image.Image:
    frames = record["frames"]
    shown = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round()]
    views = [_frame(root, video, frame) for frame in shown]
    masked = [picture.mean(axis=-1, keepdims=True) // 3 + _COLOURS[ids] * 0.67 for picture, ids in views]
    strip = Image.fromarray(np.concatenate([*(p for p, _ in views), *masked], axis=1).astype(np.uint8))
    height = round(_WIDTH * views[0][1].shape[0] / views[0][1].shape[1])
    strip = strip.resize((2 * len(shown) * _WIDTH, height))
    tile = Image.new("RGB", (strip.width, height + 6 * _LINE), "white")
    draw = ImageDraw.Draw(tile)
    draw.font = ImageFont.load_default(11)
    draw.text((0, 0), f"{video} group {record['group']}, {record['kind']}, {record['attribute']}", "black")
    tile.paste(strip, (0, _LINE))
    for line, (number, entry) in enumerate(record["objects"].items()):
        colour = tuple(_COLOURS[int(number)].tolist())
        draw.text((0, height + (line + 1) * _LINE), f"{entry['expressions'][0]}  ({entry['picture']})", colour)
    return tile


def _frame(root: Path, video: str, frame: str) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) and object ids (H, W), both uint8."""
    train = root / "train"
    return (
        np.asarray(Image.open(train / "JPEGImages" / video / f"{frame}.jpg")),
        np.asarray(Image.open(train / "Annotations" / video / f"{frame}.png")),
    )
