"""The support set of one episode as a task of its own: the loss that adaptation descends. K shots of S frames.

A training batch is taken apart into such tasks: gradient meta-learners adapt to each of its episodes on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from episodes.padding import trim
from episodes.types import Episode, Truth
from models.config import LossConfig
from models.head import Prediction
from models.network import FewShotRVOS
from models.objective import objective
from models.trunk import Encoded

# Support clips, their masks, query clips -> prediction for the queries; a head, or one whose weights are replaced.
HeadCall = Callable[[Encoded, Tensor, Encoded], Prediction]


@dataclass(frozen=True)
class SupportTask:
    """Support clips as the trunk sees them, and their masks (K, S, H, W) bool."""

    encoded: Encoded
    masks: Tensor
    config: LossConfig

    def select(self, clips: list[int]) -> SupportTask:
        """The clips with these positions, with no more padding than the largest of them needs."""
        chosen = self.encoded.select(clips)
        return SupportTask(chosen, trim(self.masks[clips], chosen.size), self.config)

    def take_frames(self, frames: list[int]) -> SupportTask:
        """The frames at these positions of every clip."""
        return SupportTask(self.encoded.take_frames(frames), self.masks[:, frames], self.config)

    def loss(self, head: HeadCall, step: int) -> Tensor:
        """The loss of gradient step `step` (from 0).

        With K > 1 each step leaves one shot out, in turn: the others are its support, it is the query. The even frames
        of a single shot segment its odd frames, since a clip that matches itself teaches nothing.
        """
        shots, frames = self.masks.shape[:2]
        if shots > 1:
            left_out = step % shots
            others = [shot for shot in range(shots) if shot != left_out]
            return asked_loss(head, self.select(others), self.select([left_out]))
        odd = list(range(1, frames, 2)) or [0]
        return asked_loss(head, self.take_frames(list(range(0, frames, 2))), self.take_frames(odd))

    def hold_out(self) -> tuple[SupportTask, SupportTask]:
        """(what adaptation may use, what it never sees): the last shot, or the last frame of a single shot.

        ValueError if there is one frame in all (the config refuses that first).
        """
        shots, frames = self.masks.shape[:2]
        if shots > 1:
            return self.select(list(range(shots - 1))), self.select([shots - 1])
        if frames < 2:
            raise ValueError("a support set of one frame has nothing to hold out")
        return self.take_frames(list(range(frames - 1))), self.take_frames([frames - 1])


def asked_loss(head: HeadCall, known: SupportTask, asked: SupportTask) -> Tensor:
    """Loss on the clip of `asked` with the clips of `known` as support.

    The losses that need the masks of every object of the class are left out: a support clip has the mask of one.
    """
    prediction = head(known.encoded, known.masks, asked.encoded)
    return objective(prediction, Truth(asked.masks), asked.encoded.valid, asked.config)["total"]


@dataclass(frozen=True)
class MetaTask:
    """One episode: its support as a task to adapt to, its query, and the truth by which the adapted head is judged."""

    support: SupportTask
    query: Encoded
    truth: Truth

    def query_losses(self, head: HeadCall) -> dict[str, Tensor]:
        """The outer objective, all shots serving as memory: terms and `total`. Base classes have all their masks."""
        prediction = head(self.support.encoded, self.support.masks, self.query)
        return objective(prediction, self.truth, self.query.valid, self.support.config)


def meta_tasks(network: FewShotRVOS, batch: Episode) -> Iterator[MetaTask]:
    """The B episodes of a batch one by one; the trunk runs once for all of them."""
    query = network.trunk(batch.query)
    support = SupportTask(network.trunk(batch.support.clips), batch.support.masks, network.config.loss)
    shots = batch.shots
    for number in range(len(batch.specs)):
        own = query.select([number])
        task = support.select(list(range(number * shots, (number + 1) * shots)))
        yield MetaTask(task, own, batch.truth.select([number], own.size))


def mean_losses(episodes: list[dict[str, Tensor]]) -> dict[str, float]:
    """Each loss averaged over the episodes, for the log."""
    return {name: sum(float(losses[name].detach()) for losses in episodes) / len(episodes) for name in episodes[0]}
