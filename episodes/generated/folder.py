"""A generated benchmark on disk: the Mini-Ref-YouTube-VOS layout, written aside and renamed when it is complete."""

import hashlib
import itertools
import json
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image

from episodes.errors import UserError
from episodes.files import flush, write_whole

Job = TypeVar("Job")
Progress = Callable[[int, int], None]  # (videos done, videos in all)

FRAME_STEP = 5  # frame names count in fives, as in the official set
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128, 128, 128, 128]


@dataclass(frozen=True)
class Recipe:
    """What a generated benchmark is known by: the file `mark`, whose presence says that the folder is complete.

    `config` holds the values that decide the content; `key` is the experiment's key of the generator, for messages.
    """

    mark: str
    key: str
    version: int
    config: dict[str, Any]
    error: type[UserError]

    def is_at(self, out: Path) -> bool:
        """Whether this benchmark lies at `out`; False if nothing does, `error` if anything else does."""
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
        if not out.is_dir():
            raise self.error(f"{out} is a file; the benchmark needs a folder: give another path")
        mark = out / self.mark
        if not mark.is_file():
            raise self.error(
                f"{out} is not empty and has no {self.mark}: give a new folder; "
                f"for a benchmark of your own, set {self.key}=null"
            )
        try:
            stored = json.loads(mark.read_text("utf-8"))
        except ValueError as error:
            raise self.error(f"{mark} is not readable as JSON ({error}): remove {out} and write it again") from error
        if difference := self._difference(stored):
            raise self.error(
                f"{out} holds a benchmark of another recipe ({difference}): give another folder, "
                "or remove this one first"
            )
        return True

    def _difference(self, stored: Any) -> str:
        if not isinstance(stored, dict) or not isinstance(stored.get("config"), dict):
            return "its config cannot be read"
        if stored.get("version") != self.version:
            return f"generator version {stored.get('version')}, this is {self.version}"
        old, new = stored["config"], self.config
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        return ", ".join(f"{key} is {old.get(key)}, asked for {new.get(key)}" for key in keys)


def write_folder(out: Path, recipe: Recipe, write: Callable[[Path], None]) -> None:
    """Calls `write` with an empty folder and renames that to `out`; returns at once if the same one is already there.

    Raises the recipe's error if `out` holds anything else, or cannot be written.
    """
    if recipe.is_at(out):
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True) as folder:
            aside = Path(folder)
            aside.chmod(0o755)
            write(aside)
            if out.exists():
                out.rmdir()  # empty, or the recipe would have rejected it
            aside.rename(out)
    except OSError as error:
        raise recipe.error(
            f"the benchmark could not be written to {out} ({error}): free space there or give another folder; "
            "nothing half-written was left"
        ) from error


def write_index(
    root: Path,
    recipe: Recipe,
    classes: Sequence[str],
    videos: Sequence[str],
    records: Iterable[dict[str, Any]],
    progress: Progress | None,
) -> None:
    """Collects the videos' records as they are made, and writes the benchmark's index, scenes.json and its mark.

    A record has "frames" (their names), "sha256", and "objects": {id: {"class", "expressions", "visible_pixels", ...}}.
    """
    meta: dict[str, Any] = {}
    sentences: dict[str, Any] = {}
    scenes: dict[str, Any] = {}
    digest = hashlib.sha256()
    for done, (video, record) in enumerate(zip(videos, records, strict=True), start=1):
        digest.update(record["sha256"].encode())
        scenes[video] = record
        objects = record["objects"]
        meta[video] = {
            "objects": {
                number: {
                    "category": entry["class"],
                    "frames": list(itertools.compress(record["frames"], entry["visible_pixels"])),
                }
                for number, entry in objects.items()
            }
        }
        texts = [(number, text) for number, entry in objects.items() for text in entry["expressions"]]
        sentences[video] = {
            "frames": record["frames"],
            "expressions": {str(i): {"exp": text, "obj_id": number} for i, (number, text) in enumerate(texts)},
        }
        if progress is not None:
            progress(done, len(videos))
    _write_json(root / "train" / "meta.json", {"videos": meta})
    _write_json(root / "train" / "classes.json", list(classes))
    _write_json(root / "meta_expressions" / "train" / "meta_expressions.json", {"videos": sentences})
    _write_json(root / "scenes.json", {"videos": scenes})
    mark = {"version": recipe.version, "config": recipe.config, "videos": len(videos), "content": digest.hexdigest()}
    _write_json(root / recipe.mark, mark)


def in_processes(write: Callable[[Job], dict[str, Any]], jobs: Sequence[Job], workers: int) -> Iterator[dict[str, Any]]:
    """`write(job)` of every job, in their order."""
    if workers <= 1:
        yield from map(write, jobs)
        return
    context = multiprocessing.get_context("spawn")  # safe beside threads, and the same on every system
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            yield from pool.map(write, jobs, chunksize=max(1, min(8, len(jobs) // workers)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent alone decides, and waits before it tidies up


def frame_names(count: int) -> list[str]:
    return [f"{frame * FRAME_STEP:05d}" for frame in range(count)]


def save_frames(root: Path, video: str, frames: np.ndarray, masks: np.ndarray, quality: int) -> None:
    """frames (T, H, W, 3) uint8 RGB as JPEG, masks (T, H, W) uint8 object ids as palette PNG."""
    pictures = root / "train" / "JPEGImages" / video
    annotations = root / "train" / "Annotations" / video
    pictures.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for name, picture, mask in zip(frame_names(len(frames)), frames, masks, strict=True):
        Image.fromarray(picture).save(pictures / f"{name}.jpg", quality=quality)
        image = Image.fromarray(mask)
        image.putpalette(PALETTE)
        image.save(annotations / f"{name}.png")


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
    flush(path)
