"""Scenes -> a folder in the Mini-Ref-YouTube-VOS layout."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from episodes.generated.draws import Draws
from episodes.generated.folder import (
    Progress,
    Recipe,
    frame_names,
    in_processes,
    save_frames,
    write_folder,
    write_index,
)
from episodes.glyphs.classes import CLASS_NAMES
from episodes.glyphs.config import VERSION, GlyphsConfig, GlyphsError
from episodes.glyphs.contact_sheet import contact_sheet
from episodes.glyphs.painting import Painted, paint
from episodes.glyphs.planning import Assignment, Scene, assignments, plan

_JPEG_QUALITY = 92


def write_glyphs(out: Path, *, config: GlyphsConfig, workers: int = 2, progress: Progress | None = None) -> None:
    """Writes the benchmark and its contact sheet to `out`; returns at once where the same one is already there.

    `progress` is called with (videos done, videos in all). Raises GlyphsError if `out` holds anything else.
    """
    recipe = Recipe("glyphs.json", "data.glyphs", VERSION, config.model_dump(), GlyphsError)

    def write(root: Path) -> None:
        videos = assignments(config)
        records = in_processes(partial(write_video, root, config), videos, workers)
        write_index(root, recipe, CLASS_NAMES, [item.video for item in videos], records, progress)
        contact_sheet(root).save(root / "contact_sheet.png")

    write_folder(out, recipe, write)


def write_video(root: Path, config: GlyphsConfig, assignment: Assignment) -> dict[str, Any]:
    """Plans, paints and writes one video; returns its record for scenes.json."""
    draws = Draws(config.seed, assignment.index)
    scene = plan(assignment, config, draws)
    painted = paint(scene, config.size, config.frames, draws)
    save_frames(root, assignment.video, painted.frames, painted.masks, _JPEG_QUALITY)
    return _record(scene, painted)


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
        "frames": frame_names(len(painted.frames)),
        "objects": objects,
        "sha256": digest.hexdigest(),
    }
