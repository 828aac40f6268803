"""From memory to mask logits: cross-modal feature pyramid and dynamic mask convolution.

Letters: B clips of T frames, N = B T frames, C channels, L words, Q queries; stride as key or suffix.
"""

import math
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import MLP, FeedForward
from models.positions import sine_1d, sine_2d

STRIDES = (32, 16, 8, 4)
COARSEST = 32  # stride on which every self-attention of the pyramid works
NORM_GROUPS = 8


class VisionLanguageBlock(nn.Module):
    """Self-attention among all frames of a clip on a reduced grid, attention to the words, feed-forward; post-norm."""

    def __init__(self, width: int, *, words: int, heads: int, ffn: int, dropout: float, reduction: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        # Another width than the words' gives separate key and value projections; the published layout has one matrix.
        self.multihead_attn = nn.MultiheadAttention(
            width, heads, dropout=dropout, batch_first=True, kdim=words, vdim=words
        )
        self.drop_self = nn.Dropout(dropout)
        self.drop_cross = nn.Dropout(dropout)
        self.ffn = FeedForward(width, ffn, dropout)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(
        self, feature: Tensor, position: Tensor, valid: Tensor, words: Tensor, word_keys: Tensor, word_valid: Tensor
    ) -> Tensor:
        """feature, position (N, C, h, w); valid (N, h, w) bool; words and word_keys (words + position) (B, L, C);
        word_valid (B, L) bool -> (N, C, h, w).
        """
        b = len(words)
        tokens, places = (x.flatten(2).transpose(1, 2) for x in (feature, position))
        tokens = self.norm1(tokens + self.drop_self(self._across_frames(feature, position, valid, b)))
        located = (tokens + places).reshape(b, -1, tokens.shape[-1])
        read, _ = self.multihead_attn(located, word_keys, words, key_padding_mask=~word_valid, need_weights=False)
        tokens = self.norm2(tokens + self.drop_cross(read.reshape(tokens.shape)))
        return self.norm3(self.ffn(tokens)).transpose(1, 2).unflatten(2, feature.shape[-2:])

    def _across_frames(self, feature: Tensor, position: Tensor, valid: Tensor, b: int) -> Tensor:
        """Self-attention of the b clips' reduced frames, brought back to full size: -> (N, h w, C)."""
        size = feature.shape[-2:]
        small = [max(1, side // self.reduction) for side in size]
        if self.reduction > 1:
            feature, position = (F.interpolate(x, size=small, mode="nearest") for x in (feature, position))
            valid = F.interpolate(valid[:, None].float(), size=small, mode="nearest")[:, 0].bool()
        tokens, places = (rearrange(x, "(b t) c h w -> b (t h w) c", b=b) for x in (feature, position))
        located = tokens + places
        hidden = ~valid.reshape(b, -1)
        attended, _ = self.self_attn(located, located, tokens, key_padding_mask=hidden, need_weights=False)
        grid = attended.reshape(len(feature), -1, tokens.shape[-1]).transpose(1, 2).unflatten(2, small)
        if self.reduction > 1:
            grid = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        return grid.flatten(2).transpose(1, 2)


class FPNStage(nn.Module):
    """One stride: lateral 1x1, vision-language block if any, plus the coarser map, 3x3 output."""

    def __init__(self, inputs: int, width: int, *, coarser: int | None, block: VisionLanguageBlock | None) -> None:
        super().__init__()
        lateral = nn.Conv2d(inputs, width, 1, bias=False)
        output = nn.Conv2d(width, width, 3, padding=1, bias=False)
        for convolution in (lateral, output):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
        self.adapter = nn.Sequential(lateral, nn.GroupNorm(NORM_GROUPS, width))
        self.block = block
        # Published: all stages have one width, so there is nothing to reduce.
        self.reduce = None if coarser is None or coarser == width else nn.Conv2d(coarser, width, 1)
        self.layer = nn.Sequential(output, nn.GroupNorm(NORM_GROUPS, width), nn.ReLU())

    def forward(self, current: Tensor, coarser: Tensor | None) -> Tensor:
        """current (N, width, h, w) of this stride, coarser (N, c, h / 2, w / 2) or None -> (N, width, h, w)."""
        if coarser is not None:
            reduced = coarser if self.reduce is None else self.reduce(coarser)
            current = current + F.interpolate(reduced, size=current.shape[-2:], mode="nearest")
        return self.layer(current)


class CrossModalFPN(nn.Module):
    """Coarse to fine over the memories, then over raw trunk features; out come the mask features at stride 4."""

    def __init__(
        self,
        hidden: int,
        *,
        heads: int,
        ffn: int,
        dropout: float,
        channels: Mapping[int, int],
        memory_strides: tuple[int, ...],
        fine_width: int,
        vl_strides: tuple[int, ...],
        mask_dim: int,
    ) -> None:
        """channels: stride -> channels of the raw trunk feature; memory_strides: the coarsest ones, which read memories
        of `hidden` channels instead."""
        super().__init__()
        stages: dict[str, FPNStage] = {}
        coarser: int | None = None
        for stride in STRIDES:
            inputs, width = (hidden, hidden) if stride in memory_strides else (channels[stride], fine_width)
            block = None
            if stride in vl_strides:
                block = VisionLanguageBlock(
                    width, words=hidden, heads=heads, ffn=ffn, dropout=dropout, reduction=COARSEST // stride
                )
            stages[str(stride)] = FPNStage(inputs, width, coarser=coarser, block=block)
            coarser = width
        self.stages = nn.ModuleDict(stages)
        self.mask_features = nn.Conv2d(fine_width, mask_dim, 3, padding=1)
        nn.init.kaiming_uniform_(self.mask_features.weight, a=1)
        assert self.mask_features.bias is not None
        nn.init.zeros_(self.mask_features.bias)

    def forward(
        self,
        features: Mapping[int, Tensor],
        words: Tensor,
        word_valid: Tensor,
        positions: Mapping[int, Tensor],
        valid: Mapping[int, Tensor],
    ) -> Tensor:
        """Maps are stride -> (N, c, h, w): memories or raw trunk features, sine positions (C channels), masks (N, h, w)
        bool; words (B, L, C), word_valid (B, L) bool -> mask features (N, mask_dim, h4, w4).

        Positions and masks are read only where a stage has a vision-language block.
        """
        word_keys = words + sine_1d(word_valid, words.shape[-1])
        coarser: Tensor | None = None
        for stride in STRIDES:
            stage = self.stages[str(stride)]
            assert isinstance(stage, FPNStage)
            current = stage.adapter(features[stride])
            if stage.block is not None:
                position, width = positions[stride], current.shape[1]
                if position.shape[1] != width:
                    position = sine_2d(valid[stride], width)
                current = stage.block(current, position, valid[stride], words, word_keys, word_valid)
            coarser = stage(current, coarser)
        assert coarser is not None
        return self.mask_features(coarser)


class DynamicMaskHead(nn.Module):
    """Each query's controller output is the weights of a small 1x1 network that turns mask features into logits."""

    STRIDE = 4

    def __init__(self, hidden: int, mask_dim: int) -> None:
        super().__init__()
        self.shapes = [(8, mask_dim + 2), (8, 8), (1, 8)]  # (outputs, inputs) of each layer
        self.sizes = [math.prod(shape) for shape in self.shapes] + [outputs for outputs, _ in self.shapes]
        self.controller = MLP(hidden, hidden, sum(self.sizes), layers=3)
        for layer in self.controller.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, mask_features: Tensor, queries: Tensor, centres: Tensor, picture_size: Tensor) -> Tensor:
        """mask_features (N, mask_dim, h4, w4); queries (N, Q, C); centres (N, Q, 2), the queries' references as (x, y)
        in [0, 1] of the unpadded picture; picture_size (N, 2), its width and height in pixels -> (N, Q, h4, w4).
        """
        # Pixel distances reach hundreds: half precision would blur them by whole pixels.
        with torch.autocast(mask_features.device.type, enabled=False):
            parts = self.controller(queries.float()).split(self.sizes, dim=-1)  # of all layers: weights, then biases
            first, *rest = (part.unflatten(-1, shape) for part, shape in zip(parts, self.shapes, strict=False))
            first_bias, *biases = (part.flatten(0, 1)[..., None] for part in parts[len(self.shapes) :])
            y, x = (
                torch.arange(side, device=centres.device, dtype=centres.dtype) * self.STRIDE + self.STRIDE // 2
                for side in mask_features.shape[-2:]
            )
            pixels = torch.stack(torch.meshgrid(x, y, indexing="xy")).flatten(1)
            relative = ((centres * picture_size[:, None])[..., None] - pixels).flatten(0, 1)  # (N Q, 2, h w)
            # Same sums as a convolution of the 258 channels, without copying the features for every query.
            seen = first[..., :-2].flatten(1, 2) @ mask_features.float().flatten(2)  # (N, Q outputs, h w)
            z = seen.view(len(relative), -1, seen.shape[-1]) + first[..., -2:].flatten(0, 1) @ relative
            z = z + first_bias
            for weight, bias in zip(rest, biases, strict=True):
                z = torch.baddbmm(bias, weight.flatten(0, 1), F.relu(z))
            return z.view(*queries.shape[:2], *mask_features.shape[-2:])
