"""Composed clips -> a folder in the Mini-Ref-YouTube-VOS layout."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from episodes.composed.composing import Composed, compose
from episodes.composed.config import VERSION, ComposedConfig, ComposedError
from episodes.composed.contact_sheet import contact_sheet
from episodes.composed.pictures import Library, read_library
from episodes.composed.planning import Assignment, assignments
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


def write_composed(out: Path, *, config: ComposedConfig, workers: int = 2, progress: Progress | None = None) -> None:
    """Writes the benchmark and its contact sheet to `out`; returns at once where the same one is already there.

    The same pictures and values give the same bytes for any number of workers. `progress` is called with (videos done,
    videos in all). Raises ComposedError if a picture cannot be used, or if `out` holds anything else.
    """
    library = read_library(config)
    recipe = Recipe(
        "composed.json",
        "data.composed",
        VERSION,
        {**config.recipe, "pictures": library.digest},
        ComposedError,
    )

    def write(root: Path) -> None:
        videos = assignments(config, library)
        records = in_processes(partial(write_video, root, config, library), videos, workers)
        write_index(root, recipe, list(library.classes), [item.video for item in videos], records, progress)
        contact_sheet(root).save(root / "contact_sheet.png")

    write_folder(out, recipe, write)


def write_video(root: Path, config: ComposedConfig, library: Library, assignment: Assignment) -> dict[str, Any]:
    """Composes and writes one video; returns its record for scenes.json."""
    composed = compose(assignment, library, config, Draws(config.seed, assignment.index))
    save_frames(root, assignment.video, composed.frames, composed.masks, composed.shot.quality)
    return _record(assignment, composed)


def _record(assignment: Assignment, composed: Composed) -> dict[str, Any]:
    """What is true of the video, in plain values; boxes are x0, y0, x1, y1 in pixels, the last two exclusive."""
    digest = hashlib.sha256(composed.frames.tobytes())
    digest.update(composed.masks.tobytes())
    objects = {}
    for number, (role, text, whole) in enumerate(
        zip(composed.roles, composed.texts, composed.whole, strict=True), start=1
    ):
        seen = (composed.masks == number).astype(np.uint8)
        objects[str(number)] = {
            "class": role.category,
            "attribute": role.attribute,
            "value": role.value,
            "caption": role.picture.caption,
            "picture": f"{role.picture.path.parent.name}/{role.picture.path.name}",
            "expressions": [text],
            "box": [[x, y, x + w, y + h] if w else None for x, y, w, h in map(cv2.boundingRect, seen)],
            "visible_pixels": [int(mask.sum()) for mask in seen],
            "whole_pixels": list(whole),
        }
    return {
        "group": assignment.group,
        "kind": assignment.kind,
        "attribute": composed.attribute,
        "classes": list(assignment.classes),
        "frames": frame_names(len(composed.frames)),
        "objects": objects,
        "sha256": digest.hexdigest(),
    }
