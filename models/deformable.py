"""Multi-scale deformable attention and the encoder made of it, in plain PyTorch.

Letters: N frames, C channels, S tokens of all levels of a frame, A attending tokens, H heads, V levels, P points.
Parameter names below a module follow the published checkpoint layout, so that conversion only renames prefixes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers import FeedForward
from models.second_order import sample

Sizes = list[tuple[int, int]]


def flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """V maps (N, C, h, w) -> tokens (N, S, C)."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)


def split_levels(tokens: Tensor, sizes: Sizes) -> list[Tensor]:
    """Tokens (N, S, C) -> V maps (N, C, h, w) of these sizes (h, w)."""
    parts = tokens.split([h * w for h, w in sizes], dim=1)
    return [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]


def valid_ratios(valid: Sequence[Tensor]) -> Tensor:
    """Share of the width and height that is not padding: V masks (N, h, w) bool -> (N, V, 2) as (x, y)."""
    ratios = [torch.stack([level[:, 0, :].float().mean(1), level[:, :, 0].float().mean(1)], dim=-1) for level in valid]
    return torch.stack(ratios, dim=1)


class DeformableAttention(nn.Module):
    """Each token and head reads a few learned points around its reference on every level."""

    def __init__(self, width: int, *, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(width, heads * levels * points * 2)
        self.attention_weights = nn.Linear(width, heads * levels * points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        # They start as in Deformable DETR: head i looks in direction i, point p at distance p + 1; equal weights.
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, points + 1, dtype=torch.float32)
        bias = direction[:, None, None, :] * steps[None, None, :, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.expand(-1, levels, -1, -1).flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, queries: Tensor, references: Tensor, tokens: Tensor, valid: Tensor, sizes: Sizes) -> Tensor:
        """queries (N, A, C); references (N, A, V, 2 or 4) in [0, 1] of the padded level, (x, y) or (x, y, w, h);
        tokens (N, S, C); valid (N, S) bool, tokens in padding count as zero; sizes of the levels -> (N, A, C).
        """
        n, a, _ = queries.shape
        # Channels first from here on: `sample` then reads views of one tensor, and no level is copied.
        values = torch.baddbmm(
            self.value_proj.bias[:, None], self.value_proj.weight.expand(n, -1, -1), tokens.transpose(1, 2)
        ).masked_fill(~valid[:, None], 0.0)
        offsets = self.sampling_offsets(queries).view(n, a, self.heads, self.levels, self.points, 2)
        weights = self.attention_weights(queries).view(n, a, self.heads, self.levels * self.points).softmax(-1)
        centres = references[:, :, None, :, None, :2]
        if references.shape[-1] == 4:
            reach = references[:, :, None, :, None, 2:] * (0.5 / self.points)
        else:
            reach = 1.0 / offsets.new_tensor([(w, h) for h, w in sizes])[:, None, :]
        grid = (centres + offsets * reach) * 2 - 1  # (N, A, H, V, P, 2)
        grid = grid.permute(3, 0, 2, 4, 1, 5).flatten(1, 2)  # (V, N H, P, A, 2)
        shares = weights.unflatten(-1, (self.levels, self.points)).permute(3, 0, 2, 4, 1).flatten(1, 2)[:, :, None]
        read = values.new_zeros(())
        for index, level in enumerate(values.split([h * w for h, w in sizes], dim=2)):
            maps = level.unflatten(2, sizes[index]).unflatten(1, (self.heads, -1)).flatten(0, 1)
            sampled = sample(maps, grid[index])  # (N H, C / H, P, A)
            read = read + (sampled * shares[index]).sum(2)
        return self.output_proj(read.view(n, -1, a).transpose(1, 2))


class EncoderLayer(nn.Module):
    """Deformable self-attention and a feed-forward network, each followed by its LayerNorm."""

    def __init__(self, hidden: int, *, heads: int, levels: int, points: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(hidden, heads=heads, levels=levels, points=points)
        self.drop = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(hidden)
        self.ffn = FeedForward(hidden, ffn, dropout)
        self.norm2 = nn.LayerNorm(hidden)

    def forward(self, tokens: Tensor, positions: Tensor, references: Tensor, valid: Tensor, sizes: Sizes) -> Tensor:
        """tokens, positions (N, S, C); the rest as in `DeformableAttention` -> (N, S, C)."""
        attended = self.self_attn(tokens + positions, references, tokens, valid, sizes)
        return self.norm2(self.ffn(self.norm1(tokens + self.drop(attended))))


class DeformableEncoder(nn.Module):
    """Mixes the levels of a frame; every token is its own reference point. `layers=0` returns the features."""

    def __init__(
        self, hidden: int, *, heads: int, levels: int, points: int, ffn: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(hidden, heads=heads, levels=levels, points=points, ffn=ffn, dropout=dropout)
            for _ in range(layers)
        )
        # Only the encoder adds it: without layers it would be a parameter that nothing trains.
        self.level_embed = nn.Parameter(torch.randn(levels, hidden)) if layers else None

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor], valid: Sequence[Tensor]) -> list[Tensor]:
        """V features and V sine positions (N, C, h, w), V masks (N, h, w) bool -> V memories (N, C, h, w)."""
        if self.level_embed is None:
            return list(features)
        sizes = [(level.shape[-2], level.shape[-1]) for level in features]
        located = [
            position + embedding[:, None, None] for position, embedding in zip(positions, self.level_embed, strict=True)
        ]
        tokens, places = flatten_levels(features), flatten_levels(located)
        token_valid = torch.cat([level.flatten(1) for level in valid], dim=1)
        references = _pixel_centres(sizes, valid_ratios(valid))
        for layer in self.layers:
            tokens = layer(tokens, places, references, token_valid, sizes)
        return split_levels(tokens, sizes)


def _pixel_centres(sizes: Sizes, ratios: Tensor) -> Tensor:
    """Pixel centres as shares of the valid part, placed in each level's padded map: -> (N, S, V, 2) as (x, y)."""
    centres = []
    for level, (h, w) in enumerate(sizes):
        y = torch.arange(0.5, h, device=ratios.device)[None, :] / (ratios[:, level, 1:] * h)
        x = torch.arange(0.5, w, device=ratios.device)[None, :] / (ratios[:, level, :1] * w)
        grid = torch.stack([x[:, None, :].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)], dim=-1)
        centres.append(grid.flatten(1, 2))
    return torch.cat(centres, dim=1)[:, :, None] * ratios[:, None]
