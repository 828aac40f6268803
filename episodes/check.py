"""Checks every file of a benchmark in one pass: what is missing, damaged, or contradicts the index."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tabulate import tabulate

from episodes.catalog import Problem, VideoCatalog
from episodes.decode import decode_mask, decode_picture, read_mask
from episodes.errors import LayoutError, ReadError
from episodes.readers import index_benchmark
from episodes.readers.index import LEAVES_ROOT
from episodes.types import VideoRecord


@dataclass(frozen=True)
class CheckReport:
    """All problems, errors first. An error stops training at some episode, or already at its start."""

    root: Path
    videos: int
    frames: int
    problems: tuple[Problem, ...]

    @property
    def stops_training(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        counts = Counter(problem.severity for problem in self.problems)
        return {
            "root": str(self.root),
            "videos": self.videos,
            "frames": self.frames,
            "errors": counts["error"],
            "warnings": counts["warning"],
            "stops_training": self.stops_training,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def as_table(self) -> str:
        """One line for each problem (file names relative to the root), and a last line with the totals."""
        head = ("severity", "problem", "file", "detail")
        rows = [(p.severity, p.kind, p.file.removeprefix(f"{self.root}/"), p.detail) for p in self.problems]
        table = [tabulate(rows, head, tablefmt="plain", disable_numparse=True)] if rows else []
        counts = Counter(problem.severity for problem in self.problems)
        total = f"{self.root}: {self.videos} videos, {self.frames} frames, {counts['error']} errors"
        verdict = "a training that meets the errors stops" if self.stops_training else "nothing would stop training"
        return "\n".join([*table, f"{total}, {counts['warning']} warnings: {verdict}"])


def check_benchmark(root: Path, *, threads: int = 4) -> CheckReport:
    """Decodes every listed picture and mask of a benchmark folder and lists all problems.

    Raises LayoutError only if there is no index to check against: a missing folder or index file, or broken JSON.
    """
    catalog = index_benchmark(root)
    problems = [*map(_as_stopping, catalog.problems), *_unlisted_folders(catalog)]
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(_check_video, catalog.videos.values()):
            problems += found
    # Stable: "error" before "warning", ids that leave the root before other errors, else as found.
    problems.sort(key=lambda problem: (problem.severity, problem.kind != LEAVES_ROOT))
    frames = sum(len(video.frames) for video in catalog.videos.values())
    return CheckReport(catalog.root, len(catalog.videos), frames, tuple(problems))


def require_visible(catalog: VideoCatalog, objects: Iterable[tuple[str, str]]) -> None:
    """LayoutError if an object, (video, object id), has no pixel in any frame that the index lists for it.

    Nothing can be shown or asked of such an object: an empty answer would be right in every frame. As `check_benchmark`
    says it, for the objects of a training or an evaluation alone, before it begins.
    """
    hidden = []
    for name, number in sorted(set(objects)):
        video, record = catalog.videos[name], catalog.videos[name].object(number)
        if not any((read_mask(video.mask_path(frame)) == int(number)).any() for frame in record.frames):
            hidden.append(
                f"object {number} ({record.category}) of video {name!r} has no pixel in any of its "
                f"{len(record.frames)} listed frames ({video.mask_folder})"
            )
    if hidden:
        more = f" (and {len(hidden) - 3} more)" if len(hidden) > 3 else ""
        raise LayoutError(
            f"{'; '.join(hidden[:3])}{more}. Repair the masks, or take the object's sentences out of the index; "
            f"`data check {catalog.root}` lists every problem"
        )


def _as_stopping(problem: Problem) -> Problem:
    """The catalog tolerates a class with one video; no sampler can draw support and query from it."""
    if problem.kind != "class with one video":
        return problem
    remedy = "an episode needs two; add videos, or train with episodes.small_classes=skip"
    return replace(problem, severity="error", detail=f"{problem.detail}: {remedy}")


def _unlisted_folders(catalog: VideoCatalog) -> Iterable[Problem]:
    folders = {folder.parent for video in catalog.videos.values() for folder in (video.frame_folder, video.mask_folder)}
    for folder in sorted(folders):
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.is_dir() and entry.name not in catalog.videos:
                yield Problem("id absent from meta", "warning", str(entry), "the folder's video is not in the index")


def _check_video(video: VideoRecord) -> list[Problem]:
    problems: list[Problem] = []
    values: dict[str, set[int]] = {}  # of the masks that could be read, by frame
    size: tuple[int, ...] | None = None
    for frame in video.frames:
        for file, kind in ((video.frame_path(frame), "frame"), (video.mask_path(frame), "mask")):
            array = _read(file, kind)
            if isinstance(array, Problem):
                problems.append(array)
                continue
            size = size or array.shape[:2]
            if array.shape[:2] != size:
                detail = f"{array.shape[1]} x {array.shape[0]} pixels in a video of {size[1]} x {size[0]}"
                problems.append(Problem("size mismatch", "error", str(file), detail))
            if kind == "mask":
                values[frame] = set(np.flatnonzero(np.bincount(array.ravel())).tolist())
    return problems + _check_objects(video, values)


def _read(file: Path, kind: str) -> np.ndarray | Problem:
    if not file.is_file():
        return Problem(f"missing {kind}", "error", str(file), "the index lists it, the folder lacks it")
    try:
        return decode_picture(file) if kind == "frame" else decode_mask(file)
    except ReadError as error:
        return Problem("unreadable picture", "error", str(file), str(error).removeprefix(f"{file}: "))


def _check_objects(video: VideoRecord, values: dict[str, set[int]]) -> list[Problem]:
    """Index against masks: objects that none shows, and values that no object has."""
    problems = []
    folder, spoken = str(video.mask_folder), {item.object_id for item in video.expressions}
    for record in video.objects:
        hidden = [frame for frame in record.frames if frame in values and int(record.id) not in values[frame]]
        if record.frames and len(hidden) == len(record.frames):
            severity: Literal["error", "warning"] = "error" if record.id in spoken else "warning"
            detail = f"object {record.id} ({record.category}) has no pixel in any of its {len(hidden)} listed frames"
            problems.append(Problem("object with no visible frame", severity, folder, detail))
        elif hidden:
            shares = f"{len(hidden)} of {len(record.frames)} listed frames, {hidden[:3]}"
            detail = f"object {record.id} has no pixel in {shares}"
            problems.append(Problem("frame without the object", "warning", folder, detail))
    known = {int(record.id) for record in video.objects}
    for value in sorted(set[int]().union(*values.values()) - known - {0}):
        frames = [frame for frame in values if value in values[frame]]
        detail = f"pixel value {value} in {len(frames)} mask(s) of the video belongs to no object of the index"
        problems.append(Problem("id absent from meta", "warning", str(video.mask_path(frames[0])), detail))
    return problems
