"""The support set as input alone: one forward pass, no gradient step."""

import torch

from episodes.types import Support
from fewshot.learners.base import Learner
from fewshot.learners.predictor import Predictor


class Conditioning(Learner):
    """What the paper does at test time."""

    @torch.no_grad()
    def adapt(self, support: Support) -> Predictor:
        self.network.eval()
        return Predictor(self.network, self.network.head, self.network.trunk(support.clips), support.masks)
