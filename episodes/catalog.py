"""A benchmark's index: which videos hold which classes, and which classes are novel in which group.

Group g (1..4) tests the classes whose id (1-based position in `classes`) satisfies (id - 1) mod 4 = g - 1. Without a
group (None) no class is novel, and every class is a base class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from episodes.content import BenchmarkContent, read_content
from episodes.errors import LayoutError
from episodes.types import Expression, ObjectRecord, VideoRecord

GROUPS = (1, 2, 3, 4)
Side = Literal["train", "test"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a benchmark folder: its kind (a stable label), in which file, and in detail what. An
    "error" would stop training or spoil its data."""

    kind: str
    severity: Literal["error", "warning"]
    file: str
    detail: str


class VideoCatalog:
    """All videos of a benchmark, indexed by class. Holds names only: nothing is decoded here.

    `problems` is what reader and catalog met without being stopped by it, with the index file; `notes` says the
    same in a few sentences. `splits`: the videos to which training or testing of a group is confined.
    """

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        videos: Iterable[VideoRecord],
        classes: Sequence[str],
        problems: Sequence[Problem] = (),
        meta_file: Path | None = None,
        expression_file: Path | None = None,
        splits: Mapping[tuple[int, Side], frozenset[str]] | None = None,
    ) -> None:
        if len(set(classes)) != len(classes):
            twice = sorted(name for name, count in Counter(classes).items() if count > 1)
            raise LayoutError(f"{root}: the class list holds {twice} more than once; every class needs one id")
        self.name = name
        self.root = root
        self.classes = tuple(classes)
        self.videos = {record.id: record for record in sorted(videos, key=lambda record: record.id)}
        self._pairs = {record.id: _pairs_of(record) for record in self.videos.values()}
        found: dict[str, list[str]] = {category: [] for category in self.classes}
        for video, pairs in self._pairs.items():
            for category in {record.category for record, _ in pairs} & set(self.classes):
                found[category].append(video)
        self._videos_of = {category: tuple(ids) for category, ids in found.items()}
        self.absent_classes = tuple(category for category in self.classes if not self._videos_of[category])
        self.splits = dict(splits or {})
        self._meta_file, self._expression_file = meta_file, expression_file
        self.problems = (*problems, *self._own_problems(str(meta_file or root), str(expression_file or root)))

    def class_id(self, category: str) -> int:
        """1-based position in `classes`; the group follows from it."""
        return self.classes.index(category) + 1

    def group_of(self, category: str) -> int:
        return (self.class_id(category) - 1) % len(GROUPS) + 1

    def novel_classes(self, group: int | None) -> tuple[str, ...]:
        """Classes that group `group` tests, in id order; those without any referable object are left out."""
        _require_group(group)
        return tuple(name for name in self.classes if self._videos_of[name] and self.group_of(name) == group)

    def base_classes(self, group: int | None) -> tuple[str, ...]:
        """Classes that group `group` trains on, in id order; those without any referable object are left out."""
        _require_group(group)
        return tuple(name for name in self.classes if self._videos_of[name] and self.group_of(name) != group)

    def videos_of(self, category: str) -> tuple[str, ...]:
        """Sorted ids of videos with an object of the class that has a sentence and an annotated frame."""
        return self._videos_of.get(category, ())

    def base_videos_of(self, category: str, group: int | None) -> tuple[str, ...]:
        """`videos_of` without the videos in which any object is of a novel class: base and novel never mix."""
        novel = {name for name in self.classes if self.group_of(name) == group}
        return tuple(
            video
            for video in self.videos_of(category)
            if not any(record.category in novel for record in self.videos[video].objects)
        )

    def part(self, group: int | None, side: Side) -> VideoCatalog:
        """What training (`train`) or evaluation (`test`) of the group may see: all, or the videos of its split."""
        _require_group(group)
        if group is None or (group, side) not in self.splits:
            return self
        kept = [record for name, record in self.videos.items() if name in self.splits[group, side]]
        return self._with(kept, self.classes)

    def without(self, names: Iterable[str]) -> VideoCatalog:
        """The same without the videos that show an object of one of these classes, in any spelling; splits are left
        behind."""
        categories = sorted({record.category for video in self.videos.values() for record in video.objects})
        gone = set(split_by_name(categories, names)[0])
        if not gone:
            return self
        kept = [video for video in self.videos.values() if gone.isdisjoint(item.category for item in video.objects)]
        return self._with(kept, self.classes)

    def of_all_categories(self) -> VideoCatalog:
        """The same with the categories outside the class list behind it, by the alphabet: for uses in which groups
        mean nothing."""
        listed = {record.category for video in self.videos.values() for record in video.objects}
        return self._with(self.videos.values(), (*self.classes, *sorted(listed - set(self.classes))))

    def _with(self, videos: Iterable[VideoRecord], classes: Sequence[str]) -> VideoCatalog:
        """These videos and classes, without splits."""
        return VideoCatalog(
            name=self.name,
            root=self.root,
            videos=videos,
            classes=classes,
            meta_file=self._meta_file,
            expression_file=self._expression_file,
        )

    def referable(self, video: str, category: str) -> tuple[tuple[ObjectRecord, Expression], ...]:
        """All (object, expression) pairs of the class in the video, in the order of the ids."""
        return tuple(pair for pair in self._pairs[video] if pair[0].category == category)

    def expression(self, video: str, expression_id: str) -> Expression:
        return next(item for item in self.videos[video].expressions if item.id == expression_id)

    @cached_property
    def content(self) -> BenchmarkContent:
        """Digests of index and files, the same wherever the folder lies; read once, a few seconds."""
        return read_content(self.classes, self.videos.values(), self.splits)

    def reject_errors(self) -> None:
        """Raise LayoutError if the index contradicts itself (for example an expression of an unknown object)."""
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            shown = "; ".join(f"{problem.file}: {problem.detail}" for problem in errors[:3])
            more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
            raise LayoutError(f"{shown}{more}. Repair the file; `data check {self.root}` lists every problem")

    @property
    def notes(self) -> tuple[str, ...]:
        """`problems` as one sentence for each kind: how many, and up to three of them."""
        kinds: dict[str, list[str]] = {}
        for problem in self.problems:
            kinds.setdefault(problem.kind, []).append(problem.detail)
        return tuple(
            f"{kind} ({len(details)}): {'; '.join(details[:3])}{'; ...' if len(details) > 3 else ''}"
            for kind, details in kinds.items()
        )

    def _own_problems(self, meta_file: str, expression_file: str) -> Iterator[Problem]:
        for video, pairs in self._pairs.items():
            if not pairs:
                yield Problem("video without expressions", "warning", expression_file, f"video {video!r}")
        categories = Counter(record.category for video in self.videos.values() for record in video.objects)
        for category in sorted(set(categories) - set(self.classes)):
            detail = f"category {category!r} of {categories[category]} object(s) is not in the class list"
            yield Problem("category outside the class list", "warning", meta_file, detail)
        for category in self.absent_classes:
            yield Problem(
                "absent class", "warning", expression_file, f"class {category!r} has no object with a sentence"
            )
        for category, videos in self._videos_of.items():
            if len(videos) == 1:
                detail = f"class {category!r} is referred to in {videos[0]!r} only"
                yield Problem("class with one video", "warning", expression_file, detail)
        for group, side in self.splits:
            yield from self._small_in_split(group, side)

    def _small_in_split(self, group: int, side: Side) -> list[Problem]:
        """Classes with videos enough, but not in the group's list; evaluation leaves out a class with none there."""
        part = self.part(group, side)
        if side == "train":
            counts = {name: len(part.base_videos_of(name, group)) for name in self.base_classes(group)}
        else:
            counts = {name: len(part.videos_of(name)) for name in self.novel_classes(group)}
        return [
            Problem(
                "class too small in a split",
                "warning",
                str(self.root / f"splits/group{group}_{side}.json"),
                f"class {name!r} has {count} usable video(s) in the list, an episode needs two",
            )
            for name, count in counts.items()
            if count < 2 <= len(self.videos_of(name))
        ]


def _pairs_of(video: VideoRecord) -> tuple[tuple[ObjectRecord, Expression], ...]:
    objects = {record.id: record for record in video.objects if record.frames}
    return tuple((objects[item.object_id], item) for item in video.expressions if item.object_id in objects)


def _require_group(group: int | None) -> None:
    if group is not None and group not in GROUPS:
        raise LayoutError(f"group {group} does not exist: choose one of {', '.join(map(str, GROUPS))}")


def normal_name(name: str) -> str:
    """The name without what spellings differ in: "Giant-Panda", "giant_panda" and "giant  panda" are alike."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def split_by_name(names: Iterable[str], known: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those of `names` that are in `known` in any spelling, the others), both in the order of `names`."""
    normal = {normal_name(name) for name in known}
    listed = list(names)
    shared = tuple(name for name in listed if normal_name(name) in normal)
    return shared, tuple(name for name in listed if name not in shared)
