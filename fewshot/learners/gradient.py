"""Gradient meta-learners: training descends the query's loss after adaptation to the support (MAML and Meta-SGD, on
learn2learn), or moves the weights towards those that adaptation ends with (Reptile)."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from episodes.errors import ConfigError
from episodes.types import Episode
from fewshot.learners.adaptation import (
    AdaptingLearner,
    Finetune,
    InnerLoop,
    Weights,
    adaptable,
    with_weights,
    without_dropout,
)
from fewshot.learners.inner_loss import EncodedClips, mean_losses, one_by_one
from models.head import Head, Prediction
from models.network import FewShotRVOS
from models.second_order import twice_differentiable
from models.trunk import Encoded


class AdaptedHead(nn.Module):
    """The head as learn2learn sees it: its parameters are the weights of the scope and nothing else.

    The rest of the head acts as it is, so that it gets the outer gradient; frozen weights and buffers, on which
    learn2learn stumbles, are never cloned.
    """

    def __init__(self, head: Head, scope: str) -> None:
        super().__init__()
        found = adaptable(head, scope)
        self.names = tuple(found)
        self.weights = nn.ParameterList(found.values())
        self._call = partial(functional_call, head)  # not as a submodule, whose parameters would count

    def named(self) -> Weights:
        return dict(zip(self.names, self.weights, strict=True))

    def zero(self) -> Tensor:
        """0 as a function of every weight: learn2learn asks that each has a gradient, and a model may leave some unread
        (the published queries of a single decoder layer do)."""
        return 0.0 * torch.stack([weight.sum() for weight in self.weights]).sum()

    def forward(self, support: Encoded, masks: Tensor, query: Encoded) -> Prediction:
        """As `Head.forward`."""
        prediction: Prediction = self._call(self.named(), (support, masks, query))
        return prediction


class MAML(AdaptingLearner):
    """Plain gradient steps on the support, in training and at test time, differentiated in training.

    order 2 (MAML): through the steps; order 1 (FOMAML): as if the adapted weights were the initial ones plus a
    constant. A small scope makes it ANIL: what lies outside gets the outer gradient and is not adapted.
    """

    def __init__(self, network: FewShotRVOS, *, inner: InnerLoop, train_steps: int, order: Literal[1, 2]) -> None:
        super().__init__(network, inner=inner)
        self.learn2learn = _import_learn2learn()
        self.head = AdaptedHead(network.head, inner.scope)
        self.train_steps = train_steps
        self.order = order

    def clone(self) -> Any:
        """A copy of the head for one episode, with learn2learn's `adapt(loss)`; gradients lead back to the head."""
        rate = self.inner.learning_rate
        return self.learn2learn.algorithms.MAML(self.head, lr=rate, first_order=self.order == 1).clone()

    def descend(self, shown: EncodedClips) -> Iterator[Weights]:
        with torch.enable_grad():
            clone = self.clone()
        for step in count():
            yield {name: value.detach() for name, value in clone.module.named().items()}
            with torch.enable_grad():
                clone.adapt(shown.inner_loss(clone, step) + clone.module.zero(), first_order=True)
            self.learn2learn.detach_module(clone.module, keep_requires_grad=True)  # or each step would be remembered

    def backward(self, episode: Episode, scale: float = 1.0) -> dict[str, float]:
        losses = []
        for support, query in one_by_one(self.network, episode):
            clone = self.clone()
            passes = twice_differentiable() if self.order == 2 else contextlib.nullcontext()
            with without_dropout(self.network.head), passes:
                for step in range(self.train_steps):
                    clone.adapt(support.inner_loss(clone, step) + clone.module.zero())
            terms = query.losses(clone, support)
            (terms["total"] * (scale / len(episode.specs))).backward()
            losses.append({name: value.detach() for name, value in terms.items()})
        return mean_losses(losses)


class MetaSGD(MAML):
    """MAML with a learned step size for every number in the scope.

    Kept as multiples of `learning_rate`, all 1 at first: the outer optimiser, whose steps have one length for all
    parameters, then changes them by shares of themselves. They may become negative, as published.
    """

    def __init__(self, network: FewShotRVOS, **how: Any) -> None:
        super().__init__(network, **how)
        for name, weight in self.head.named().items():
            # Flat, since the optimiser decays matrices: a step size has no reason to shrink.
            self.own[_key(name)] = nn.Parameter(torch.ones_like(weight).flatten())

    def step_sizes(self) -> Weights:
        """The step size of each number, by name and shape of the weights."""
        rate = self.inner.learning_rate
        return {name: rate * self.own[_key(name)].view_as(weight) for name, weight in self.head.named().items()}

    def clone(self) -> Any:
        sizes: list[Tensor] = list(self.step_sizes().values())
        return self.learn2learn.algorithms.MetaSGD(self.head, lrs=sizes, first_order=self.order == 1).clone()

    @torch.no_grad()
    def report(self) -> dict[str, float]:
        """Mean, smallest and largest step size of each part of the head."""
        parts: dict[str, list[Tensor]] = {}
        for name, sizes in self.step_sizes().items():
            parts.setdefault(name.split(".")[0], []).append(sizes.flatten())
        joined = {part: torch.cat(sizes) for part, sizes in parts.items()}
        return {
            f"step_size/{part}/{what}": float(value)
            for part, sizes in joined.items()
            for what, value in (("mean", sizes.mean()), ("min", sizes.min()), ("max", sizes.max()))
        }


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


def _key(name: str) -> str:
    """A parameter's name where torch allows no dots."""
    return name.replace(".", "/")


def _import_learn2learn() -> Any:
    """Only when a learner needs it: it imports gym, which prints that it is no longer maintained."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import learn2learn
    except ImportError as error:
        raise ConfigError(
            f"learner.name maml and metasgd need learn2learn, which cannot be imported ({error}). A C compiler builds "
            "it; install it with: pip install --no-deps --config-settings=--build-option=build_ext learn2learn==0.2.0 "
            "gym==0.26.2 gym-notices==0.1.0"
        ) from error
    return learn2learn
