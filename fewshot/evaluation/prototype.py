"""Training-free prototype matching: masked average pooling on the frozen trunk, then cosine similarity.

The row that every trained model has to beat. It never sees a sentence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from episodes.padding import size_groups
from episodes.types import Clips, Support
from fewshot.evaluation.tokens import answers_of, picture_shares, trunk_tokens
from fewshot.learners import Decoding
from models.trunk import Trunk

SHARPNESS = 20.0  # turns a difference of cosines into log-odds; the mask (odds > 1) does not depend on it


class PrototypePredictor:
    """Foreground and background prototypes of all shots; a pixel belongs to the nearer one."""

    @torch.no_grad()
    def __init__(self, trunk: Trunk, support: Support) -> None:
        self.trunk = trunk
        sums, weights = torch.zeros(()), torch.zeros(())
        for group in size_groups(support.clips.valid):
            shown = support.select(group)
            tokens = trunk_tokens(trunk, shown.clips)
            grid = (tokens.shape[-2], tokens.shape[-1])
            coverage = F.adaptive_avg_pool2d(shown.masks.float(), grid)
            visible = picture_shares(shown.clips.valid, grid)[:, None]
            shares = torch.stack([coverage, visible - coverage])  # foreground, background
            sums = sums + (tokens * shares[:, :, :, None]).sum((1, 2, 4, 5))
            weights = weights + shares.sum((1, 2, 3, 4))[:, None]
        self.foreground, self.background = F.normalize(sums / weights.clamp_min(1e-6), dim=-1)

    @torch.no_grad()
    def predict(self, query: Clips, decoding: Decoding = Decoding()) -> Tensor:  # noqa: B008, frozen
        """As `Predicts.predict`; every frame is answered on its own, so there is nothing to decode in chunks."""
        return answers_of(self._logits, query)

    def _logits(self, query: Clips) -> Tensor:
        tokens = trunk_tokens(self.trunk, query)
        return SHARPNESS * torch.einsum("ntchw,c->nthw", tokens, self.foreground - self.background)
