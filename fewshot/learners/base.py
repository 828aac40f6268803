"""The two verbs that trainer, evaluator and predictor know of a learner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from episodes.types import ClipBatch, Episode
from models.network import Encoded, FewShotRVOS, Head, SupportMemory
from models.objective import objective

Trajectory = Literal["linked", "chunk"]


class Learner(ABC):
    """Takes in a support set (`adapt`), and leaves the meta-gradient of an episode in `.grad` (`backward`)."""

    def __init__(self, network: FewShotRVOS, chunk_frames: int = 10, trajectory: Trajectory = "linked") -> None:
        self.network = network
        self.chunk_frames = chunk_frames
        self.trajectory: Trajectory = trajectory
        self.own = nn.ParameterDict()  # what meta-training learns beside the head, kept in its checkpoints

    @abstractmethod
    def adapt(self, support: ClipBatch) -> Predictor:
        """The K support clips of one episode -> what segments queries of that episode. The network stays unchanged."""

    def takes_steps(self, shots: int) -> bool:
        """False where `adapt` only remembers a support set of so many clips: its answers are those of conditioning."""
        return False

    def snapshots(self, support: ClipBatch, steps: Sequence[int]) -> Iterator[tuple[int, Predictor]]:
        """One adaptation, looked at after each of these numbers of gradient steps; nothing where none are taken."""
        return iter(())

    def backward(self, episode: Episode, scale: float = 1.0) -> dict[str, float]:
        """Adds the gradient of `scale` times the mean loss of these episodes to `.grad`; returns the loss terms.

        The mean is over the episodes of this batch. Conditioning on the support is what every learner starts from, so
        it is the default here; gradient meta-learners replace it.
        """
        prediction = self.network(episode.support, episode.query, episode.shots)
        terms = objective(prediction, episode.query, self.network.config.loss)
        (terms["total"] * scale).backward()
        return {name: float(value.detach()) for name, value in terms.items()}

    def trained(self) -> nn.Module:
        """All that meta-training may move; frozen weights of it stay as they are."""
        return nn.ModuleList([self.network.head, self.own])

    def report(self) -> dict[str, float]:
        """Numbers about the learner itself for the training's log."""
        return {}


class Predictor:
    """A head that has taken in one support set. Support and words are encoded once, whatever the query's length."""

    def __init__(
        self,
        network: FewShotRVOS,
        head: Head,
        support: Encoded,
        chunk_frames: int,
        trajectory: Trajectory = "linked",
    ) -> None:
        self.network = network
        self.head = head
        self.support = support
        self.chunk_frames = chunk_frames
        self.trajectory: Trajectory = trajectory
        self._memories: dict[tuple[int, int], SupportMemory] = {}

    def _memory(self, size: tuple[int, int]) -> SupportMemory:
        if size not in self._memories:
            self._memories[size] = self.head.remember(self.support, len(self.support.masks), size)
        return self._memories[size]

    @torch.no_grad()
    def predict(self, query: ClipBatch) -> Tensor:
        """N query clips of any length -> mask probabilities (N, T, H, W) at the padded picture size.

        Frames pass the network in chunks. A query index means the same trajectory in all chunks, so `linked` follows
        the one with the best mean score over the whole clip. Published: chosen anew in every chunk (`chunk`).
        """
        self.head.eval()
        n, t, h, w = query.masks.shape
        memory = self._memory((h, w)).expand(n)
        scores, masks = [], []
        for start in range(0, t, self.chunk_frames):
            chunk = self.network.trunk(query.take_frames(slice(start, start + self.chunk_frames)))
            score, mask = self.head.decode(chunk, memory).candidates()
            scores.append(score.float())
            masks.append(mask.float())
        if self.trajectory == "linked":
            scores, masks = [torch.cat(scores, dim=1)], [torch.cat(masks, dim=1)]
        chosen = torch.cat([_best(score, mask) for score, mask in zip(scores, masks, strict=True)], dim=1)
        logits = F.interpolate(chosen, size=(h, w), mode="bilinear", align_corners=False)
        return (logits.sigmoid() * query.valid[:, None]).float()


def _best(scores: Tensor, masks: Tensor) -> Tensor:
    """Scores (N, T, Q) and masks (N, T, Q, h, w) -> (N, T, h, w): of each clip, the query with the best mean score."""
    best = scores.mean(dim=1).argmax(dim=-1)
    return masks[torch.arange(len(best), device=best.device), :, best]
