"""Reptile: meta-training moves the weights towards those that adaptation ends with."""

from itertools import islice

import torch
from torch import nn

from episodes.types import Episode
from fewshot.learners.adaptation import Finetune, InnerLoop, adaptable, with_weights, without_dropout
from fewshot.learners.inner_loss import mean_losses, one_by_one
from models.network import FewShotRVOS


class Reptile(Finetune):
    """Plain gradient descent on the support, in training and at test time. Training leaves as gradient

        (initial - adapted) / (learning_rate * train_steps),

    the mean of the inner gradients. Weights outside the scope are not trained: nothing says where they should go. The
    query is scored for the log, and teaches nothing.
    """

    def __init__(self, network: FewShotRVOS, *, inner: InnerLoop, train_steps: int) -> None:
        super().__init__(network, inner=inner, optimizer="sgd")
        self.train_steps = train_steps

    def trained(self) -> nn.Module:
        return self.network.head.scope(self.inner.scope)

    @torch.no_grad()
    def backward(self, episode: Episode, scale: float = 1.0) -> dict[str, float]:
        head = self.network.head
        share = scale / len(episode.specs) / (self.inner.learning_rate * self.train_steps)
        losses = []
        with without_dropout(head):
            for support, query in one_by_one(self.network, episode):
                adapted = next(islice(self.descend(support), self.train_steps, None))
                for name, initial in adaptable(head, self.inner.scope).items():
                    gradient = share * (initial - adapted[name])
                    initial.grad = gradient if initial.grad is None else initial.grad + gradient
                losses.append(query.losses(with_weights(head, adapted), support))
        return mean_losses(losses)
