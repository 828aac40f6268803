"""From memory to mask logits: cross-modal feature pyramid and dynamic mask convolution.

Letters: B clips of T frames, N = B T frames, C channels, L words, Q queries; stride as key or suffix.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import MLP, FeedForward
from models.positions import sine_1d, sine_2d

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
        size = feature.shape[-2:]
        tokens = feature.flatten(2).transpose(1, 2)
        tokens = self.norm1(tokens + self.drop_self(self._across_frames(feature, position, valid, b)))
        located = tokens + position.flatten(2).transpose(1, 2)
        read = self.multihead_attn(
            located.reshape(b, -1, tokens.shape[-1]), word_keys, words, key_padding_mask=~word_valid, need_weights=False
        )[0]
        tokens = self.norm2(tokens + self.drop_cross(read.reshape(tokens.shape)))
        tokens = self.norm3(self.ffn(tokens))
        return tokens.transpose(1, 2).unflatten(2, size)

    def _across_frames(self, feature: Tensor, position: Tensor, valid: Tensor, b: int) -> Tensor:
        """Self-attention of the b clips' reduced frames, brought back to full size: -> (N, h w, C)."""
        size = feature.shape[-2:]
        small = [max(1, side // self.reduction) for side in size]
        if self.reduction > 1:
            feature, position = (F.interpolate(x, size=small, mode="nearest") for x in (feature, position))
            valid = F.interpolate(valid[:, None].float(), size=small, mode="nearest")[:, 0].bool()
        tokens = feature.flatten(2).transpose(1, 2)
        located = tokens + position.flatten(2).transpose(1, 2)
        in_clips = (b, -1, tokens.shape[-1])
        attended = self.self_attn(
            located.reshape(in_clips),
            located.reshape(in_clips),
            tokens.reshape(in_clips),
            key_padding_mask=~valid.reshape(b, -1),
            need_weights=False,
        )[0].reshape(tokens.shape)
        if self.reduction > 1:
            grid = attended.transpose(1, 2).unflatten(2, small)
            grid = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
            attended = grid.flatten(2).transpose(1, 2)
        return attended


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
        memory_strides: tuple[int, ...] = (8, 16, 32),
        fine_width: int = 256,
        vl_strides: tuple[int, ...] = (4, 8, 16, 32),
        mask_dim: int = 256,
    ) -> None:
        """channels: stride -> channels of the raw trunk feature, needed for strides finer than the memories."""
        super().__init__()
        self.memory_strides = tuple(memory_strides)
        self.strides = (32, 16, 8, 4)
        raw = [stride for stride in self.strides if stride not in self.memory_strides]
        if 32 in raw or [s for s in raw if s > min(self.memory_strides)]:
            raise ValueError(f"memory strides must be the coarsest of {self.strides}, found {self.memory_strides}")
        missing = [stride for stride in raw if stride not in channels]
        if missing:
            raise ValueError(f"channels of the raw features of strides {missing} are needed, found {dict(channels)}")
        unknown = set(vl_strides) - set(self.strides)
        if unknown:
            raise ValueError(f"vl_strides must be among {self.strides}, found {tuple(vl_strides)}")
        stages: dict[str, FPNStage] = {}
        coarser: int | None = None
        for stride in self.strides:
            width = fine_width if stride in raw else hidden
            block = None
            if stride in vl_strides:
                block = VisionLanguageBlock(
                    width, words=hidden, heads=heads, ffn=ffn, dropout=dropout, reduction=COARSEST // stride
                )
            stages[str(stride)] = FPNStage(
                channels[stride] if stride in raw else hidden, width, coarser=coarser, block=block
            )
            coarser = width
        self.stages = nn.ModuleDict(stages)
        self.mask_features = nn.Conv2d(fine_width, mask_dim, 3, padding=1)
        nn.init.kaiming_uniform_(self.mask_features.weight, a=1)
        assert self.mask_features.bias is not None
        nn.init.zeros_(self.mask_features.bias)

    def forward(
        self,
        raw: Mapping[int, Tensor],
        memories: Mapping[int, Tensor],
        words: Tensor,
        word_valid: Tensor,
        positions: Mapping[int, Tensor],
        valid: Mapping[int, Tensor],
        frames: int,
    ) -> Tensor:
        """Maps are stride -> (N, c, h, w): raw trunk features, memories, sine positions (C channels), masks (N, h, w)
        bool; words (B, L, C), word_valid (B, L) bool, frames = T -> mask features (N, mask_dim, h4, w4).

        Positions and masks are read only where a stage has a vision-language block.
        """
        n = len(memories[self.memory_strides[-1]])
        if n != len(words) * frames:
            raise ValueError(f"CrossModalFPN got {n} frames, but {len(words)} sentences of {frames} frames each")
        word_keys = words + sine_1d(word_valid, words.shape[-1])
        coarser: Tensor | None = None
        for stride in self.strides:
            stage = self.stages[str(stride)]
            assert isinstance(stage, FPNStage)
            current = stage.adapter(memories[stride] if stride in self.memory_strides else raw[stride])
            if stage.block is not None:
                position, width = positions.get(stride), current.shape[1]
                if position is None or position.shape[1] != width:
                    position = sine_2d(valid[stride], width)
                current = stage.block(current, position, valid[stride], words, word_keys, word_valid)
            coarser = stage(current, coarser)
        assert coarser is not None
        return self.mask_features(coarser)


class DynamicMaskHead(nn.Module):
    """Each query's controller output is the weights of a small 1x1 network that turns mask features into logits."""

    STRIDE = 4

    def __init__(self, hidden: int, mask_dim: int, channels: int = 8, layers: int = 3) -> None:
        super().__init__()
        widths = [mask_dim + 2, *[channels] * (layers - 1), 1]
        self.shapes = list(zip(widths[1:], widths[:-1], strict=True))  # (outputs, inputs) of each layer
        parameters = sum(outputs * inputs for outputs, inputs in self.shapes) + sum(widths[1:])
        self.controller = MLP(hidden, hidden, parameters, layers=3)
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
            return self._convolve(
                mask_features.float(), self.controller(queries.float()), centres * picture_size[:, None]
            )

    def _convolve(self, mask_features: Tensor, parameters: Tensor, centres: Tensor) -> Tensor:
        """mask_features (N, mask_dim, h4, w4), parameters (N, Q, all of them), centres (N, Q, 2) in pixels."""
        n, q, _ = parameters.shape
        size = mask_features.shape[-2:]
        weights, biases = self._layer_parameters(parameters)
        first, *rest = weights
        # Same sums as a convolution of the 258 channels, without copying the features for every query.
        seen = first[..., :-2].flatten(1, 2) @ mask_features.flatten(2)  # (N, Q outputs, h w)
        relative = self._relative(centres, size)  # (N Q, 2, h w)
        x = seen.view(n * q, -1, seen.shape[-1]) + first[..., -2:].flatten(0, 1) @ relative
        x = x + biases[0].flatten(0, 1)[..., None]
        for weight, bias in zip(rest, biases[1:], strict=True):
            x = torch.baddbmm(bias.flatten(0, 1)[..., None], weight.flatten(0, 1), F.relu(x))
        return x.view(n, q, *size)

    def _layer_parameters(self, flat: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """(N, Q, parameters) -> weights (N, Q, outputs, inputs) of the layers, then biases (N, Q, outputs)."""
        sizes = [outputs * inputs for outputs, inputs in self.shapes] + [outputs for outputs, _ in self.shapes]
        parts = flat.split(sizes, dim=-1)
        count = len(self.shapes)
        weights = [part.unflatten(-1, shape) for part, shape in zip(parts[:count], self.shapes, strict=True)]
        return weights, parts[count:]

    def _relative(self, centres: Tensor, size: torch.Size) -> Tensor:
        """Centre minus pixel location, in pixels: centres (N, Q, 2) -> (N Q, 2, h w), x before y."""
        h, w = size
        y = torch.arange(h, device=centres.device, dtype=centres.dtype) * self.STRIDE + self.STRIDE // 2
        x = torch.arange(w, device=centres.device, dtype=centres.dtype) * self.STRIDE + self.STRIDE // 2
        location = torch.stack([x[None].expand(h, w), y[:, None].expand(h, w)]).flatten(1)
        return (centres[..., None] - location).flatten(0, 1)
