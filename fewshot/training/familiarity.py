"""What a trained network knows of the pictures that it was trained on: which support sets are unlike them."""

import torch

from episodes.mixture import Mixture
from episodes.types import Episode, Truth
from fewshot.learners.inner_loss import EncodedClips
from models.network import FewShotRVOS

MEASURED_EPISODES = 64
FAMILIAR = 0.95  # share of them; the worst has a loss like that of another world (experiments/LOG.md)


@torch.no_grad()
def measure_familiar(network: FewShotRVOS, dataset: Mixture[Episode], device: torch.device) -> None:
    """Set `Trust.familiar`, if the network has one: the loss that the first support clips of nearly all of the first
    episodes stay below.

    dataset: support clips of at least two frames, since the odd frames are segmented with the even ones as support.
    """
    if network.head.matching is None:
        return
    was_training = network.training
    network.eval()
    losses = []
    for index in range(MEASURED_EPISODES):
        shown = dataset[index].to(device).support.select([0])
        clip = EncodedClips(network.trunk(shown.clips), Truth(shown.masks), network.config.loss)
        losses.append(clip.loss_within_clips(network.head))
    network.head.matching.trust.familiar.fill_(torch.tensor(losses).quantile(FAMILIAR))
    network.train(was_training)
