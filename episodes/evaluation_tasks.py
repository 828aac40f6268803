"""What is evaluated: for each novel class and seed, fixed support clips and every query that shares no video with them.

For the controls (episodes/controls.py): support of another class, and the sentence of another object.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from episodes.catalog import VideoCatalog
from episodes.errors import SamplingError
from episodes.sampling import SPLITS, draw_clip, too_few
from episodes.types import ClipRef, Expression

SUPPORT, QUERIES, WRONG_CLASS = 201, 202, 203  # streams of random numbers


@dataclass(frozen=True)
class EvaluationTask:
    """One class and seed. The first K of `support` are the K-shot support, so that K = 1 and K = 5 are paired.

    Several tasks may share class and seed (`episodes/pair_tasks.py`); a query is asked once for each class and seed.
    """

    category: str
    seed: int
    support: tuple[ClipRef, ...]
    queries: tuple[ClipRef, ...]


def evaluation_tasks(
    catalog: VideoCatalog,
    classes: Sequence[str],
    *,
    seed: int,
    support_videos: int,
    support_frames: int,
    max_queries_per_class: int | None = None,
    small_classes: Literal["reject", "skip"] = "reject",
) -> list[EvaluationTask]:
    """One task for each of `classes`, in their order; SamplingError if a class has too few videos.

    The support has a clip of each of `support_videos` drawn videos. Queries are all (object, sentence) pairs of the
    class in the other videos, with all frames. At most `max_queries_per_class` of them are kept, drawn from the videos
    in turn: as many videos as possible stay.
    """
    if support_videos < 1:
        raise SamplingError(f"support_videos must be at least 1, found {support_videos}")
    small = {
        name: f"class {name!r} has {len(catalog.videos_of(name))} video(s), {support_videos + 1} needed"
        for name in classes
        if len(catalog.videos_of(name)) <= support_videos
    }
    fitting = [name for name in classes if name not in small]
    if small and (small_classes == "reject" or not fitting):
        wanted = f"tasks with {support_videos} support video(s)"
        remedy = "Lower evaluate.shots, evaluate.control_shots and evaluate.support_videos"
        raise SamplingError(too_few(small.values(), wanted, catalog, remedy, some_fit=bool(fitting)))
    if not fitting:
        raise SamplingError(f"{catalog.root}: no class with a sentence is left; choose another group or other data")
    return [_task(catalog, name, seed, support_videos, support_frames, max_queries_per_class) for name in fitting]


def _task(
    catalog: VideoCatalog, category: str, seed: int, support_videos: int, support_frames: int, max_queries: int | None
) -> EvaluationTask:
    number = catalog.class_id(category)
    rng = np.random.default_rng([seed, SPLITS["test"], SUPPORT, number])
    videos = catalog.videos_of(category)
    order = [videos[i] for i in rng.permutation(len(videos))]
    support = tuple(draw_clip(rng, catalog, video, category, support_frames) for video in order[:support_videos])
    queries = {video: queries_of(catalog, category, video) for video in sorted(order[support_videos:])}
    kept = [clip for clips in queries.values() for clip in clips]
    if max_queries is not None:
        kept = queries_in_turn(np.random.default_rng([seed, SPLITS["test"], QUERIES, number]), queries, max_queries)
    return EvaluationTask(category, seed, support, tuple(kept))


def queries_of(catalog: VideoCatalog, category: str, video: str) -> list[ClipRef]:
    """All (object, sentence) pairs of the class in the video, with all frames."""
    frames = catalog.videos[video].frames
    return [ClipRef(video, shown.id, sentence.id, frames) for shown, sentence in catalog.referable(video, category)]


def queries_in_turn(rng: np.random.Generator, queries: dict[str, list[ClipRef]], limit: int) -> list[ClipRef]:
    """At most `limit` clips: one drawn clip of each video in a drawn order of videos, then a second one, and so on."""
    names = [list(queries)[i] for i in rng.permutation(len(queries))]
    turns = [
        (turn, place, name, position)
        for place, name in enumerate(names)
        for turn, position in enumerate(rng.permutation(len(queries[name])))
    ]
    kept = sorted((name, position) for _, _, name, position in sorted(turns)[:limit])
    return [queries[name][position] for name, position in kept]


def wrong_class_support(
    catalog: VideoCatalog, task: EvaluationTask, query: ClipRef, *, shots: int, support_frames: int
) -> tuple[str, tuple[ClipRef, ...]] | None:
    """(class, `shots` support clips) of another class that is present in the query's video.

    The clips depend on the seed and that class alone, except that the query's video is passed over. None if the video
    holds no other class, or none with enough videos.
    """
    present = {record.category for record in catalog.videos[query.video].objects if record.frames} - {task.category}
    for category in (name for name in catalog.classes if name in present):
        videos = catalog.videos_of(category)
        stream = [task.seed, SPLITS["test"], WRONG_CLASS, catalog.class_id(category)]
        order = np.random.default_rng(stream).permutation(len(videos))
        chosen = [int(position) for position in order if videos[position] != query.video][:shots]
        if len(chosen) == shots:
            # A stream for each video, so that passing over one leaves the others' clips as they are.
            return category, tuple(
                draw_clip(np.random.default_rng([*stream, at]), catalog, videos[at], category, support_frames)
                for at in chosen
            )
    return None


def wrong_object_expression(catalog: VideoCatalog, query: ClipRef, category: str) -> Expression | None:
    """A sentence that refers to another object of the query's video: one of the same class if there is one.

    Sentences that also describe the query's own object are skipped. None if nothing is left.
    """
    video = catalog.videos[query.video]
    own = {item.text for item in video.expressions if item.object_id == query.object_id}
    others = [item for item in video.expressions if item.object_id != query.object_id and item.text not in own]
    same_class = {record.id for record in video.objects_of(category)}
    candidates = [item for item in others if item.object_id in same_class] or others
    if not candidates:
        return None
    key = f"{query.video}/{query.object_id}/{query.expression_id}".encode()
    return candidates[zlib.crc32(key) % len(candidates)]
