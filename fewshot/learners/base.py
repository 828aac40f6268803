"""The two verbs that trainer, evaluator and predictor know of a learner, and the learner that only conditions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from episodes.types import Episode, Support
from fewshot.learners.predictor import Predictor
from models.network import FewShotRVOS
from models.objective import objective


class Learner(ABC):
    """Takes in a support set (`adapt`), and leaves the meta-gradient of an episode in `.grad` (`backward`)."""

    def __init__(self, network: FewShotRVOS) -> None:
        self.network = network
        self.own = nn.ParameterDict()  # what meta-training learns beside the head, kept in its checkpoints

    @abstractmethod
    def adapt(self, support: Support) -> Predictor:
        """The K support clips of one episode -> what segments queries of that episode. The weights stay unchanged."""

    def takes_steps(self, support: Support) -> bool:
        """False where `adapt` only remembers this support set: its answers are those of conditioning."""
        return False

    def snapshots(self, support: Support, steps: Sequence[int]) -> Iterator[tuple[int, Predictor]]:
        """One adaptation, looked at after each of these numbers of gradient steps; nothing where none are taken."""
        return iter(())

    def backward(self, episode: Episode, scale: float = 1.0) -> dict[str, float]:
        """Adds the gradient of `scale` times the mean loss of these episodes to `.grad`; returns the loss terms.

        The query pictures of the batch have one size (`Episode.by_size`), and the mean is over its episodes.
        Conditioning on the support is what every learner starts from, so it is the default here; gradient meta-learners
        replace it.
        """
        prediction = self.network(episode.support, episode.query)
        terms = objective(prediction, episode.truth, episode.query.valid, self.network.config.loss)
        (terms["total"] * scale).backward()
        return {name: float(value.detach()) for name, value in terms.items()}

    def trained(self) -> nn.Module:
        """All that meta-training may move; frozen weights of it stay as they are."""
        return nn.ModuleList([self.network.head, self.own])

    def report(self) -> dict[str, float]:
        """Numbers about the learner itself for the training's log."""
        return {}


class Conditioning(Learner):
    """The support set as input alone: one forward pass, no gradient step. What the paper does at test time."""

    @torch.no_grad()
    def adapt(self, support: Support) -> Predictor:
        self.network.eval()
        return Predictor(self.network, self.network.head, self.network.trunk(support.clips), support.masks)
