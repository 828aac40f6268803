"""Which support clips a trained network knows: those on which its loss is no larger than on clips of its training."""

import logging

import torch

from episodes.mixture import Mixture
from episodes.types import Episode, Truth
from fewshot.config.experiment import ExperimentConfig
from fewshot.learners.adaptation import without_dropout
from fewshot.learners.inner_loss import EncodedClips
from models.network import FewShotRVOS

log = logging.getLogger(__name__)

FAMILIAR_SHARE = 0.95  # the worst clip of a training has a loss like clips of another benchmark (experiments/LOG.md)
MARGIN = 2.0  # novel classes have larger losses than those that were trained on


def as_measured(config: ExperimentConfig) -> ExperimentConfig:
    """The experiment with episodes as they are measured: with the right names in their sentences, like the support sets
    that are adapted to, and clips of two frames or more, since the odd frames are segmented by the even ones."""
    frames = max(2, config.episodes.support_frames)
    episodes = config.episodes.model_copy(update={"shots": 1, "support_frames": frames, "name_shuffle": 0.0})
    return config.model_copy(update={"episodes": episodes})


@torch.no_grad()
def measure_familiar(network: FewShotRVOS, dataset: Mixture[Episode], count: int, device: torch.device) -> None:
    """Set `Trust.familiar_loss`, if the network has one, from the support clips of the first `count` episodes
    `as_measured`."""
    if network.head.matching is None:
        return
    losses = []
    with without_dropout(network):
        for index in range(count):
            shown = dataset[index].to(device).support
            clip = EncodedClips(network.trunk(shown.clips), Truth(shown.masks), network.config.loss)
            losses.append(clip.loss_within_clips(network.head))
    limit = MARGIN * torch.tensor(losses).quantile(FAMILIAR_SHARE)
    network.head.matching.trust.familiar_loss.fill_(limit)
    log.info("support clips with a loss of at most %.2f are familiar", limit)
