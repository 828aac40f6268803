"""Records that describe a benchmark, and tensors that make an episode.

Letters in shapes: N clips, B episodes, K shots (support clips), T frames of a clip, H W picture size,
h w feature size. A trunk feature carries its stride in its name: ``f4`` has h = H / 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# --------------------------------------------------------------------------- what is on disk


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
    frame_suffix: str  # ".jpg" or ".bmp"
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


# --------------------------------------------------------------------------- what a model sees


@dataclass
class Pyramid:
    """Frozen trunk features of N clips: ``fS`` is (N, T, channels of S, H / S, W / S)."""

    f4: Tensor
    f8: Tensor
    f16: Tensor
    f32: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Pyramid:
        return Pyramid(*(function(getattr(self, field.name)) for field in fields(self)))


@dataclass
class ClipBatch:
    """N clips of T frames of one size, each with one referred object.

    frames (N, T, 3, H, W) uint8 RGB, or None where `features` stands for them; masks (N, T, H, W) bool, the
    referred object; class_masks (N, T, H, W) bool, every object of the episode's class; valid (N, H, W) bool,
    False in padding; times (N, T) float, frame positions in the video in [0, 1]; texts, N sentences.
    """

    frames: Tensor | None
    masks: Tensor
    class_masks: Tensor
    valid: Tensor
    times: Tensor
    texts: tuple[str, ...]
    features: Pyramid | None = None

    def __post_init__(self) -> None:
        n, t, h, w = self.masks.shape
        expected = {"class_masks": (n, t, h, w), "valid": (n, h, w), "times": (n, t)}
        if self.frames is not None:
            expected["frames"] = (n, t, 3, h, w)
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise ValueError(f"ClipBatch.{name} has shape {found}, but masks {(n, t, h, w)} ask for {shape}")
        if len(self.texts) != n:
            raise ValueError(f"ClipBatch.texts has {len(self.texts)} sentences for {n} clips")
        if self.frames is None and self.features is None:
            raise ValueError("ClipBatch needs frames or features")
        if h % 32 or w % 32:
            raise ValueError(f"ClipBatch pictures must be padded to multiples of 32, found {h} x {w}")

    def __len__(self) -> int:
        return self.masks.shape[0]

    def _tensors(self, function: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Every tensor of the batch (and its features) after `function`, by field name."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: function(value) for name, value in held.items() if isinstance(value, Tensor)}
        if self.features is not None:
            changed["features"] = self.features.map(function)
        return changed

    def to(self, device: torch.device | str) -> ClipBatch:
        return replace(self, **self._tensors(lambda tensor: tensor.to(device, non_blocking=True)))

    def select(self, clips: list[int]) -> ClipBatch:
        """The clips with these positions, as a batch of their own."""
        tensors = self._tensors(lambda tensor: tensor[clips])
        return replace(self, **tensors, texts=tuple(self.texts[clip] for clip in clips))

    def picture(self, clip: int = 0) -> tuple[slice, slice]:
        """Rows and columns of one clip's picture without its padding."""
        height, width = (int(self.valid[clip].any(dim=axis).sum()) for axis in (1, 0))
        return slice(0, height), slice(0, width)

    def take_frames(self, index: slice | list[int]) -> ClipBatch:
        """The frames at these positions of every clip."""
        return replace(
            self,
            frames=None if self.frames is None else self.frames[:, index],
            masks=self.masks[:, index],
            class_masks=self.class_masks[:, index],
            times=self.times[:, index],
            features=None if self.features is None else self.features.map(lambda f: f[:, index]),
        )


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
class Episode:
    """B episodes of K shots: `support` has B * K clips, those of one episode side by side; `query` has B clips."""

    specs: tuple[EpisodeSpec, ...]
    support: ClipBatch
    query: ClipBatch

    def __post_init__(self) -> None:
        if not self.specs or len(self.query) != len(self.specs) or len(self.support) % len(self.specs):
            raise ValueError(
                f"Episode of {len(self.specs)} specs has {len(self.support)} support and {len(self.query)} query clips"
            )

    @property
    def shots(self) -> int:
        return len(self.support) // len(self.specs)

    def to(self, device: torch.device | str) -> Episode:
        return Episode(self.specs, self.support.to(device), self.query.to(device))
