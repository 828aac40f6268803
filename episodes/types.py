"""Records that describe a benchmark, and tensors that make an episode.

Letters in shapes: N clips, B episodes, K shots (support clips), T frames of a clip, H W picture size,
h w feature size. A trunk feature carries its stride in its name: ``f4`` has h = H / 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from episodes.padding import GRID, is_tight, size_groups, trim, trimmed_size


@dataclass(frozen=True)
class Expression:
    """One sentence that refers to one object of a video. Ids are strings and may have gaps."""

    id: str
    text: str
    object_id: str


@dataclass(frozen=True)
class ObjectRecord:
    """One annotated object; its pixels have the value ``int(id)`` in the video's palette PNGs."""

    id: str
    category: str
    frames: tuple[str, ...]  # names of the frames in which the annotation says that it may be seen


@dataclass(frozen=True)
class VideoRecord:
    """One video: frame names in time order, where its files lie, its objects and expressions."""

    id: str
    frames: tuple[str, ...]
    frame_folder: Path
    mask_folder: Path
    frame_suffix: str  # with its dot, such as ".jpg"
    objects: tuple[ObjectRecord, ...]
    expressions: tuple[Expression, ...]

    def frame_path(self, frame: str) -> Path:
        return self.frame_folder / f"{frame}{self.frame_suffix}"

    def mask_path(self, frame: str) -> Path:
        return self.mask_folder / f"{frame}.png"

    def object(self, object_id: str) -> ObjectRecord:
        return next(record for record in self.objects if record.id == object_id)

    def objects_of(self, category: str) -> tuple[ObjectRecord, ...]:
        return tuple(record for record in self.objects if record.category == category)


class _Tensors:
    """Base of the dataclasses that hold tensors: in fields of their own, in fields of this kind, or None."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with `function` applied to every tensor."""

        def mapped(value: Any) -> Any:
            if isinstance(value, _Tensors):
                return value.map(function)
            return function(value) if isinstance(value, Tensor) else value

        return type(self)(*(mapped(value) for value in vars(self).values()))

    def to(self, device: torch.device | str) -> Self:
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass
class Pyramid(_Tensors):
    """Frozen trunk features of N clips: ``fS`` is (N, T, channels of S, H / S, W / S), and `semantic`, of stride 32,
    what the image encoder's classifier reads, where the experiment asks for it (`model.semantic_map`).
    """

    f4: Tensor
    f8: Tensor
    f16: Tensor
    f32: Tensor
    semantic: Tensor | None = None

    def maps(self) -> dict[str, Tensor]:
        """The maps that there are, by name; their strides are in MAP_STRIDES."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def select(self, clips: list[int], size: tuple[int, int]) -> Pyramid:
        """The features of the clips with these positions, cut to those of pictures of `size`."""
        return Pyramid(**{name: trim(value[clips], map_size(name, size)) for name, value in self.maps().items()})


MAP_STRIDES = {"f4": 4, "f8": 8, "f16": 16, "f32": 32, "semantic": 32}


def map_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the Pyramid's map with this name, of pictures of `size`."""
    return size[0] // MAP_STRIDES[name], size[1] // MAP_STRIDES[name]


@dataclass
class Clips(_Tensors):
    """N clips of T frames of one size, as a network may see them: no masks.

    valid (N, H, W) bool, False in the padding (right and bottom); times (N, T) float, frame positions in the video in
    [0, 1]; N sentences; frames (N, T, 3, H, W) uint8 RGB, or None where `features` stands for them.
    """

    valid: Tensor
    times: Tensor
    sentences: tuple[str, ...]
    frames: Tensor | None = None
    features: Pyramid | None = None

    def __post_init__(self) -> None:
        n, h, w = self.valid.shape
        t = self.times.shape[-1]
        expected: dict[str, tuple[Tensor, tuple[int, ...]]] = {"times": (self.times, (n, t))}
        if self.frames is not None:
            expected["frames"] = (self.frames, (n, t, 3, h, w))
        for level, feature in self.features.maps().items() if self.features is not None else ():
            expected[f"features.{level}"] = (feature, (n, t, *feature.shape[2:3], *map_size(level, (h, w))))
        for name, (tensor, shape) in expected.items():
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"Clips.{name} has shape {tuple(tensor.shape)}, but times {tuple(self.times.shape)} and valid "
                    f"{(n, h, w)} need {shape}"
                )
        if len(self.sentences) != n:
            raise ValueError(f"Clips.sentences has {len(self.sentences)} sentences for {n} clips")
        if self.frames is None and self.features is None:
            raise ValueError("Clips needs frames or features")
        if h % GRID or w % GRID:
            raise ValueError(f"pictures of Clips must be padded to multiples of {GRID}, found {h} x {w}")

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), padding included."""
        return self.valid.shape[-2], self.valid.shape[-1]

    def select(self, clips: list[int]) -> Clips:
        """The clips with these positions as a batch of their own, with no more padding than the largest needs."""
        size = trimmed_size(self.valid[clips])
        return Clips(
            trim(self.valid[clips], size),
            self.times[clips],
            tuple(self.sentences[clip] for clip in clips),
            None if self.frames is None else trim(self.frames[clips], size),
            None if self.features is None else self.features.select(clips, size),
        )

    def take_frames(self, index: slice | list[int]) -> Clips:
        """The frames at these positions of every clip."""
        return replace(
            self,
            times=self.times[:, index],
            frames=None if self.frames is None else self.frames[:, index],
            features=None if self.features is None else self.features.map(lambda f: f[:, index]),
        )

    def picture(self, clip: int = 0) -> tuple[slice, slice]:
        """Rows and columns of one clip's picture without its padding."""
        height, width = (int(self.valid[clip].any(dim=axis).sum()) for axis in (1, 0))
        return slice(0, height), slice(0, width)


