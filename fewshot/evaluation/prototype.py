"""Training-free prototype matching: masked average pooling on the frozen trunk, then cosine similarity.

The row that every trained model has to beat. It never sees a sentence.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from episodes.padding import is_tight, pad, size_groups
from episodes.types import Clips, Support
from fewshot.learners import Decoding
from models.trunk import Trunk, in_order

SHARPNESS = 20.0  # turns a difference of cosines into log-odds; the mask (odds > 1) does not depend on it


class PrototypePredictor:
    """Foreground and background prototypes of all shots; a pixel belongs to the nearer one."""

    def __init__(self, trunk: Trunk, support: Support) -> None:
        self.trunk = trunk
        sums, weights = torch.zeros(()), torch.zeros(())
        for group in size_groups(support.clips.valid):
            shown = support.select(group)
            tokens = self._tokens(shown.clips)
            grid = (tokens.shape[-2], tokens.shape[-1])
            coverage = F.adaptive_avg_pool2d(shown.masks.float(), grid)
            visible = F.adaptive_avg_pool2d(shown.clips.valid[:, None].float(), grid)
            shares = torch.stack([coverage, visible - coverage])  # foreground, background
            sums = sums + (tokens * shares[:, :, :, None]).sum((1, 2, 4, 5))
            weights = weights + shares.sum((1, 2, 3, 4))[:, None]
        self.foreground, self.background = F.normalize(sums / weights.clamp_min(1e-6), dim=-1)

    @torch.no_grad()
    def _tokens(self, clips: Clips) -> Tensor:
        """(N, T, c, h16, w16): stride 16 beside upsampled stride 32, each of unit length."""
        pyramid = self.trunk.pyramid(clips)
        n = len(clips)
        coarse = F.interpolate(
            rearrange(pyramid.f32, "n t c h w -> (n t) c h w"), pyramid.f16.shape[-2:], mode="bilinear"
        )
        parts = (pyramid.f16, rearrange(coarse, "(n t) c h w -> n t c h w", n=n))
        return F.normalize(torch.cat([F.normalize(part, dim=2) for part in parts], dim=2), dim=2)

    @torch.no_grad()
    def predict(self, query: Clips, decoding: Decoding = Decoding()) -> Tensor:  # noqa: B008, frozen
        """As `Predicts.predict`; every frame is answered on its own, so there is nothing to decode in chunks."""
        if not is_tight(query.valid):
            groups = size_groups(query.valid)
            return in_order(groups, [pad(self.predict(query.select(group)), query.size) for group in groups])
        margin = torch.einsum("ntchw,c->nthw", self._tokens(query), self.foreground - self.background)
        logits = F.interpolate(SHARPNESS * margin, size=query.size, mode="bilinear", align_corners=False)
        return logits.sigmoid() * query.valid[:, None]
