"""Conditioning, then a few gradient steps on the support set at test time."""

from __future__ import annotations

import copy

import torch

from episodes.errors import ConfigError
from episodes.types import ClipBatch
from fewshot.learners.base import Learner, Predictor, Trajectory
from models.network import Encoded, FewShotRVOS, Head
from models.objective import objective


class Finetune(Learner):
    """Adam on a copy of the head; meta-training is that of conditioning.

    With K > 1 shots each step leaves one shot out: the others are its support, it is the query. With one shot its even
    frames segment its odd frames, since a clip that matches itself teaches nothing. Dropout stays off: a support set is
    small, and adaptation is to be repeatable. Losses that want the masks of every object of the class are left out: a
    support clip shows the mask of one.
    """

    def __init__(
        self,
        network: FewShotRVOS,
        chunk_frames: int = 10,
        trajectory: Trajectory = "linked",
        *,
        steps: int,
        learning_rate: float,
        scope: str,
    ) -> None:
        super().__init__(network, chunk_frames, trajectory)
        if not list(network.head.scope(scope).parameters()):  # an unknown part is refused here too
            raise ConfigError(f"learner.scope {scope!r} has no weights in this model; `head` takes all that there are")
        self.steps = steps
        self.learning_rate = learning_rate
        self.scope = scope

    def adapt(self, support: ClipBatch) -> Predictor:
        self.network.eval()
        head = copy.deepcopy(self.network.head)
        head.requires_grad_(False)
        adapted = list(head.scope(self.scope).parameters())
        for parameter in adapted:
            parameter.requires_grad_(True)
        encoded = self.network.trunk(support)
        optimizer = torch.optim.Adam(adapted, lr=self.learning_rate)
        with torch.enable_grad():
            for step in range(self.steps):
                optimizer.zero_grad(set_to_none=True)
                self._inner_loss(head, support, encoded, step).backward()
                optimizer.step()
        head.requires_grad_(False)
        return Predictor(self.network, head, encoded, self.chunk_frames, self.trajectory)

    def _inner_loss(self, head: Head, support: ClipBatch, encoded: Encoded, step: int) -> torch.Tensor:
        clips, frames = support.masks.shape[:2]
        if clips > 1:
            held_out = step % clips
            others = [clip for clip in range(clips) if clip != held_out]
            known, query, asked = encoded.select(others), encoded.select([held_out]), support.select([held_out])
            shots = clips - 1
        else:
            odd = list(range(1, frames, 2)) or [0]
            known, query = encoded.take_frames(list(range(0, frames, 2))), encoded.take_frames(odd)
            asked, shots = support.take_frames(odd), 1
        prediction = head(known, query, shots)
        return objective(prediction, asked, self.network.config.loss, class_known=False)["total"]
