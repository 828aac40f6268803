"""From a benchmark's JSON files to its catalog, whatever the folder layout. Reads these files and nothing else."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from episodes.catalog import GROUPS, Problem, Side, VideoCatalog
from episodes.errors import LayoutError
from episodes.files import shown
from episodes.types import Expression, ObjectRecord, VideoRecord

LEAVES_ROOT = "path that leaves the root"
Unnamed = Literal["skip", "class"]  # what becomes of an object without a sentence


@dataclass(frozen=True)
class Layout:
    """Where a benchmark keeps what. Frames and masks lie in a folder for each video below `frames` and `masks`.

    `classes` are the names in the order of their ids where no `class_file` gives another. `meta` and `expressions` list
    spellings of one file; the first that exists is read.
    """

    root: Path
    frames: Path
    frame_suffix: str
    masks: Path
    meta: tuple[Path, ...]
    expressions: tuple[Path, ...]
    class_file: Path
    classes: tuple[str, ...]


def read_index(layout: Layout, unnamed: Unnamed = "skip") -> VideoCatalog:
    """The catalog without ids that leave the folder. LayoutError if an index file is missing or broken.

    unnamed: an object without a sentence is in no episode ("skip"), or is referred to as "the <category>" ("class").
    """
    meta_file, expression_file = _first_of(*layout.meta), _first_of(*layout.expressions)
    meta, sentences = _videos(meta_file), _videos(expression_file)
    index = _Index(layout, meta_file, expression_file, unnamed)
    names = [name for name in sorted(meta) if index.plain(name, meta_file)]
    videos = [index.video(name, meta[name], sentences.get(name)) for name in names]
    for name in sorted(set(sentences) - set(meta)):
        if index.plain(name, expression_file):
            detail = f"video {name!r} has expressions but no entry in {meta_file.name}"
            index.note("id absent from meta", expression_file, detail)
    return VideoCatalog(
        name=layout.root.name,
        root=layout.root,
        videos=videos,
        classes=_class_order(layout, videos, index),
        problems=index.problems,
        meta_file=meta_file,
        expression_file=expression_file,
        splits=_splits(layout.root / "splits", {video.id for video in videos}, index),
    )


def categories(*meta: Path) -> set[str]:
    """All categories that the first of these files that exists gives to objects; none if no file exists."""
    file = next((file for file in meta if file.is_file()), None)
    if file is None:
        return set()
    objects = [entry for name, video in _videos(file).items() for entry in _objects(video, file, name).values()]
    return {str(entry.get("category")) for entry in objects}


def class_expressions(objects: Sequence[ObjectRecord], expressions: Sequence[Expression]) -> tuple[Expression, ...]:
    """A sentence, "the <category>", for each object that can be seen and that none of `expressions` refers to.

    Its id is `class-<object id>`, which no index has: ids there are numbers. Two unnamed objects of one class share
    their words, so that only a benchmark with one object of a class in a video says unambiguously which is meant.
    """
    named = {item.object_id for item in expressions}
    return tuple(
        Expression(id=f"class-{record.id}", text=f"the {record.category.replace('_', ' ')}", object_id=record.id)
        for record in objects
        if record.frames and record.id not in named
    )


@dataclass
class _Index:
    """Turns JSON entries into records and notes what was odd about them."""

    layout: Layout
    meta_file: Path
    expression_file: Path
    unnamed: Unnamed
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: str, file: Path, detail: str, severity: Literal["error", "warning"] = "warning") -> None:
        self.problems.append(Problem(kind, severity, str(file), detail))

    def plain(self, name: str, file: Path) -> bool:
        """Is the id one file name? Ids become paths, and "../x" would be read from outside the benchmark."""
        if name not in ("", ".", "..") and not any(character in name for character in "/\\\0"):
            return True
        self.note(LEAVES_ROOT, file, f"the id {name!r} is not a plain file name", "error")
        return False

    def video(self, name: str, entry: Any, sentences: Any) -> VideoRecord:
        objects = _objects(entry, self.meta_file, name)
        listed = {key: self._frames(value, self.meta_file, f"{name}.objects.{key}") for key, value in objects.items()}
        spoken: dict[str, Any] = {} if sentences is None else _mapping(sentences, self.expression_file, name)
        frames = self._frames(spoken, self.expression_file, name)
        if not frames:
            frames = tuple(sorted({frame for names in listed.values() for frame in names or ()}, key=_natural))
        records = [
            record
            for key in sorted(objects, key=_natural)
            if (record := self._object(name, key, objects[key], listed[key], frames)) is not None
        ]
        expressions = self._expressions(name, spoken.get("expressions", {}), {record.id for record in records})
        if self.unnamed == "class":
            expressions += class_expressions(records, expressions)
        return VideoRecord(
            id=name,
            frames=frames,
            frame_folder=self.layout.frames / name,
            mask_folder=self.layout.masks / name,
            frame_suffix=self.layout.frame_suffix,
            objects=tuple(records),
            expressions=expressions,
        )

    def _frames(self, entry: dict[str, Any], file: Path, where: str) -> tuple[str, ...] | None:
        names = entry.get("frames")
        if names is None:
            return None
        if not isinstance(names, list):
            raise LayoutError(f"{file}: {where}.frames must be a list of frame names, found {shown(names)}")
        return tuple(sorted({str(name) for name in names if self.plain(str(name), file)}, key=_natural))

    def _object(
        self, video: str, key: str, entry: dict[str, Any], listed: tuple[str, ...] | None, frames: tuple[str, ...]
    ) -> ObjectRecord | None:
        where = f"object {key!r} of video {video!r}"
        category = entry.get("category")
        if not isinstance(category, str) or not category:
            raise LayoutError(f"{self.meta_file}: {where} needs a category name, found {shown(category)}")
        if not (key.isascii() and key.isdecimal() and 0 < int(key) < 256):
            self.note("object id is not a palette value", self.meta_file, f"{where}: ids are 1 to 255; it is left out")
            return None
        if listed is None:
            self.note("object without a frame list", self.meta_file, f"{where} is taken to be visible in every frame")
            listed = frames
        known = set(frames)
        visible = tuple(frame for frame in listed if frame in known)
        if lost := [frame for frame in listed if frame not in known]:
            detail = f"{where} lists {lost[:3]}, absent from the video's frames"
            self.note("frame outside the video", self.meta_file, detail)
        if not visible:
            self.note("object with no visible frame", self.meta_file, f"{where} can be in no episode")
        return ObjectRecord(id=key, category=category, frames=visible)

    def _expressions(self, video: str, entries: Any, known: set[str]) -> tuple[Expression, ...]:
        kept = []
        entries = _mapping(entries, self.expression_file, f"{video}.expressions")
        for key in sorted(entries, key=_natural):
            entry = _mapping(entries[key], self.expression_file, f"{video}.expressions.{key}")
            text, owner = entry.get("exp"), str(entry.get("obj_id"))
            where = f"expression {key!r} of video {video!r}"
            if not (key.isascii() and key.isdecimal()):
                self.note(
                    "expression id is not a number", self.expression_file, f"{where} is kept; ids are whole numbers"
                )
            if not isinstance(text, str) or not text.strip():
                detail = f"{where}: found {shown(text)}; it is left out"
                self.note("expression without words", self.expression_file, detail)
            elif owner not in known:
                detail = f"{where} refers to object {owner!r}, but {self.meta_file.name} knows {sorted(known)}"
                self.note("expression of an unknown object", self.expression_file, detail, "error")
            else:
                kept.append(Expression(id=key, text=text.strip(), object_id=owner))
        return tuple(kept)


def _first_of(*files: Path) -> Path:
    for file in files:
        if file.is_file():
            return file
    raise LayoutError(f"{' and '.join(map(str, files))}: not found; the layout needs {'one' if files[1:] else 'it'}")


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LayoutError(f"{file}: not readable as JSON ({error}); download or write the file again") from error


def _videos(file: Path) -> dict[str, Any]:
    content = _mapping(_load(file), file, "the file")
    if "videos" not in content:
        raise LayoutError(f'{file}: has no "videos"; found the keys {sorted(content)[:5]}')
    return _mapping(content["videos"], file, "videos")


def _mapping(value: Any, file: Path, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LayoutError(f"{file}: {where} must be a JSON object, found {shown(value)}")
    return value


def _objects(video: Any, file: Path, name: str) -> dict[str, dict[str, Any]]:
    """The entries of a video's objects by id, each of them a mapping."""
    where = f"{name}.objects"
    entries = _mapping(_mapping(video, file, name).get("objects", {}), file, where)
    return {key: _mapping(entry, file, f"{where}.{key}") for key, entry in entries.items()}


