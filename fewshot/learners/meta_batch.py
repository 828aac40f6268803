"""A training batch taken apart: gradient meta-learners adapt to each of its episodes on its own."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from episodes.types import Episode, Truth
from fewshot.learners.inner_loss import HeadCall, SupportTask
from models.network import FewShotRVOS
from models.objective import objective
from models.trunk import Encoded


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
