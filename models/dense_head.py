"""Dense mask logits, and how the affinity prior enters the features (both ours; they learn faster than matched queries)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def prior_channels(prior: Tensor, size: tuple[int, int]) -> Tensor:
    """Log-odds (B, T, h, w) -> (B T, 2, *size): probability and squashed log-odds, both of order one."""
    logits = F.interpolate(
        rearrange(prior, "b t h w -> (b t) 1 h w"), size=size, mode="bilinear", align_corners=False
    )
    return torch.cat([logits.sigmoid(), torch.tanh(logits / 4.0)], dim=1)


class PriorGate(nn.Module):
    """Adds to a feature what a 1 x 1 convolution makes of the prior and of the feature gated by it."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(hidden + 2, hidden, 1)

    def forward(self, feature: Tensor, prior: Tensor) -> Tensor:
        """feature (B, T, C, h, w), prior (B, T, h16, w16) log-odds -> (B, T, C, h, w)."""
        b = feature.shape[0]
        flat = rearrange(feature, "b t c h w -> (b t) c h w")
        evidence = prior_channels(prior, (flat.shape[-2], flat.shape[-1]))
        mixed = self.mix(torch.cat([flat * evidence[:, :1], evidence], dim=1))
        return rearrange(flat + mixed, "(b t) c h w -> b t c h w", b=b)


class DenseMaskHead(nn.Module):
    """Mask features at stride 4 (and the prior) -> one map of logits."""

    def __init__(self, mask_dim: int, prior: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(mask_dim + (2 if prior else 0), mask_dim, 3, padding=1), nn.ReLU(), nn.Conv2d(mask_dim, 1, 1)
        )

    def forward(self, features: Tensor, prior: Tensor | None) -> Tensor:
        """features (B T, c, h, w), prior (B, T, h16, w16) log-odds or None -> (B T, h, w)."""
        if prior is not None:
            features = torch.cat([features, prior_channels(prior, (features.shape[-2], features.shape[-1]))], dim=1)
        return self.layers(features)[:, 0]
