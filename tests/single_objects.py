"""A tiny benchmark whose videos show a single annotated object each: what mosaics are made of."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {"cat": (32, 48), "dog": (40, 40), "giant_panda": (32, 64)}


def write_single_objects(root: Path, *, videos: int = 2) -> Path:
    """`videos` of each class: a bright square on a ground of its class's size and grey; cats alone have a sentence."""
    meta, sentences = {}, {}
    for shade, (category, (height, width)) in enumerate(SIZES.items()):
        for number in range(videos):
            name, frames = f"{category}-{number}", [f"{i:05d}" for i in range(3 + number)]
            for folder in ("JPEGImages", "Annotations"):
                (root / "train" / folder / name).mkdir(parents=True)
            for position, frame in enumerate(frames):
                ids = np.zeros((height, width), np.uint8)
                if number == 0 or position > 0:  # hidden in the first frame of the longer videos
                    ids[8:16, 8 + position : 20 + position] = 5
                picture = np.where(ids[..., None] > 0, 250, 40 + 40 * shade).astype(np.uint8).repeat(3, axis=2)
                Image.fromarray(picture).save(root / f"train/JPEGImages/{name}/{frame}.jpg", quality=95)
                Image.fromarray(ids).save(root / f"train/Annotations/{name}/{frame}.png")
            meta[name] = {"objects": {"5": {"category": category, "frames": frames}}}
            spoken = {"0": {"exp": f"cat number {number}", "obj_id": "5"}} if category == "cat" else {}
            sentences[name] = {"frames": frames, "expressions": spoken}
    (root / "meta_expressions/train").mkdir(parents=True)
    (root / "train/meta.json").write_text(json.dumps({"videos": meta}))
    (root / "meta_expressions/train/meta_expressions.json").write_text(json.dumps({"videos": sentences}))
    return root
