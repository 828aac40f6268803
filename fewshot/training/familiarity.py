"""What a trained network knows of the pictures that it was trained on: when a support set is unlike any of them."""

import torch

from episodes.mixture import Mixture
from episodes.types import Episode, Truth
from fewshot.learners.inner_loss import EncodedClips
from models.network import FewShotRVOS

MEASURED_EPISODES = 64


@torch.no_grad()
def measure_familiar(network: FewShotRVOS, dataset: Mixture[Episode], device: torch.device) -> None:
    """Set `Trust.familiar`, if the network has one: the largest loss on the first support clip of the first episodes.

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
    network.head.matching.trust.familiar.fill_(max(losses))
    network.train(was_training)
