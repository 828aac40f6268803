"""What training-free rows compare: trunk features as unit vectors, one for each cell of the stride-16 grid.

N clips, T frames, c channels, h w the grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from episodes.padding import is_tight, pad, size_groups
from episodes.types import Clips
from fewshot.learners import Decoding
from models.trunk import Trunk, in_order


def trunk_tokens(trunk: Trunk, clips: Clips) -> Tensor:
    """(N, T, c, h16, w16): stride 16 beside upsampled stride 32, each of unit length, and so is the whole."""
    pyramid = trunk.pyramid(clips)
    n = len(clips)
    coarse = F.interpolate(rearrange(pyramid.f32, "n t c h w -> (n t) c h w"), pyramid.f16.shape[-2:], mode="bilinear")
    parts = (pyramid.f16, rearrange(coarse, "(n t) c h w -> n t c h w", n=n))
    return F.normalize(torch.cat([F.normalize(part, dim=2) for part in parts], dim=2), dim=2)


def picture_shares(valid: Tensor, grid: tuple[int, int]) -> Tensor:
    """valid (N, H, W) bool -> (N, h, w): how much of each token lies in the picture, not in its padding."""
    return F.adaptive_avg_pool2d(valid[:, None].float(), grid)[:, 0]


def answers_of(logits: Callable[[Clips], Tensor], query: Clips) -> Tensor:
    """Mask probabilities (N, T, H, W) of query clips, 0 in padding, from `logits`, which maps clips of one picture size
    to log-odds (N, T, h, w)."""
    if not is_tight(query.valid):
        groups = size_groups(query.valid)
        return in_order(groups, [pad(answers_of(logits, query.select(group)), query.size) for group in groups])
    enlarged = F.interpolate(logits(query), size=query.size, mode="bilinear", align_corners=False)
    return enlarged.sigmoid() * query.valid[:, None]


class ClipByClip(ABC):
    """A row that answers query clips one after the other, from their tokens and without reading the sentence."""

    trunk: Trunk

    @torch.no_grad()
    def predict(self, query: Clips, decoding: Decoding = Decoding()) -> Tensor:  # noqa: B008, frozen
        """As `Predicts.predict`; a clip is answered whole, so there is nothing to decode in chunks."""
        return answers_of(self._logits, query)

    def _logits(self, query: Clips) -> Tensor:
        answers = []
        for clip in (query.select([number]) for number in range(len(query))):
            tokens = trunk_tokens(self.trunk, clip)[0]
            grid = (tokens.shape[-2], tokens.shape[-1])
            answer = self._clip(rearrange(tokens, "t c h w -> t (h w) c"), picture_shares(clip.valid, grid)[0])
            answers.append(answer.view(-1, *grid))
        return torch.stack(answers)

    @abstractmethod
    def _clip(self, tokens: Tensor, visible: Tensor) -> Tensor:
        """tokens (T, h w, c) of a single clip, visible (h, w) in [0, 1] its `picture_shares` -> log-odds (T, h w)."""
