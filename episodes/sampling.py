"""Episodes: a pure function of (seed, split, index), the same on every machine and for any number of workers.

An episode draws one class, K videos of it for the support, and another for the query. In split "val" the query comes
from videos that split "train" never touches, and the support from those it does.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np

from episodes.catalog import VideoCatalog
from episodes.errors import SamplingError
from episodes.types import ClipRef, EpisodeSpec, ObjectRecord, VideoRecord
from episodes.windows import query_window, support_window

SPLITS = {"train": 0, "val": 1, "test": 2}
# Streams of random numbers beside the episodes' own; numbers, since a name's hash would depend on the interpreter.
HELD_OUT, CLASS_ORDER = 101, 102


class EpisodeSampler:
    """`sampler[index]` is the spec of episode `index`; there is no last episode.

    Classes come in rounds: each round holds every base class once, in an order of its own. Raises SamplingError at
    construction if a base class has too few videos (or leaves the class out, with `small_classes="skip"`).
    """

    def __init__(
        self,
        catalog: VideoCatalog,
        *,
        group: int | None,
        split: str,
        seed: int,
        shots: int = 1,
        support_frames: int = 5,
        query_frames: int = 5,
        name_shuffle: float = 0.0,
        validation_videos: int = 0,
        small_classes: Literal["reject", "skip"] = "reject",
    ) -> None:
        if split not in ("train", "val"):
            raise SamplingError(f"split {split!r} has no episodes: choose 'train' or 'val'")
        if split == "val" and validation_videos < 1:
            raise SamplingError(
                "split 'val' needs episodes.validation_videos of at least 1, found 0; train.validate_every=0 needs none"
            )
        if min(shots, support_frames, query_frames) < 1:
            found = f"{shots}, {support_frames}, {query_frames}"
            raise SamplingError(f"shots, support_frames and query_frames are at least 1, found {found}")
        self.catalog = catalog
        self.split = split
        self.seed = seed
        self.shots = shots
        self.support_frames = support_frames
        self.query_frames = query_frames
        self.name_shuffle = name_shuffle if split == "train" else 0.0
        held_out = held_out_videos(catalog, group=group, videos=validation_videos)
        videos = {name: catalog.base_videos_of(name, group) for name in catalog.base_classes(group)}
        self._support = {name: tuple(v for v in ids if v not in held_out) for name, ids in videos.items()}
        self._query = (
            self._support
            if split == "train"
            else {name: tuple(v for v in ids if v in held_out) for name, ids in videos.items()}
        )
        self.classes, self.skipped = self._fitting(small_classes)
        self._names = tuple(videos)

    def __getitem__(self, index: int) -> EpisodeSpec:
        if index < 0:
            raise IndexError(f"episodes are numbered from 0, found {index}")
        rng = np.random.default_rng([self.seed, SPLITS[self.split], index])
        turn, position = divmod(index, len(self.classes))
        order = np.random.default_rng([self.seed, SPLITS[self.split], turn, CLASS_ORDER]).permutation(len(self.classes))
        category = self.classes[order[position]]
        alias = category
        if len(self._names) > 1 and rng.random() < self.name_shuffle:
            others = [name for name in self._names if name != category]
            alias = others[rng.integers(len(others))]
        query_video = self._query[category][rng.integers(len(self._query[category]))]
        candidates = [video for video in self._support[category] if video != query_video]
        support_videos = [candidates[i] for i in rng.permutation(len(candidates))[: self.shots]]
        support = tuple(draw_clip(rng, self.catalog, video, category, self.support_frames) for video in support_videos)
        query_frames = self.query_frames if self.split == "train" else None
        return EpisodeSpec(
            seed=self.seed,
            split=self.split,
            index=index,
            category=category,
            alias=alias,
            support=support,
            query=draw_clip(rng, self.catalog, query_video, category, query_frames, query_window),
        )

    def objects(self) -> Iterator[tuple[str, str]]:
        """(video, object id) of everything that an episode may show or ask for."""
        for category in self.classes:
            for video in sorted({*self._support[category], *self._query[category]}):
                yield from ((video, shown.id) for shown, _ in self.catalog.referable(video, category))

    def _fitting(self, small_classes: Literal["reject", "skip"]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(classes that can supply an episode, classes left out)."""
        needed = self.shots + 1 if self.split == "train" else self.shots
        small = {}
        for name, ids in self._support.items():
            if len(ids) < needed:
                small[name] = f"class {name!r} has {len(ids)} training video(s), {needed} needed"
            elif not self._query[name]:
                small[name] = f"class {name!r} has no held-out video, 1 needed"
        classes = tuple(name for name in self._support if name not in small)
        if small and (small_classes == "reject" or not classes):
            wanted = f"{self.shots}-shot episodes of split {self.split!r}"
            remedy = "Lower episodes.shots or episodes.validation_videos"
            raise SamplingError(too_few(small.values(), wanted, self.catalog, remedy, some_fit=bool(classes)))
        if not classes:
            raise SamplingError(f"{self.catalog.root}: holds no base class with a sentence; see `data check`")
        return classes, tuple(small)


def held_out_videos(catalog: VideoCatalog, *, group: int | None, videos: int) -> frozenset[str]:
    """Base videos kept for validation: at least `videos` of each base class, where the class has more than that.

    The choice depends on the catalog and the group alone, so that runs with other seeds can be compared. A video that
    holds several classes counts for each of them.
    """
    rng = np.random.default_rng([HELD_OUT, group or 0])
    held: set[str] = set()
    for category in catalog.base_classes(group):
        candidates = catalog.base_videos_of(category, group)
        order = [candidates[i] for i in rng.permutation(len(candidates))]
        missing = videos - sum(video in held for video in order)
        if len(order) > videos:
            held.update([video for video in order if video not in held][: max(0, missing)])
    return frozenset(held)


def draw_clip(
    rng: np.random.Generator,
    catalog: VideoCatalog,
    video: str,
    category: str,
    frames: int | None,
    window: Callable[[np.random.Generator, VideoRecord, ObjectRecord, int], tuple[str, ...]] = support_window,
) -> ClipRef:
    """A clip of the class in the video: a drawn object and sentence, and a `window` of `frames`, or all with None."""
    pairs = catalog.referable(video, category)
    shown, expression = pairs[rng.integers(len(pairs))]
    record = catalog.videos[video]
    names = record.frames if frames is None else window(rng, record, shown, frames)
    return ClipRef(video=video, object_id=shown.id, expression_id=expression.id, frames=names)


def rank_slice(start: int, stop: int, *, rank: int, processes: int) -> range:
    """Episode indices in [start, stop) that process `rank` of `processes` works on; together they are all of them."""
    return range(start + rank, stop, processes)


def too_few(reasons: Iterable[str], wanted: str, catalog: VideoCatalog, remedy: str, *, some_fit: bool) -> str:
    """The error for classes that are too small; `some_fit`: leaving them out would leave others."""
    lines = list(reasons)
    more = f" and {len(lines) - 4} more" if len(lines) > 4 else ""
    way_out = (
        "add videos, or set episodes.small_classes=skip to leave such classes out" if some_fit else "or add videos"
    )
    every = "" if some_fit else "; no class is left"
    return f"{catalog.root}: cannot draw {wanted}: {'; '.join(lines[:4])}{more}{every}. {remedy}, {way_out}"
