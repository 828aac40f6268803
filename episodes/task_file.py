"""tasks.json: the support list of an evaluation, with every query, as a file that can be published and evaluated again.

    {"benchmark": name, "manifest": sha256 of the tasks,
     "tasks": [{"category", "seed", "support": [clip, ...], "queries": [clip, ...]}, ...]}

A clip is {"video", "object_id", "expression_id", "frames"}; the first K clips of `support` are the K-shot support.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from episodes.catalog import VideoCatalog
from episodes.errors import SamplingError
from episodes.evaluation_tasks import EvaluationTask
from episodes.files import json_digest, shown
from episodes.types import ClipRef


class TaskFile(BaseModel):
    """What tasks.json holds; `benchmark` is the catalog's name, `manifest` the hash of `tasks`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str
    manifest: str
    tasks: tuple[EvaluationTask, ...]


def task_file_text(tasks: Sequence[EvaluationTask], benchmark: str) -> str:
    """The text of tasks.json, one task on a line."""
    head = f'{{"benchmark": {json.dumps(benchmark)},\n "manifest": "{json_digest(tasks)}",\n "tasks": [\n'
    return head + ",\n".join(json.dumps(asdict(task)) for task in tasks) + "\n]}\n"


def read_task_file(path: Path) -> TaskFile:
    """The file as it stands, without looking at a benchmark. SamplingError if it is absent, damaged or was changed."""
    if not path.is_file():
        raise SamplingError(f"{path}: no such file; name the tasks.json in the results of a run")
    return parse_task_file(path.read_bytes(), path)


def parse_task_file(content: bytes | str, path: Path) -> TaskFile:
    """The task file that `path` holds as `content`. SamplingError if it is damaged or was changed."""
    try:
        found = TaskFile.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise SamplingError(
            f"{path}: {place}: {first['msg']}, found {shown(first['input'])}; write the file again (`evaluate`)"
        ) from error
    hashed = json_digest(found.tasks)
    if hashed != found.manifest:
        raise SamplingError(
            f"{path}: its manifest is {found.manifest}, but its tasks hash to {hashed}: they were changed after the "
            "file was written. Restore the file, or draw new tasks without it"
        )
    return found


def read_tasks(path: Path, catalog: VideoCatalog) -> list[EvaluationTask]:
    """The tasks of the file, each checked against the benchmark.

    SamplingError names the file, the task, the value and what to do if the file is damaged, if a class, video, object,
    expression or frame is not in the catalog, or if a task could not be evaluated (support and query share a video).
    """
    found = read_task_file(path)
    if not found.tasks:
        raise SamplingError(f"{path}: holds no task; write the file again with `evaluate`")
    seen: set[tuple[str, int, str, str, str]] = set()
    for task in found.tasks:
        where = f"{path}: task of class {task.category!r}, seed {task.seed}"
        asked = {(task.category, task.seed, clip.video, clip.object_id, clip.expression_id) for clip in task.queries}
        if again := sorted(asked & seen):
            raise SamplingError(
                f"{where}: its query {again[0][2:]} (video, object, expression) is in an earlier task of this class "
                "and seed; ask each query once for each class and seed"
            )
        seen |= asked
        for fault in _faults(task, catalog):
            raise SamplingError(
                f"{where}: {fault}. The file was written for benchmark {found.benchmark!r}, and {catalog.root} is "
                "evaluated: set data.root (or evaluate.transfer.root) and evaluate.tasks to match"
            )
    return list(found.tasks)


def _faults(task: EvaluationTask, catalog: VideoCatalog) -> Iterator[str]:
    if task.category not in catalog.classes:
        yield "the benchmark has no such class"
    if task.seed < 0:
        yield "a seed is at least 0"
    for part, clips in (("support", task.support), ("query", task.queries)):
        if not clips:
            yield f"it has no {part} clip"
        for number, clip in enumerate(clips, start=1):
            for fault in _clip_faults(clip, task.category, catalog):
                yield f"{part} clip {number}: {fault}"
    lengths = sorted({len(clip.frames) for clip in task.support})
    if len(lengths) > 1:
        yield f"support clips have {lengths} frames, but clips of one support set have the same number"
    videos = Counter(clip.video for clip in task.support)
    for video in (video for video, count in videos.items() if count > 1):
        yield f"video {video!r} has two of the support clips, but each must come from another video"
    asked = Counter((clip.video, clip.object_id, clip.expression_id) for clip in task.queries)
    for query, count in asked.items():
        if query[0] in videos:
            yield f"video {query[0]!r} is in both support and queries"
        if count > 1:
            yield f"query {query} (video, object, expression) occurs twice"


def _clip_faults(clip: ClipRef, category: str, catalog: VideoCatalog) -> Iterator[str]:
    video = catalog.videos.get(clip.video)
    if video is None:
        yield f"video {clip.video!r} is unknown"
        return
    shown = [record for record in video.objects if record.id == clip.object_id]
    if not shown:
        yield f"object {clip.object_id!r} of video {clip.video!r} is unknown"
    elif shown[0].category != category:
        yield f"object {clip.object_id!r} of video {clip.video!r} is of class {shown[0].category!r}"
    if not any((item.id, item.object_id) == (clip.expression_id, clip.object_id) for item in video.expressions):
        yield f"expression {clip.expression_id!r} of object {clip.object_id!r} in video {clip.video!r} is unknown"
    unknown = [frame for frame in clip.frames if frame not in video.frames]
    if unknown or not clip.frames:
        yield f"frame {unknown[0]!r} of video {clip.video!r} is unknown" if unknown else "a clip has no frames"
    elif list(clip.frames) != sorted(clip.frames, key=video.frames.index):
        yield f"frames of video {clip.video!r} are not in time order"
