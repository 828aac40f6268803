"""A benchmark in each official layout, written in milliseconds, for the tests of every layer.

A class is a shape, so that a model can tell classes apart by their pictures. Each video holds two classes whose ids are
equal modulo 4 (both base or both novel in every group), with `objects_per_class` differently coloured objects of each.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("disc", "square", "triangle", "cross", "ring", "bar", "diamond", "stripe")
COLOURS = {"red": (220, 40, 40), "blue": (40, 70, 220), "green": (40, 190, 70), "yellow": (230, 210, 40)}


@dataclass(frozen=True)
class Form:
    """Where a layout keeps what, below the root."""

    frames: str
    suffix: str
    masks: str
    meta: str
    expressions: str


FORMS = {
    "ytvos": Form(
        "train/JPEGImages",
        ".jpg",
        "train/Annotations",
        "train/meta.json",
        "meta_expressions/train/meta_expressions.json",
    ),
    "sailvos": Form("Images", ".bmp", "Annotations", "meta.json", "meta_expressions.json"),
    "sailvos-readme": Form(
        "train/JPEGImages",
        ".bmp",
        "train/Annotations",
        "train/train.json",
        "meta_expressions/train/meta_expressions.json",
    ),
}


def write_tiny_benchmark(
    root: Path,
    *,
    layout: str = "ytvos",
    names: Sequence[str] | None = None,
    classes: int = 8,
    videos_per_class: int = 4,
    frames: int = 4,
    size: int | tuple[int, int] = 64,
    objects_per_class: int = 1,
    seed: int = 0,
) -> Path:
    """Writes pictures, masks and JSON files under `root` and returns it. `size`: a side, or (height, width) in pixels.

    Every class is in `videos_per_class` videos. Each object has two sentences: by colour ("the red disc") and by the
    half in which it stays ("a disc on the left"). `names`: what the classes are called, in place of their shapes; no
    class list is written then, as in the official sets.
    """
    height, width = (size, size) if isinstance(size, int) else size
    form, listed_classes = FORMS[layout], names is None
    if names is None:
        names = [f"{SHAPES[i % len(SHAPES)]}_{i // len(SHAPES)}".removesuffix("_0") for i in range(classes)]
    classes = len(names)
    rng = np.random.default_rng([seed, classes, videos_per_class])
    meta: dict[str, dict] = {}
    sentences: dict[str, dict] = {}
    for pair in _pairs(classes):
        for number in range(videos_per_class):
            video = f"{names[pair[0]]}-{names[pair[1]]}-{number:02d}"
            scene = _scene(rng, pair, names, objects_per_class)
            _write_video(root, form, video, scene, rng, frames, (height, width))
            listed = [f"{5 * frame:05d}" for frame in range(frames)]
            records = {str(i + 1): {"category": item["name"], "frames": listed} for i, item in enumerate(scene)}
            meta[video] = {"objects": records}
            sentences[video] = {"frames": listed, "expressions": _expressions(scene)}
    _write_json(root / form.meta, {"videos": meta})
    if listed_classes:
        _write_json((root / form.meta).with_name("classes.json"), names)
    _write_json(root / form.expressions, {"videos": sentences})
    return root


def _pairs(classes: int) -> list[tuple[int, int]]:
    """Classes two by two, equal modulo 4; one that is left over is paired with itself."""
    pairs = []
    for remainder in range(min(4, classes)):
        members = list(range(remainder, classes, 4))
        members += members[-1:] * (len(members) % 2)
        pairs += list(zip(members[::2], members[1::2], strict=True))
    return pairs


def _scene(rng: np.random.Generator, pair: tuple[int, int], names: Sequence[str], objects_per_class: int) -> list[dict]:
    """Objects in a grid without overlap: one row for each object of a class, classes in drawn columns."""
    scene = []
    for row in range(objects_per_class):
        left = int(rng.integers(2))
        for column, shape in enumerate((pair[left], pair[1 - left])):
            place = {"column": column, "row": row, "rows": objects_per_class}
            scene.append({"shape": shape, "name": names[shape], **place})
    colours = rng.permutation(list(COLOURS))
    for position, item in enumerate(scene):
        item["colour"] = str(colours[position % len(colours)])
    return scene


def _write_video(
    root: Path, form: Form, video: str, scene: list[dict], rng: np.random.Generator, frames: int, size: tuple[int, int]
) -> None:
    height, width = size
    pictures, masks = root / form.frames / video, root / form.masks / video
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    y, x = np.mgrid[:height, :width]
    background = rng.integers(90, 130, size=(height, width, 1)).repeat(3, axis=2).astype(np.uint8)
    for frame in range(frames):
        picture, ids = background.copy(), np.zeros((height, width), np.uint8)
        for position, item in enumerate(scene):
            drift = 0.06 * np.sin(frame + position)
            centre = ((item["row"] + 0.5) / item["rows"] + drift / item["rows"], (item["column"] + 0.5) / 2 + drift)
            radius = 0.36 * min(height / item["rows"], width / 2)
            inside = _shape(item["shape"], (y - centre[0] * height) / radius, (x - centre[1] * width) / radius)
            picture[inside] = COLOURS[item["colour"]]
            ids[inside] = position + 1
        Image.fromarray(picture).save(pictures / f"{5 * frame:05d}{form.suffix}", quality=95)
        _save_palette(Image.fromarray(ids), masks / f"{5 * frame:05d}.png")


def _save_palette(mask: Image.Image, path: Path) -> None:
    mask.putpalette([value for i in range(256) for value in ((i * 67) % 256, (i * 131) % 256, (i * 29) % 256)])
    mask.save(path)


def _shape(shape: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(H, W) bool: one of eight shapes in [-1, 1] x [-1, 1]."""
    box = (abs(x) < 0.9) & (abs(y) < 0.9)
    kinds = (
        x**2 + y**2 < 0.8,
        box,
        box & (abs(x) < (y + 0.9) / 1.8),
        box & ((abs(x) < 0.3) | (abs(y) < 0.3)),
        (x**2 + y**2 < 0.9) & (x**2 + y**2 > 0.3),
        (abs(x) < 0.35) & (abs(y) < 0.95),
        abs(x) + abs(y) < 0.95,
        box & (abs(x - y) < 0.45),
    )
    return kinds[shape % len(kinds)]


def _expressions(scene: list[dict]) -> dict[str, dict]:
    said = {}
    for position, item in enumerate(scene):
        name = item["name"].replace("_", " ")
        side = "left" if item["column"] == 0 else "right"
        for text in (f"the {item['colour']} {name}", f"a {name} on the {side}"):
            said[str(len(said))] = {"exp": text, "obj_id": str(position + 1)}
    return said


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
