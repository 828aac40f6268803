"""Losses on some clips whose support are others: what adaptation descends, and what meta-training judges it by.

K shots of S frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from episodes.types import Episode, Truth
from models.config import LossConfig
from models.head import Prediction
from models.network import FewShotRVOS
from models.objective import objective
from models.trunk import Encoded

# Support clips, their masks, query clips -> prediction for the queries; a head, or one whose weights are replaced.
HeadCall = Callable[[Encoded, Tensor, Encoded], Prediction]


@dataclass(frozen=True)
class EncodedClips:
    """Clips as the trunk sees them, and their truth; `config` weighs their losses."""

    encoded: Encoded
    truth: Truth
    config: LossConfig

    def select(self, clips: list[int]) -> EncodedClips:
        """The clips with these positions, with no more padding than the largest of them needs."""
        chosen = self.encoded.select(clips)
        return EncodedClips(chosen, self.truth.select(clips, chosen.size), self.config)

    def take_frames(self, frames: list[int]) -> EncodedClips:
        """The frames at these positions of every clip, and the masks of the referred objects alone."""
        return EncodedClips(self.encoded.take_frames(frames), Truth(self.truth.masks[:, frames]), self.config)

    def losses(self, head: HeadCall, support: EncodedClips) -> dict[str, Tensor]:
        """The objective on these clips with the clips of `support` as memory: terms and `total`.

        Of support clips the losses that need the masks of every object of the class are left out: they have that of
        one. The queries of base classes have them all.
        """
        prediction = head(support.encoded, support.truth.masks, self.encoded)
        return objective(prediction, self.truth, self.encoded.valid, self.config)

    def inner_loss(self, head: HeadCall, step: int) -> Tensor:
        """Of a support set: the loss of gradient step `step` (from 0).

        With K > 1 each step leaves one shot out, in turn: the others are its support, it is the query. The even frames
        of a single shot segment its odd frames, since a clip that matches itself teaches nothing.
        """
        shots, frames = self.truth.masks.shape[:2]
        if shots > 1:
            left_out = step % shots
            others = [shot for shot in range(shots) if shot != left_out]
            return self.select([left_out]).losses(head, self.select(others))["total"]
        odd = list(range(1, frames, 2)) or [0]
        return self.take_frames(odd).losses(head, self.take_frames(list(range(0, frames, 2))))["total"]

    def loss_within_clips(self, head: HeadCall) -> float:
        """How unlike what the head has learned the clips are: the loss of each alone, whose even frames segment its odd
        frames, as a mean. It can be compared between any numbers of shots."""
        shots = range(len(self.truth.masks))
        return sum(float(self.select([shot]).inner_loss(head, 0)) for shot in shots) / len(shots)

    def hold_out(self) -> tuple[EncodedClips, EncodedClips]:
        """(what adaptation may use, what it never sees): the last shot, or the last frame of a single shot.

        ValueError if there is one frame in all (the config rejects that first).
        """
        shots, frames = self.truth.masks.shape[:2]
        if shots > 1:
            return self.select(list(range(shots - 1))), self.select([shots - 1])
        if frames < 2:
            raise ValueError("a support set of one frame has nothing to hold out")
        return self.take_frames(list(range(frames - 1))), self.take_frames([frames - 1])


def one_by_one(network: FewShotRVOS, batch: Episode) -> Iterator[tuple[EncodedClips, EncodedClips]]:
    """Support and query of each of the B episodes of a batch; the trunk runs once for all of them."""
    config, shots = network.config.loss, batch.shots
    query = EncodedClips(network.trunk(batch.query), batch.truth, config)
    support = EncodedClips(network.trunk(batch.support.clips), Truth(batch.support.masks), config)
    for number in range(len(batch.specs)):
        yield support.select(list(range(number * shots, (number + 1) * shots))), query.select([number])


def mean_losses(episodes: list[dict[str, Tensor]]) -> dict[str, float]:
    """Each loss averaged over the episodes, for the log."""
    return {name: sum(float(losses[name].detach()) for losses in episodes) / len(episodes) for name in episodes[0]}
