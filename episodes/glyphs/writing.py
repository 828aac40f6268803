"""Scenes -> a folder in the Mini-Ref-YouTube-VOS layout, written aside and renamed when it is complete."""

import hashlib
import itertools
import json
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from episodes.files import flush, write_whole
from episodes.glyphs.classes import CLASS_NAMES
from episodes.glyphs.config import VERSION, GlyphsConfig, GlyphsError
from episodes.glyphs.contact_sheet import contact_sheet
from episodes.glyphs.draws import Draws
from episodes.glyphs.painting import Painted, paint
from episodes.glyphs.planning import Assignment, Scene, assignments, plan

MARK = "glyphs.json"  # its presence says that the folder is complete
_JPEG_QUALITY = 92
_FRAME_STEP = 5  # frame names count in fives, as in the official set
_PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128, 128, 128, 128]


def write_glyphs(
    out: Path, *, config: GlyphsConfig, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> None:
    """Writes the benchmark and its contact sheet to `out`; returns at once where the same one is already there.

    `progress` is called with (videos done, videos in all). Raises GlyphsError if `out` holds anything else.
    """
    if _already_there(out, config):
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True) as folder:
            aside = Path(folder)
            aside.chmod(0o755)
            _write_all(aside, config, workers, progress)
            contact_sheet(aside).save(aside / "contact_sheet.png")
            if out.exists():
                out.rmdir()  # empty, or _already_there would have rejected it
            aside.rename(out)
    except OSError as error:
        raise GlyphsError(
            f"the benchmark could not be written to {out} ({error}): free space there or give another folder; "
            "nothing half-written was left"
        ) from error


def _already_there(out: Path, config: GlyphsConfig) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not out.is_dir():
        raise GlyphsError(f"{out} is a file; the benchmark needs a folder: give another path")
    mark = out / MARK
    if not mark.is_file():
        raise GlyphsError(
            f"{out} is not empty and has no {MARK}: give a new folder; "
            "for a benchmark of your own, set data.glyphs=null"
        )
    try:
        found = json.loads(mark.read_text("utf-8"))
    except ValueError as error:
        raise GlyphsError(f"{mark} is not readable as JSON ({error}): remove {out} and write it again") from error
    if difference := _difference(found, config):
        raise GlyphsError(
            f"{out} holds a benchmark of another recipe ({difference}): give another folder, or remove this one first"
        )
    return True


def _difference(found: Any, config: GlyphsConfig) -> str:
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        return "its config cannot be read"
    if found.get("version") != VERSION:
        return f"generator version {found.get('version')}, this is {VERSION}"
    old, new = found["config"], config.model_dump()
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return ", ".join(f"{key} is {old.get(key)}, asked for {new.get(key)}" for key in keys)


def _write_all(root: Path, config: GlyphsConfig, workers: int, progress: Callable[[int, int], None] | None) -> None:
    videos = assignments(config)
    meta: dict[str, Any] = {}
    sentences: dict[str, Any] = {}
    scenes: dict[str, Any] = {}
    digest = hashlib.sha256()
    records = _records(root, config, videos, workers)
    for done, (assignment, record) in enumerate(zip(videos, records, strict=True), start=1):
        digest.update(record["sha256"].encode())
        scenes[assignment.video] = record
        objects = record["objects"]
        meta[assignment.video] = {
            "objects": {
                number: {
                    "category": entry["class"],
                    "frames": list(itertools.compress(record["frames"], entry["visible_pixels"])),
                }
                for number, entry in objects.items()
            }
        }
        texts = [(number, text) for number, entry in objects.items() for text in entry["expressions"]]
        sentences[assignment.video] = {
            "frames": record["frames"],
            "expressions": {str(i): {"exp": text, "obj_id": number} for i, (number, text) in enumerate(texts)},
        }
        if progress is not None:
            progress(done, len(videos))
    _write_json(root / "train" / "meta.json", {"videos": meta})
    _write_json(root / "train" / "classes.json", list(CLASS_NAMES))
    _write_json(root / "meta_expressions" / "train" / "meta_expressions.json", {"videos": sentences})
    _write_json(root / "scenes.json", {"videos": scenes})
    mark = {"version": VERSION, "config": config.model_dump(), "videos": len(videos), "content": digest.hexdigest()}
    _write_json(root / MARK, mark)


def _records(
    root: Path, config: GlyphsConfig, videos: tuple[Assignment, ...], workers: int
) -> Iterator[dict[str, Any]]:
    write = partial(write_video, root, config)
    if workers <= 1:
        yield from map(write, videos)
        return
    context = multiprocessing.get_context("spawn")  # safe beside threads, and the same on every system
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            yield from pool.map(write, videos, chunksize=max(1, min(8, len(videos) // workers)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent alone decides, and waits before it tidies up


def write_video(root: Path, config: GlyphsConfig, assignment: Assignment) -> dict[str, Any]:
    """Plans, paints and writes one video; returns its record for scenes.json."""
    draws = Draws(config.seed, assignment.index)
    scene = plan(assignment, config, draws)
    painted = paint(scene, config.size, config.frames, draws)
    record = _record(scene, painted)
    pictures = root / "train" / "JPEGImages" / assignment.video
    masks = root / "train" / "Annotations" / assignment.video
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    for name, picture, mask in zip(record["frames"], painted.frames, painted.masks, strict=True):
        Image.fromarray(picture).save(pictures / f"{name}.jpg", quality=_JPEG_QUALITY)
        image = Image.fromarray(mask)
        image.putpalette(_PALETTE)
        image.save(masks / f"{name}.png")
    return record


def _record(scene: Scene, painted: Painted) -> dict[str, Any]:
    """What is true of the video, in plain values; boxes are x0, y0, x1, y1 in pixels, the last two exclusive."""
    assignment = scene.assignment
    digest = hashlib.sha256(painted.frames.tobytes())
    digest.update(painted.masks.tobytes())
    size = painted.frames.shape[1]
    objects = {}
    for planned in scene.objects:
        seen = (painted.masks == planned.id).astype(np.uint8)
        objects[str(planned.id)] = {
            "class": planned.category,
            "attribute": assignment.attribute,
            "value": planned.value,
            "expressions": list(planned.texts),
            "colour": planned.look.colour,
            "tint": list(planned.look.tint),
            "texture": planned.look.texture,
            "size": planned.look.size,
            "depth": scene.order.index(planned.id),
            "centre": [[pose.x * size, pose.y * size] for pose in planned.poses],
            "box": [[x, y, x + w, y + h] if w else None for x, y, w, h in map(cv2.boundingRect, seen)],
            "visible_pixels": [int(mask.sum()) for mask in seen],
            "whole_pixels": painted.whole[planned.id],
        }
    return {
        "group": assignment.group,
        "attribute": assignment.attribute,
        "classes": list(assignment.classes),
        "frames": [f"{frame * _FRAME_STEP:05d}" for frame in range(len(painted.frames))],
        "objects": objects,
        "sha256": digest.hexdigest(),
    }


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
    flush(path)
