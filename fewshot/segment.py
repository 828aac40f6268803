"""A trained model on your own clips: adapt to annotated clips, segment others. Arrays in, arrays out.

T frames of a clip, H W their size in pixels, K support clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from episodes.dataset import clip_of_frames, join_clips
from episodes.errors import UserError
from episodes.geometry import resize_ids
from episodes.padding import pad
from episodes.types import Clips, Support
from fewshot.config.data import DataConfig
from fewshot.config.weights import named_weights
from fewshot.learners import Decoding, Learner, Predictor, build_learner
from fewshot.published.conversion import converted_config
from fewshot.runs.build import new_network, restored_network
from fewshot.runs.checkpoint import load_checkpoint
from fewshot.runs.run import Run
from models.network import FewShotRVOS

Frames = NDArray[np.uint8]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotatedClip:
    """One clip of the class: frames (T, H, W, 3) uint8 RGB in time order, masks (T, H, W) bool of one object of it, and
    a sentence that refers to this object.

    Raises UserError for other shapes or types, or where no frame shows the object.
    """

    frames: Frames
    masks: Masks
    sentence: str

    def __post_init__(self) -> None:
        _require_frames(self.frames)
        _require_sentence(self.sentence)
        if self.masks.shape != self.frames.shape[:3] or self.masks.dtype != np.bool_:
            raise UserError(
                f"masks must be {self.frames.shape[:3]} bool like the frames, found {self.masks.shape} "
                f"{self.masks.dtype}"
            )
        if not self.masks.any():
            raise UserError("no frame of the annotated clip shows its object: every mask is empty")


@dataclass(frozen=True)
class Segmenter:
    """A trained model, its learner, its picture size and how it decodes."""

    network: FewShotRVOS
    learner: Learner
    data: DataConfig
    decoding: Decoding

    @classmethod
    def open(cls, folder: Path | str, device: torch.device | str = "cpu") -> Segmenter:
        """The model of a run (its checkpoint `evaluate.checkpoint`), of weights that come with the project, by name, or
        of a folder that `convert` wrote.

        Of the last, all but the model is the default (pictures of 256 pixels). Raises CheckpointError where there are
        no weights, or they are damaged; ConfigError for a damaged config.
        """
        run, checkpoint = Run(named_weights(Path(folder))), None
        if run.config_file.is_file():
            config = run.read_config()
            checkpoint = run.required_checkpoint(config.evaluate.checkpoint)
            network = restored_network(config, checkpoint)
        else:
            config = converted_config(Path(folder))
            network = new_network(config)
        learner = build_learner(config.learner, network)
        if checkpoint is not None:
            load_checkpoint(checkpoint, model=network.head, learner=learner.own)
        return cls(network.to(device).eval(), learner, config.data, Decoding.of(config.evaluate))

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def adapt(self, support: Sequence[AnnotatedClip]) -> AdaptedSegmenter:
        """Take in K annotated clips of the new class, as the run's learner does, with gradient steps where
        its config asks for them (`learner.min_shots`, `learner.adapt`).

        The model stays unchanged. UserError without clips, or if their lengths differ.
        """
        lengths = sorted({len(clip.frames) for clip in support})
        if len(lengths) != 1:
            found = f"clips of {lengths} frames" if support else "none"
            raise UserError(
                f"adapt needs at least one annotated clip, and all must have the same number of frames; found {found}"
            )
        clips = [self._clip(clip.frames, clip.sentence) for clip in support]
        masks = [_masks(clip.masks, shown) for clip, shown in zip(support, clips, strict=True)]
        joined = join_clips(clips)
        support_clips = Support(joined, torch.cat([pad(mask, joined.size) for mask in masks]))
        return AdaptedSegmenter(self, self.learner.adapt(support_clips.to(self.device)))

    def _clip(self, frames: Frames, sentence: str) -> Clips:
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return clip_of_frames(
            pictures, sentence, short_side=self.data.short_side, max_long_side=self.data.max_long_side
        )


@dataclass(frozen=True)
class AdaptedSegmenter:
    """A model that has taken in one support set."""

    segmenter: Segmenter
    predictor: Predictor

    def segment(self, frames: Frames, sentence: str) -> Masks:
        """frames (T, H, W, 3) uint8 RGB -> masks (T, H, W) bool of the object that the sentence refers to."""
        return self.probabilities(frames, sentence) > 0.5

    def probabilities(self, frames: Frames, sentence: str) -> NDArray[np.float32]:
        """(T, H, W) in [0, 1], at the size of the frames."""
        _require_frames(frames)
        _require_sentence(sentence)
        clip = self.segmenter._clip(frames, sentence)
        rows, columns = clip.picture()
        answer: Tensor = self.predictor.predict(clip.to(self.segmenter.device), self.segmenter.decoding)[0]
        answer = answer[:, rows, columns].cpu()
        size = (frames.shape[1], frames.shape[2])
        if answer.shape[1:] != size:
            answer = functional.interpolate(answer[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        return np.asarray(answer.numpy(), dtype=np.float32)


def _require_frames(frames: Frames) -> None:
    if frames.ndim != 4 or len(frames) == 0 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise UserError(
            f"frames must be (T, H, W, 3) uint8 RGB with at least one frame, found {frames.shape} {frames.dtype}"
        )


def _require_sentence(sentence: str) -> None:
    if not isinstance(sentence, str) or not sentence.strip():
        raise UserError(f"a sentence must be a string with at least one word, found {sentence!r}")


def _masks(masks: Masks, clip: Clips) -> Tensor:
    """(T, H, W) at the size of the files -> (1, T, h, w) bool, padded as the clip is."""
    rows, columns = clip.picture()
    small = resize_ids(torch.from_numpy(masks.astype(np.uint8)), (rows.stop, columns.stop)).as_subclass(Tensor) > 0
    return pad(small, clip.size)[None]
