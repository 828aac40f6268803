"""How far the answer follows what was learned, and how far the training-free matcher that it started from (ours).

Four numbers that mean the same for any pictures. Where these are unlike those of the training, adapting the four alone
(`learner.scope: matching.trust`) takes back what does not hold there. On pictures like those of the training it costs
more than it brings: `familiar_loss` tells the two apart (experiments/LOG.md).
"""

import torch
from torch import Tensor, nn


class Trust(nn.Module):
    """Scale and bias of the evidence for the class; factors of the learned change of the embedding (`change`) and of
    what the mask heads add to the evidence (`added`). Both factors 0: the training-free matcher.

    familiar_loss: twice what 95 % of the training's support clips have as loss at most; infinite until it is measured.
    """

    familiar_loss: Tensor

    def __init__(self, *, adds: bool) -> None:
        """adds: whether a mask head adds to the evidence; the published queries alone do not."""
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.tensor(0.0))
        self.change = nn.Parameter(torch.tensor(1.0))
        self.added = nn.Parameter(torch.tensor(1.0)) if adds else None
        self.register_buffer("familiar_loss", torch.tensor(torch.inf))

    def evidence(self, log_odds: Tensor) -> Tensor:
        """Of any shape."""
        return self.scale * log_odds + self.bias
