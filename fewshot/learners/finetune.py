"""Conditioning, then a few gradient steps on the support set at test time."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch

from fewshot.learners.adaptation import AdaptingLearner, InnerLoop, Weights, optimizer_descent
from fewshot.learners.inner_loss import SupportTask
from models.network import FewShotRVOS

Rule = Literal["adam", "sgd"]
_OPTIMIZERS: dict[Rule, type[torch.optim.Adam] | type[torch.optim.SGD]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


class Finetune(AdaptingLearner):
    """Adam, or plain gradient descent, on copies of the weights; meta-training is that of conditioning."""

    def __init__(self, network: FewShotRVOS, *, inner: InnerLoop, optimizer: Rule = "adam") -> None:
        super().__init__(network, inner=inner)
        self.optimizer = optimizer

    def descend(self, task: SupportTask) -> Iterator[Weights]:
        rule = partial(_OPTIMIZERS[self.optimizer], lr=self.inner.learning_rate)
        return optimizer_descent(self.network.head, self.inner.scope, task, rule)
