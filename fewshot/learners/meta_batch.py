"""A training batch taken apart: gradient meta-learners adapt to each of its episodes on its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from episodes.types import ClipBatch, Episode
from fewshot.learners.inner_loss import HeadCall, SupportTask
from models.network import Encoded, FewShotRVOS
from models.objective import objective


@dataclass(frozen=True)
class MetaTask:
    """One episode: its support as a task to adapt to, and its query, on which the adapted head is judged."""

    support: SupportTask
    query: ClipBatch
    encoded_query: Encoded

    def query_losses(self, head: HeadCall) -> dict[str, Tensor]:
        """The outer objective, all shots serving as memory: terms and `total`. Base classes have all their masks."""
        prediction = head(self.support.encoded, self.encoded_query, len(self.support.clips))
        return objective(prediction, self.query, self.support.config)


def meta_tasks(network: FewShotRVOS, batch: Episode) -> Iterator[MetaTask]:
    """The B episodes of a batch one by one; the trunk runs once for all of them."""
    support, query = network.trunk(batch.support), network.trunk(batch.query)
    config, shots = network.config.loss, batch.shots
    for number in range(len(batch.specs)):
        own = list(range(number * shots, (number + 1) * shots))
        task = SupportTask(batch.support.select(own), support.select(own), config)
        yield MetaTask(task, batch.query.select([number]), query.select([number]))


def mean_losses(episodes: list[dict[str, Tensor]]) -> dict[str, float]:
    """Each loss averaged over the episodes, for the log."""
    return {name: sum(float(losses[name].detach()) for losses in episodes) / len(episodes) for name in episodes[0]}
