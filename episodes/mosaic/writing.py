"""Planned mosaics -> a benchmark folder in the Mini-Ref-YouTube-VOS layout. T frames, H W picture size."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from episodes.catalog import VideoCatalog
from episodes.decode import decode_picture, read_mask
from episodes.generated.folder import Recipe, frame_names, save_frames, write_folder, write_index
from episodes.geometry import resize_frames, resize_ids
from episodes.mosaic.pairing import Half, MosaicError, Plan, plan_mosaics
from episodes.readers import read_benchmark

VERSION = 1
_MARK = "mosaic.json"
_JPEG_QUALITY = 95  # the pictures were compressed before


def write_mosaics(
    source: Path, out: Path, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Plan:
    """Writes mosaics of the benchmark in folder `source` to `out`; kept if the same ones are there already.

    Both halves have the smaller height of the two, and as many frames as the shorter video. Both objects are annotated
    with their class and all their sentences, "the <category>" where there is none. Raises LayoutError or ReadError for
    a source that is faulty, MosaicError if it has too few videos or `out` holds anything else.
    """
    catalog = read_benchmark(source, unnamed="class").of_all_categories()
    catalog.reject_errors()
    plan = plan_mosaics(catalog, seed)
    config = {"seed": seed, "source": catalog.content.hash}
    recipe = Recipe(mark=_MARK, key="data.glyphs", version=VERSION, config=config, error=MosaicError)

    def write(root: Path) -> None:
        names = [mosaic.name for mosaic in plan.mosaics]
        used = {half.category for mosaic in plan.mosaics for half in (mosaic.left, mosaic.right)}
        classes = [name for name in catalog.classes if name in used]
        records = (_write(root, catalog, mosaic.name, (mosaic.left, mosaic.right)) for mosaic in plan.mosaics)
        write_index(root, recipe, classes, names, records, progress)

    write_folder(out, recipe, write)
    return plan


def _write(root: Path, catalog: VideoCatalog, name: str, halves: tuple[Half, Half]) -> dict[str, Any]:
    """Writes one mosaic; returns its record for the index."""
    length = min(len(catalog.videos[half.video].frames) for half in halves)
    clips = [_clip(catalog, half, length) for half in halves]
    height = min(len(masks[0]) for _, masks in clips)
    scaled = [_scaled(pictures, masks, height) for pictures, masks in clips]
    frames = np.concatenate([pictures for pictures, _ in scaled], axis=2)
    ids = np.concatenate([masks * np.uint8(number) for number, (_, masks) in enumerate(scaled, 1)], axis=2)
    save_frames(root, name, frames, ids, _JPEG_QUALITY)
    return {
        "frames": frame_names(length),
        "sha256": hashlib.sha256(frames.tobytes() + ids.tobytes()).hexdigest(),
        "objects": {
            str(number): {
                "class": half.category,
                "source": half.video,
                "expressions": [e.text for _, e in catalog.referable(half.video, half.category)],
                "visible_pixels": [int((frame == number).sum()) for frame in ids],
            }
            for number, half in enumerate(halves, 1)
        },
    }


def _clip(catalog: VideoCatalog, half: Half, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(pictures (T, H, W, 3), masks (T, H, W) bool) of the `length` neighbouring frames in which the object is seen
    most often, the first such ones."""
    video = catalog.videos[half.video]
    masks = np.stack([read_mask(video.mask_path(frame)) == int(half.object_id) for frame in video.frames])
    seen = np.array([mask.any() for mask in masks])
    start = max(range(len(seen) - length + 1), key=lambda first: int(seen[first : first + length].sum()))
    kept = slice(start, start + length)
    return np.stack([decode_picture(video.frame_path(frame)) for frame in video.frames[kept]]), masks[kept]


def _scaled(pictures: np.ndarray, masks: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (T, H, W, 3) and masks (T, H, W), as uint8, at this height and their own proportions."""
    size = height, max(1, round(masks.shape[2] * height / masks.shape[1]))
    frames = resize_frames(torch.from_numpy(pictures).permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    return frames.numpy(), resize_ids(torch.from_numpy(masks.astype(np.uint8)), size).numpy()
