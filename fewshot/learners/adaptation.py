"""Gradient steps on the support set at test time: how many there are, and which weights answer.

A descent is an endless iterator over the weights after 0, 1, 2, ... steps, by their names in the head; learners differ
in how they take a step. Dropout stays off: a support set is small, and adaptation is to be repeatable.
"""

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from episodes.errors import ConfigError
from episodes.types import Support, Truth
from fewshot.learners.base import Learner
from fewshot.learners.inner_loss import EncodedClips, HeadCall
from fewshot.learners.predictor import Predictor
from models.head import Head
from models.network import FewShotRVOS

Weights = dict[str, Tensor]  # name of a head parameter -> its value


@dataclass(frozen=True)
class InnerLoop:
    """How a learner adapts at test time; `learning_rate` and `scope` are those of its meta-training too."""

    steps: int
    learning_rate: float
    scope: str = "head"
    early_stop: bool = False
    min_shots: int = 1
    adapt: Literal["always", "unfamiliar"] = "always"
    steps_of_one: int | None = None

    def steps_on(self, shots: int) -> int:
        return self.steps if shots > 1 or self.steps_of_one is None else self.steps_of_one


class AdaptingLearner(Learner):
    """Takes gradient steps on the weights of a scope; all K shots then serve as memory of the prediction.

    With `early_stop` a part of the support takes no part in the steps (`EncodedClips.hold_out`), and the weights with
    the lowest loss on it answer, those before the first step included: adaptation that does not help is taken back.
    A support set of fewer than `min_shots` clips is only remembered; with `adapt` "unfamiliar" so is one on which the
    unadapted weights do no worse than on clips of their training. `snapshots` takes the steps anyway.
    """

    def __init__(self, network: FewShotRVOS, *, inner: InnerLoop) -> None:
        super().__init__(network)
        self.inner = inner
        adaptable(network.head, inner.scope)  # an unknown or empty scope is rejected here

    @abstractmethod
    def descend(self, shown: EncodedClips) -> Iterator[Weights]:
        """Detached weights of the scope after 0, 1, 2, ... steps on their `inner_loss`. The network stays unchanged."""

    def takes_steps(self, support: Support) -> bool:
        return len(support) >= self.inner.min_shots and self.inner.steps_on(len(support)) > 0

    @torch.no_grad()
    def adapt(self, support: Support) -> Predictor:
        shown = self._shown(support)
        if not self.takes_steps(support) or not self._is_unfamiliar(shown):
            return self._predictor({}, shown)
        seen, held_out = self._parts(shown)
        steps = self.inner.steps_on(len(support))
        chosen, lowest = Weights(), float("inf")
        for step, weights in zip(range(steps + 1), self.descend(seen), strict=False):
            if held_out is None:
                chosen = weights
            elif step == steps or is_measured(step):
                loss = float(held_out.losses(with_weights(self.network.head, weights), seen)["total"])
                if loss < lowest:  # never true of NaN
                    chosen, lowest = weights, loss
        return self._predictor(chosen, shown)

    @torch.no_grad()
    def snapshots(self, support: Support, steps: Sequence[int]) -> Iterator[tuple[int, Predictor]]:
        shown = self._shown(support)
        seen, _ = self._parts(shown)
        for step, weights in zip(range(max(steps) + 1), self.descend(seen), strict=False):
            if step in steps:
                yield step, self._predictor(weights, shown)

    def _shown(self, support: Support) -> EncodedClips:
        self.network.eval()
        return EncodedClips(self.network.trunk(support.clips), Truth(support.masks), self.network.config.loss)

    def _is_unfamiliar(self, shown: EncodedClips) -> bool:
        """Clips of one frame do not show it, and count as familiar."""
        matching = self.network.head.matching
        if self.inner.adapt == "always" or matching is None:
            return True
        frames = shown.truth.masks.shape[1]
        return frames > 1 and not shown.loss_within_clips(self.network.head) <= float(matching.trust.familiar_loss)

    def _parts(self, shown: EncodedClips) -> tuple[EncodedClips, EncodedClips | None]:
        """The part of the support that the steps see, and the part that they do not (None without early_stop)."""
        return shown.hold_out() if self.inner.early_stop else (shown, None)

    def _predictor(self, weights: Weights, shown: EncodedClips) -> Predictor:
        head = copy.deepcopy(self.network.head).requires_grad_(False)
        for name, value in weights.items():
            head.get_parameter(name).copy_(value)
        return Predictor(self.network, head, shown.encoded, shown.truth.masks)


class Finetune(AdaptingLearner):
    """Adam, or plain gradient descent, on copies of the weights; meta-training is that of conditioning."""

    def __init__(self, network: FewShotRVOS, *, inner: InnerLoop, optimizer: Literal["adam", "sgd"] = "adam") -> None:
        super().__init__(network, inner=inner)
        self.optimizer = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD

    def descend(self, shown: EncodedClips) -> Iterator[Weights]:
        head = self.network.head
        weights = {name: p.detach().clone().requires_grad_() for name, p in adaptable(head, self.inner.scope).items()}
        changed = list(weights.values())
        rule = self.optimizer(changed, lr=self.inner.learning_rate)
        for step in count():
            yield {name: value.detach().clone() for name, value in weights.items()}
            with torch.enable_grad():
                loss = shown.inner_loss(with_weights(head, weights), step)
            # Not .backward(), which would reach the head's own weights outside the scope.
            for value, gradient in zip(changed, torch.autograd.grad(loss, changed, allow_unused=True), strict=True):
                value.grad = gradient
            rule.step()
            torch.clear_autocast_cache()  # narrow copies of what the weights were before the step


def adaptable(head: Head, scope: str) -> dict[str, nn.Parameter]:
    """The weights of the part `scope` by their names in the head, frozen ones left out. ConfigError if none is left."""
    wanted = {id(parameter) for parameter in head.scope(scope).parameters()}  # an unknown part is rejected here
    found = {name: p for name, p in head.named_parameters() if id(p) in wanted and p.requires_grad}
    if not found:
        why = "that model.freeze leaves to train" if wanted else "in this model"
        raise ConfigError(f"learner.scope {scope!r} has no weights {why}; `head` takes all that there are")
    return found


def with_weights(head: Head, weights: Weights) -> HeadCall:
    """The head as a function, with these weights instead of its own."""
    return lambda support, masks, query: functional_call(head, weights, (support, masks, query))


def is_measured(step: int) -> bool:
    """True for 0, 1, 2, 5, 10, 20, 50, 100, ...: a measurement costs about a third of a step."""
    while step and step % 10 == 0:
        step //= 10
    return step in (0, 1, 2, 5)


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Inside, the module is in eval mode; afterwards in the mode that it was in."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
