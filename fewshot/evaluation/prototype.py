"""Training-free prototype matching: masked average pooling on the frozen trunk, then cosine similarity.

The row that every trained model has to beat. It never sees a sentence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from episodes.types import ClipBatch, Pyramid
from models.network import FewShotRVOS

SHARPNESS = 20.0  # turns a difference of cosines into log-odds; the mask (odds > 1) does not depend on it


class PrototypePredictor:
    """Foreground and background prototypes of all shots; a pixel belongs to the nearer one."""

    def __init__(self, network: FewShotRVOS, support: ClipBatch) -> None:
        self.network = network
        tokens = self._tokens(support)
        coverage = F.adaptive_avg_pool2d(support.masks.float(), (tokens.shape[-2], tokens.shape[-1]))[:, :, None]
        self.foreground = self._pool(tokens, coverage)
        self.background = self._pool(tokens, 1 - coverage)

    @staticmethod
    def _pool(tokens: Tensor, weight: Tensor) -> Tensor:
        return F.normalize((tokens * weight).sum((0, 1, 3, 4)) / weight.sum().clamp_min(1e-6), dim=0)

    @torch.no_grad()
    def _tokens(self, clips: ClipBatch) -> Tensor:
        """(N, T, c, h16, w16): stride 16 beside upsampled stride 32, each of unit length."""
        pyramid: Pyramid
        if clips.features is not None:
            pyramid = clips.features.map(Tensor.float)
        else:
            assert clips.frames is not None
            pyramid = self.network.trunk.image(clips.frames)
        n = len(clips)
        coarse = F.interpolate(
            rearrange(pyramid.f32, "n t c h w -> (n t) c h w"), pyramid.f16.shape[-2:], mode="bilinear"
        )
        parts = (pyramid.f16, rearrange(coarse, "(n t) c h w -> n t c h w", n=n))
        return F.normalize(torch.cat([F.normalize(part, dim=2) for part in parts], dim=2), dim=2)

    @torch.no_grad()
    def predict(self, query: ClipBatch) -> Tensor:
        """N query clips -> mask probabilities (N, T, H, W) at the padded picture size."""
        tokens = self._tokens(query)
        margin = torch.einsum("ntchw,c->nthw", tokens, self.foreground - self.background)
        logits = F.interpolate(SHARPNESS * margin, size=query.masks.shape[-2:], mode="bilinear", align_corners=False)
        return logits.sigmoid() * query.valid[:, None]
