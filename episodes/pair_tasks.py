"""Evaluation of every ordered pair of videos of a class: each is the support once for each of the others.

The draw for small benchmarks, where a few drawn supports would be an accident. A task's `seed` is the position of its
support video among the class's videos, so that an answer is still known by (class, seed, query).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from episodes.catalog import VideoCatalog
from episodes.errors import SamplingError
from episodes.evaluation_tasks import QUERIES, EvaluationTask, queries_in_turn, queries_of
from episodes.sampling import SPLITS, draw_clip, too_few
from episodes.types import ClipRef

PAIRS = 204  # stream of random numbers


def pair_tasks(
    catalog: VideoCatalog,
    classes: Sequence[str],
    *,
    support_videos: int,
    support_frames: int,
    max_queries_per_class: int | None = None,
    small_classes: Literal["reject", "skip"] = "reject",
) -> list[EvaluationTask]:
    """Tasks in which each video of a class answers for each other video of it; SamplingError if a class has only one.

    For query video j, the support begins with video i and goes on with the videos that follow i in the order of their
    ids, the last followed by the first, without j: `support_videos` of them, or as many as there are. So every pair
    (i, j) is asked with one shot, and with more shots the same pairs are. Queries that share a support share a task.
    At most `max_queries_per_class` queries are kept for each i, from as many videos as possible.
    """
    if support_videos < 1:
        raise SamplingError(f"support_videos must be at least 1, found {support_videos}")
    small = {name: f"class {name!r} has a single video" for name in classes if len(catalog.videos_of(name)) < 2}
    fitting = [name for name in classes if name not in small]
    if small and (small_classes == "reject" or not fitting):
        remedy = "Choose evaluate.draw=seeds"
        raise SamplingError(
            too_few(small.values(), "pairs of support and query", catalog, remedy, some_fit=bool(fitting))
        )
    if not fitting:
        raise SamplingError(f"{catalog.root}: no class with a sentence is left; choose another group or other data")
    return [
        task
        for name in fitting
        for first in range(len(catalog.videos_of(name)))
        for task in _tasks(catalog, name, first, support_videos, support_frames, max_queries_per_class)
    ]


def _tasks(
    catalog: VideoCatalog, category: str, first: int, support_videos: int, support_frames: int, max_queries: int | None
) -> list[EvaluationTask]:
    """The tasks whose support begins with the class's video number `first`."""
    videos, number = catalog.videos_of(category), catalog.class_id(category)
    followers = [*videos[first:], *videos[:first]]
    queries = {video: queries_of(catalog, category, video) for video in videos if video != videos[first]}
    kept = [clip for clips in queries.values() for clip in clips]
    if max_queries is not None:
        rng = np.random.default_rng([first, SPLITS["test"], PAIRS, QUERIES, number])
        kept = queries_in_turn(rng, queries, max_queries)

    def support(query: ClipRef) -> tuple[ClipRef, ...]:
        shown = [video for video in followers if video != query.video][:support_videos]
        # A stream for each video: its clip is the same in whatever support it is.
        streams = ([SPLITS["test"], PAIRS, number, videos.index(video)] for video in shown)
        return tuple(
            draw_clip(np.random.default_rng(stream), catalog, video, category, support_frames)
            for stream, video in zip(streams, shown, strict=True)
        )

    tasks: dict[tuple[ClipRef, ...], list[ClipRef]] = {}
    for query in kept:
        tasks.setdefault(support(query), []).append(query)
    return [EvaluationTask(category, first, shown, tuple(asked)) for shown, asked in tasks.items()]