def _class_order(layout: Layout, videos: list[VideoRecord], index: _Index) -> tuple[str, ...]:
    file = layout.class_file
    if file.is_file():
        names = _load(file)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise LayoutError(f"{file}: must be a list of class names, found {shown(names)}")
        return tuple(names)
    categories = sorted({record.category for video in videos for record in video.objects})
    official = sum(name in layout.classes for name in categories)
    if 2 * official >= len(categories):
        return layout.classes
    detail = f"{official} of {len(categories)} categories are official; ids follow the alphabet. Write {file.name}"
    index.note("classes without an order", file, detail)
    return tuple(categories)


def _splits(folder: Path, known: set[str], index: _Index) -> dict[tuple[int, Side], frozenset[str]]:
    """group{n}_{train,test}.json: a list of video ids, or an object whose "videos" is a list or mapping of them.

    A group has both files or none.
    """
    splits: dict[tuple[int, Side], frozenset[str]] = {}
    sides: tuple[Side, Side] = ("train", "test")
    for group in GROUPS:
        files = {side: folder / f"group{group}_{side}.json" for side in sides}
        if not any(file.is_file() for file in files.values()):
            continue
        for side, file in files.items():
            listed = _split_videos(_first_of(file))
            if unknown := sorted(listed - known):
                detail = (
                    f"{len(unknown)} of {len(listed)} videos are not in the index: {unknown[:3]}; they are left out"
                )
                index.note("split names an unknown video", file, detail)
            splits[group, side] = frozenset(listed & known)
        if both := sorted(splits[group, "train"] & splits[group, "test"]):
            detail = f"{len(both)} videos are in the training list of group {group} too: {both[:3]}"
            index.note("video in both splits", files["test"], detail, "error")
    return splits


def _split_videos(file: Path) -> set[str]:
    content = _load(file)
    names = content.get("videos") if isinstance(content, dict) else content
    if not isinstance(names, list | dict) or not all(isinstance(name, str) for name in names):
        raise LayoutError(
            f'{file}: must be a list of video ids, or an object with "videos", a list or mapping of them; found '
            f"{shown(content)}"
        )
    return set(names)


def _natural(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isascii() and name.isdecimal() else (1 << 62, name)