@dataclass
class Truth(_Tensors):
    """What predictions for N clips are scored against; a network never sees it.

    masks (N, T, H, W) bool, the referred object; class_masks (N, T, H, W) bool, every object of the episode's class, or
    None where only the referred object is annotated.
    """

    masks: Tensor
    class_masks: Tensor | None = None

    def __post_init__(self) -> None:
        if self.class_masks is not None and self.class_masks.shape != self.masks.shape:
            raise ValueError(
                f"Truth.class_masks has shape {tuple(self.class_masks.shape)}, but masks {tuple(self.masks.shape)}"
            )

    def select(self, clips: list[int], size: tuple[int, int]) -> Truth:
        """The masks of the clips with these positions, cut to `size` as those clips are."""
        return self.map(lambda masks: trim(masks[clips], size))


@dataclass
class Support(_Tensors):
    """Support clips and the masks (N, T, H, W) bool of their objects: what a network is shown of a class."""

    clips: Clips
    masks: Tensor

    def __post_init__(self) -> None:
        needed = (*self.clips.times.shape, *self.clips.size)
        if tuple(self.masks.shape) != needed:
            raise ValueError(f"Support.masks has shape {tuple(self.masks.shape)}, but its clips need {needed}")

    def __len__(self) -> int:
        return len(self.clips)

    def select(self, clips: list[int]) -> Support:
        """The clips with these positions, with their masks."""
        chosen = self.clips.select(clips)
        return Support(chosen, trim(self.masks[clips], chosen.size))


@dataclass(frozen=True)
class ClipRef:
    """Where a clip comes from: a video, one of its objects, a sentence for it, and frame names in time order."""

    video: str
    object_id: str
    expression_id: str
    frames: tuple[str, ...]


@dataclass(frozen=True)
class EpisodeSpec:
    """All that decides an episode: a pure function of (seed, split, index).

    `alias` is the class name that its sentences show: the class's own, or in training another base class's
    (class-name shuffle), so that a name never gives the class away.
    """

    seed: int
    split: str
    index: int
    category: str
    alias: str
    support: tuple[ClipRef, ...]
    query: ClipRef


@dataclass
class Episode(_Tensors):
    """B episodes of K shots: `support` has B K clips, those of one episode side by side; `query` has B clips, and
    `truth` their masks."""

    specs: tuple[EpisodeSpec, ...]
    support: Support
    query: Clips
    truth: Truth

    def __post_init__(self) -> None:
        if not self.specs or len(self.query) != len(self.specs) or len(self.support) % len(self.specs):
            raise ValueError(
                f"Episode of {len(self.specs)} specs has {len(self.support)} support and {len(self.query)} query clips"
            )
        needed = (*self.query.times.shape, *self.query.size)
        if tuple(self.truth.masks.shape) != needed:
            raise ValueError(f"Episode.truth has masks {tuple(self.truth.masks.shape)}, but its query needs {needed}")

    @property
    def shots(self) -> int:
        return len(self.support) // len(self.specs)

    def by_size(self) -> list[Episode]:
        """These episodes, those whose query pictures have the same size together, so that no picture is padded to the
        size of a larger one."""
        if is_tight(self.query.valid):
            return [self]
        parts = []
        for group in size_groups(self.query.valid):
            support = self.support.select([b * self.shots + shot for b in group for shot in range(self.shots)])
            query = self.query.select(group)
            specs = tuple(self.specs[b] for b in group)
            parts.append(Episode(specs, support, query, self.truth.select(group, query.size)))
        return parts
