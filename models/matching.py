"""The matching affinity (ours): query pixels attend to the support's object, to its surroundings, and to elsewhere.

One embedding serves query and support. The share of a pixel's attention that falls on the object, against the share
that falls on everything else, is the log-odds of the class; its own loss (against all objects of the class) makes it
learn from the support, which the published block alone does not when it is trained from scratch.

It starts as the training-free matcher (`models.matching_start`): the embedding begins as principal directions of the
trunk's features, and learned layers add to them from zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from models.trust import Trust

BEST = 0.99  # quantile of the log-odds of all pixels of the frames that pass together
TEMPERATURE = 12.0  # at the start; 8 and 20 match worse on photographs (experiments/LOG.md)


@dataclass
class MatchingMemory:
    """Unit vectors of the support tokens of every shot, and how much of each is object and how much is surroundings.

    The two shares add up to the share of the token that lies in the picture: padding is neither.
    """

    tokens: Tensor  # (B, K, S h w, D)
    shares: Tensor  # (B, K, S h w, 2) in [0, 1]: foreground, background


def of_one_length(parts: Sequence[Tensor]) -> list[Tensor]:
    """(N, tokens, c) each, of pictures of different sizes -> with zeros behind, as many tokens as the largest has."""
    longest = max(part.shape[1] for part in parts)
    return [F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts]


def embedding_layers(hidden: int, dim: int) -> list[nn.Module]:
    """What matching and word prior put behind their first convolution: hidden channels -> vectors of length dim."""
    return [
        nn.GroupNorm(8, hidden),
        nn.GELU(),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.GroupNorm(8, hidden),
        nn.GELU(),
        nn.Conv2d(hidden, dim, 1),
    ]


class MatchingAffinity(nn.Module):
    """log mean exp of similarity to a shot's object, minus that to its surroundings and to elsewhere; mean over shots.

    Every shot has one vote: all tokens pooled, or the best shot's vote alone, was worse (experiments/LOG.md).
    """

    def __init__(
        self, channels: int, *, hidden: int, dim: int, elsewhere: int, adds: bool, floor: float | None = None
    ) -> None:
        """channels: of all maps that are compared, together; elsewhere: tokens that stand for what no support shows;
        adds: whether a mask head adds to the evidence; floor: least log-odds of the best hundredth of the pixels."""
        super().__init__()
        self.directions = nn.Conv2d(channels, dim, 1)
        self.change = nn.Sequential(nn.Conv2d(channels, hidden, 1), *embedding_layers(hidden, dim))
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)
        self.elsewhere = nn.Parameter(torch.randn(elsewhere, dim)) if elsewhere else None
        self.floor = floor
        self.trust = Trust(adds=adds)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(TEMPERATURE)))

    def embeddings(self, maps: Sequence[Tensor]) -> Tensor:
        """maps: (B, T, c, h, w) trunk features of several strides, the finest first -> unit vectors (B, T, D, h, w)."""
        seen = compared(maps)
        embedded = self.directions(seen) + self.trust.change * self.change(seen)
        return rearrange(F.normalize(embedded.float(), dim=1), "(b t) d h w -> b t d h w", b=maps[0].shape[0])

    def remember(self, embeddings: Tensor, masks: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """embeddings (N, S, D, h, w) of N support clips, their masks (N, S, H, W) bool, valid (N, H, W) bool -> what a
        MatchingMemory holds of each: tokens (N, S h w, D), shares (N, S h w, 2)."""
        grid = (embeddings.shape[-2], embeddings.shape[-1])
        coverage = F.adaptive_avg_pool2d(masks.float(), grid)
        visible = F.adaptive_avg_pool2d(valid[:, None].float(), grid)
        shares = torch.stack([coverage, visible - coverage], dim=-1)
        return rearrange(embeddings, "n s d h w -> n (s h w) d"), shares.flatten(1, 3)

    def forward(self, embeddings: Tensor, memory: MatchingMemory) -> Tensor:
        """embeddings (B, T, D, h, w) of the query -> log-odds (B, T, h, w)."""
        t, h = embeddings.shape[1], embeddings.shape[3]
        query = rearrange(embeddings, "b t d h w -> b (t h w) d")
        temperature = self.log_temperature.exp().clamp(max=30.0)  # exp(-60) is still a normal float32
        weights = memory.shares / memory.shares.sum(2, keepdim=True).clamp_min(1e-6)  # (B, K, tokens, 2)
        similarity = torch.exp(temperature * (query @ memory.tokens.flatten(1, 2).transpose(1, 2) - 1.0))
        similarity = rearrange(similarity, "b q (k n) -> b k q n", k=weights.shape[1])
        evidence = torch.log(similarity @ weights + 1e-26)  # (B, K, t h w, 2): an absent side counts as no resemblance
        foreground, background = evidence.unbind(-1)
        if self.elsewhere is not None:
            others = temperature * (query @ F.normalize(self.elsewhere, dim=1).T - 1.0)
            others = torch.logsumexp(others, dim=2) - math.log(len(self.elsewhere))
            background = torch.logaddexp(background, others[:, None])
        votes = foreground - background
        shown = memory.shares[..., 0].any(dim=2, keepdim=True)  # a shot without a mask has no vote beside one that has
        counted = (shown | ~shown.any(dim=1, keepdim=True)).to(votes.dtype)
        logits = self.trust.evidence((votes * counted).sum(1) / counted.sum(1))
        if self.floor is not None:
            best = logits.detach().quantile(BEST, dim=1, keepdim=True)
            logits = logits + (self.floor - best).clamp_min(0.0)
        return rearrange(logits, "b (t h w) -> b t h w", t=t, h=h)


def compared(maps: Sequence[Tensor]) -> Tensor:
    """(B, T, c, h, w) trunk features, the finest first -> (B T, all channels, h, w) on the finest grid, the features of
    each map with length 1."""
    frames = [rearrange(x, "b t c h w -> (b t) c h w").float() for x in maps]
    size = frames[0].shape[-2:]
    sized = [frames[0], *(F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in frames[1:])]
    return torch.cat([F.normalize(x, dim=1) for x in sized], dim=1)
