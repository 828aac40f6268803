"""The supervised affinity prior: how much more a query pixel resembles the support object than its surroundings (ours).

Siamese and text-free: the same embedding serves query and support, and its own loss (against all objects of the class)
makes it learn from the support, which the published block alone does not when it is trained from scratch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


@dataclass
class PriorMemory:
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
    """What both priors put behind their first convolution: hidden channels -> vectors of length dim, same grid."""
    return [
        nn.GroupNorm(8, hidden),
        nn.GELU(),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.GroupNorm(8, hidden),
        nn.GELU(),
        nn.Conv2d(hidden, dim, 1),
    ]


class AffinityPrior(nn.Module):
    """log mean exp of similarity to a shot's foreground, minus the same for its background; then the mean over shots.

    Every shot has one vote: all tokens pooled, or the best shot's vote alone, was worse (experiments/LOG.md).
    """

    def __init__(self, channels: int, *, hidden: int, dim: int) -> None:
        """channels: of strides 16 and 32 together."""
        super().__init__()
        self.embed = nn.Sequential(nn.Conv2d(channels, hidden, 1), *embedding_layers(hidden, dim))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(12.0)))
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def embeddings(self, f16: Tensor, f32: Tensor) -> Tensor:
        """f16, f32 (B, T, c, h, w) raw trunk features -> unit vectors (B, T, D, h16, w16)."""
        b = f16.shape[0]
        coarse = F.interpolate(rearrange(f32, "b t c h w -> (b t) c h w"), size=f16.shape[-2:], mode="bilinear")
        embedded = self.embed(torch.cat([rearrange(f16, "b t c h w -> (b t) c h w"), coarse], dim=1))
        return rearrange(F.normalize(embedded.float(), dim=1), "(b t) d h w -> b t d h w", b=b)

    def remember(self, embeddings: Tensor, masks: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """embeddings (N, S, D, h, w) of N support clips, their masks (N, S, H, W) bool, valid (N, H, W) bool -> what a
        PriorMemory holds of each: tokens (N, S h w, D), shares (N, S h w, 2)."""
        grid = (embeddings.shape[-2], embeddings.shape[-1])
        coverage = F.adaptive_avg_pool2d(masks.float(), grid)
        visible = F.adaptive_avg_pool2d(valid[:, None].float(), grid)
        shares = torch.stack([coverage, visible - coverage], dim=-1)
        return rearrange(embeddings, "n s d h w -> n (s h w) d"), shares.flatten(1, 3)

    def forward(self, embeddings: Tensor, memory: PriorMemory) -> Tensor:
        """embeddings (B, T, D, h, w) of the query -> log-odds (B, T, h, w)."""
        t, h = embeddings.shape[1], embeddings.shape[3]
        query = rearrange(embeddings, "b t d h w -> b (t h w) d")
        temperature = self.log_temperature.exp().clamp(max=30.0)  # exp(-60) is still a normal float32
        weights = memory.shares / memory.shares.sum(2, keepdim=True).clamp_min(1e-6)  # (B, K, tokens, 2)
        similarity = torch.exp(temperature * (query @ memory.tokens.flatten(1, 2).transpose(1, 2) - 1.0))
        similarity = rearrange(similarity, "b q (k n) -> b k q n", k=weights.shape[1])
        evidence = torch.log(similarity @ weights + 1e-26)  # (B, K, t h w, 2): an absent side counts as no resemblance
        votes = evidence[..., 0] - evidence[..., 1]
        shown = memory.shares[..., 0].any(dim=2, keepdim=True)  # a shot without a mask has no vote beside one that has
        counted = (shown | ~shown.any(dim=1, keepdim=True)).to(votes.dtype)
        logits = self.scale * (votes * counted).sum(1) / counted.sum(1) + self.bias
        return rearrange(logits, "b (t h w) -> b t h w", t=t, h=h)
