"""The support set as input alone: one forward pass, no gradient step."""

from __future__ import annotations

import torch

from episodes.types import ClipBatch
from fewshot.learners.base import Learner, Predictor


class Conditioning(Learner):
    """What the paper does at test time."""

    @torch.no_grad()
    def adapt(self, support: ClipBatch) -> Predictor:
        self.network.eval()
        encoded = self.network.trunk(support)
        return Predictor(self.network, self.network.head, encoded, self.chunk_frames, self.trajectory)
