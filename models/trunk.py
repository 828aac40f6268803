"""The frozen trunk: clips -> what the head reads of them. N clips of T frames, L words, D their length, H W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from episodes.padding import is_tight, pad, size_groups, trim, trimmed_size
from episodes.types import Clips, Pyramid, map_size
from models.backbone import ImageEncoder
from models.config import ModelConfig
from models.text import TextEncoder


@dataclass
class Encoded:
    """N clips as the trunk sees them: everything that the head reads of them, without gradient."""

    pyramid: Pyramid
    valid: Tensor  # (N, H, W) bool
    times: Tensor  # (N, T)
    words: Tensor  # (N, L, D)
    word_valid: Tensor  # (N, L) bool
    sentence: Tensor  # (N, D)

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the padded pictures."""
        return self.valid.shape[-2], self.valid.shape[-1]

    def select(self, clips: list[int]) -> Encoded:
        """The clips with these positions, with no more padding than the largest of them needs."""
        size = trimmed_size(self.valid[clips])
        return Encoded(
            self.pyramid.select(clips, size),
            trim(self.valid[clips], size),
            *(getattr(self, name)[clips] for name in ("times", "words", "word_valid", "sentence")),
        )

    def take_frames(self, frames: list[int]) -> Encoded:
        """The frames at these positions of every clip."""
        return replace(self, pyramid=self.pyramid.map(lambda x: x[:, frames]), times=self.times[:, frames])


class Trunk(nn.Module):
    """Frozen encoders. In no optimiser group, never in a checkpoint, in eval mode but for `text_dropout`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.image = ImageEncoder(
            config.image_encoder, config.pretrained, semantic=config.semantic_map, debias=config.position_debias
        )
        self.text = TextEncoder(config.text_encoder, config.pretrained, config.text_dropout)

    @torch.no_grad()
    def forward(self, clips: Clips) -> Encoded:
        """N clips -> their features, words and sentences (shapes: `Encoded`)."""
        words, word_valid, sentence = self.text(clips.sentences)
        return Encoded(self.pyramid(clips), clips.valid, clips.times, words, word_valid, sentence)

    @torch.no_grad()
    def pyramid(self, clips: Clips) -> Pyramid:
        """Image features in float32: those that the clips carry, or those of their frames. Zero in what pads a clip
        beside a larger one, so that a clip has the same features alone and in a batch."""
        if clips.features is not None:
            return clips.features.map(Tensor.float)
        assert clips.frames is not None
        if is_tight(clips.valid):
            return self.image(clips.frames)
        groups = size_groups(clips.valid)
        parts = [self.image(trim(clips.frames[group], trimmed_size(clips.valid[group]))) for group in groups]
        maps = {
            name: in_order(groups, [pad(part.maps()[name], map_size(name, clips.size)) for part in parts])
            for name in parts[0].maps()
        }
        return Pyramid(**maps)


def in_order(groups: list[list[int]], parts: Sequence[Tensor]) -> Tensor:
    """One tensor of all clips in their order, from those of each group."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts))[torch.tensor([clip for group in groups for clip in group]).argsort()]
