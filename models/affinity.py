"""Cross-modal affinity (CMA): query pixels attend to the support's masked pixels (paper, section 3.2).

Shapes: B episodes, K shots, S support frames a shot, T query frames, M support frames in memory, C channels, D = C / 2.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

MASKED_OUT = -1e4  # added to attention logits of excluded tokens; finite in bfloat16 and float16 too


def pretransform(x: Tensor) -> Tensor:
    """Published element-wise transform of support features: g(x) = sign(x) (u(|x|) - u(0)).

    u(a) = 1 / ln(1 / (a + 1e-5) + 1)^1.3, so g(0.01) = 0.0953 and g(1) = 1.5687.
    """
    magnitude = torch.log(1.0 / (x.abs() + 1e-5) + 1.0) ** -1.3
    return x.sign() * (magnitude - math.log(1.0 / 1e-5 + 1.0) ** -1.3)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners, on the last two axes of (B, M, c, h, w)."""
    if x.shape[-2:] == size:
        return x
    b = x.shape[0]
    x = F.interpolate(rearrange(x, "b m c h w -> (b m) c h w"), size=size, mode="bilinear", align_corners=True)
    return rearrange(x, "(b m) c h w -> b m c h w", b=b)


@dataclass
class LevelMemory:
    """What one level remembers of the support: masked features, and attention keys and values of its tokens."""

    masked: Tensor  # (B, M, C, h, w)
    key: Tensor  # (B, M h w, D)
    value: Tensor  # (B, M h w, D)
    coverage: Tensor  # (B, M h w) in [0, 1], share of the token that the mask covers


def qkv(channels: int, dim: int) -> nn.ModuleDict:
    """3 x 3 convolutions from C to D channels. Of the support's, only keys and values are ever used (published too)."""
    return nn.ModuleDict({name: nn.Conv2d(channels, dim, 3, padding=1) for name in ("query", "key", "value")})


class CrossModalAffinity(nn.Module):
    """One set of weights for all levels.

    stages: () is the paper's `base`, query feature + masked support feature; ("self",) attends to the query's middle
    frame and adds a 1 x 1 convolution of the masked support; with "cross" the query attends to the support memory.
    """

    def __init__(
        self,
        hidden: int,
        *,
        dropout: float,
        stages: tuple[str, ...],
        support_frames: Literal["all", "middle"],
        background: Literal["exclude", "keep"],
    ) -> None:
        super().__init__()
        dim = hidden // 2
        self.stages = stages
        self.support_frames = support_frames
        self.background = background
        if stages:
            self.query_qkv = qkv(hidden, dim)
            if "self" not in stages:
                self.query_qkv["key"].requires_grad_(False)  # without that stage nothing reads the query's own keys
                self.query_qkv["value"].requires_grad_(False)
            self.norm = nn.LayerNorm(dim)
            self.point = nn.Conv2d(hidden, dim, 1)
            self.dropout = nn.Dropout(dropout)
        if "cross" in stages:
            self.support_qkv = qkv(hidden, dim)
            self.support_qkv["query"].requires_grad_(False)  # in the published layout, but nothing reads it

    def remember(self, support: Tensor, coverage: Tensor) -> LevelMemory:
        """support (B, K, S, C, h', w') fused features, coverage (B, K, S, h, w) in [0, 1], the share of each cell of
        the query's grid that the support mask covers; features are resized to that grid.
        """
        if self.support_frames == "middle" and "cross" in self.stages:
            middle = support.shape[2] // 2
            support, coverage = (x[:, -1:, middle : middle + 1] for x in (support, coverage))
        support, coverage = support.flatten(1, 2), coverage.flatten(1, 2).to(support.dtype)
        masked = resize(support, (coverage.shape[-2], coverage.shape[-1])) * coverage[:, :, None]
        key = value = masked.new_zeros(len(masked), 0, 0)
        if "cross" in self.stages:
            b = masked.shape[0]
            frames_first = rearrange(masked, "b m c h w -> (b m) c h w")
            key = rearrange(self.support_qkv["key"](frames_first), "(b m) d h w -> b (m h w) d", b=b)
            value = rearrange(self.support_qkv["value"](frames_first), "(b m) d h w -> b (m h w) d", b=b)
        return LevelMemory(masked, key, value, coverage.flatten(1))

    def forward(self, query: Tensor, memory: LevelMemory) -> Tensor:
        """query (B, T, C, h, w) fused features -> (B, T, C, h, w)."""
        b, t, _, h, _ = query.shape
        if not self.stages:
            return query + _by_frame(memory.masked, t)
        frames = rearrange(query, "b t c h w -> (b t) c h w")
        tokens = rearrange(self.query_qkv["query"](frames), "(b t) d h w -> b (t h w) d", b=b)
        if "self" in self.stages:
            middle = query[:, t // 2]
            key = rearrange(self.query_qkv["key"](middle), "b d h w -> b (h w) d")
            value = rearrange(self.query_qkv["value"](middle), "b d h w -> b (h w) d")
            tokens = self.norm(tokens + self.dropout(F.scaled_dot_product_attention(tokens, key, value)))
        if "cross" in self.stages:
            tokens = self.norm(tokens + self.dropout(self._attend_to_support(tokens, memory)))
            other = self.point(frames)
        else:
            other = self.point(rearrange(_by_frame(memory.masked, t), "b t c h w -> (b t) c h w"))
        attended = rearrange(tokens, "b (t h w) d -> (b t) d h w", t=t, h=h)
        return rearrange(torch.cat([attended, other], dim=1), "(b t) c h w -> b t c h w", b=b)

    def _attend_to_support(self, tokens: Tensor, memory: LevelMemory) -> Tensor:
        if self.background == "keep":
            return F.scaled_dot_product_attention(tokens, memory.key, memory.value)
        # An extra token of zeros takes the attention where the support shows no object at all.
        key = F.pad(memory.key, (0, 0, 0, 1))
        value = F.pad(memory.value, (0, 0, 0, 1))
        bias = F.pad(memory.coverage.clamp_min(1e-6).log().where(memory.coverage > 0, MASKED_OUT), (0, 1))
        return F.scaled_dot_product_attention(tokens, key, value, attn_mask=bias[:, None].to(tokens.dtype))


def _by_frame(masked: Tensor, frames: int) -> Tensor:
    """Support frames set beside query frames: the first T of them, repeated where there are fewer."""
    index = torch.arange(frames, device=masked.device) % masked.shape[1]
    return masked[:, index]
