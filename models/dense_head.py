"""Dense mask logits, and how the priors enter the features (both ours: they learn faster than queries)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def evidence_count(priors: int) -> int:
    """Channels that `evidence` makes of so many priors."""
    return 2 * (priors + (priors > 1))


def log_odds(priors: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
    """Log-odds (B, T, h, w) of each prior -> (B T, 1, *size) of each; with several, that of all of them together comes
    first (product of probabilities)."""
    maps = [
        F.interpolate(rearrange(p, "b t h w -> (b t) 1 h w"), size=size, mode="bilinear", align_corners=False)
        for p in priors
    ]
    if len(maps) > 1:
        together = torch.stack([F.logsigmoid(logits) for logits in maps]).sum(0).clamp(-30.0, -1e-4)
        maps.insert(0, together - torch.log(-torch.expm1(together)))
    return maps


def evidence(priors: list[Tensor], size: tuple[int, int]) -> Tensor:
    """The same -> (B T, evidence_count, *size): probability and squashed log-odds of each of `log_odds`."""
    maps = log_odds(priors, size)
    return torch.cat([channel for logits in maps for channel in (logits.sigmoid(), torch.tanh(logits / 4.0))], dim=1)


def bounded(x: Tensor, bound: float | None) -> Tensor:
    """x, smoothly kept within -bound and bound; as it is where there is no bound."""
    return x if bound is None else bound * torch.tanh(x / bound)


class PriorGate(nn.Module):
    """Adds to a feature what a 1 x 1 convolution makes of the priors and of the feature gated by them."""

    def __init__(self, hidden: int, priors: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(hidden + evidence_count(priors), hidden, 1)

    def forward(self, feature: Tensor, priors: list[Tensor]) -> Tensor:
        """feature (B, T, C, h, w), priors (B, T, h16, w16) log-odds each -> (B, T, C, h, w)."""
        b = feature.shape[0]
        flat = rearrange(feature, "b t c h w -> (b t) c h w")
        channels = evidence(priors, (flat.shape[-2], flat.shape[-1]))
        mixed = self.mix(torch.cat([flat * channels[:, :1], channels], dim=1))
        return rearrange(flat + mixed, "(b t) c h w -> b t c h w", b=b)


class DenseMaskHead(nn.Module):
    """Mask features at stride 4 and the priors -> one map of logits.

    With priors it starts as the first of them, or as all of them `together` (of the class and as described), and learns
    what to add: at most `bound`, where there is one.
    """

    def __init__(self, mask_dim: int, priors: int, bound: float | None = None, together: bool = False) -> None:
        super().__init__()
        self.bound = bound
        self.together = together
        self.layers = nn.Sequential(
            nn.Conv2d(mask_dim + evidence_count(priors), mask_dim, 3, padding=1), nn.ReLU(), nn.Conv2d(mask_dim, 1, 1)
        )
        for parameter in self.layers[-1].parameters() if priors else ():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, priors: list[Tensor], trust: Tensor | None = None) -> Tensor:
        """features (B T, c, h, w), priors (B, T, h16, w16) log-odds each -> (B T, h, w).

        trust: a scalar, the factor of what is added to the start.
        """
        if not priors:
            return self.layers(features)[:, 0]
        size = (features.shape[-2], features.shape[-1])
        added = bounded(self.layers(torch.cat([features, evidence(priors, size)], dim=1)), self.bound)
        start = log_odds(priors if self.together else priors[:1], size)[0]
        return (start + (added if trust is None else trust * added))[:, 0]
