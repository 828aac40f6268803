"""What a new network takes from its training pictures before the first step (`models.matching_start`)."""

import torch

from episodes.mixture import Mixture
from episodes.types import Episode
from models.head import matched_maps
from models.matching_start import StartEpisode, start
from models.network import FewShotRVOS

START_EPISODES = 96


def start_matching(network: FewShotRVOS, dataset: Mixture[Episode], device: torch.device) -> None:
    """Start the matching affinity, if the network has one, from the first episodes of the training."""
    if network.head.matching is None:
        return
    episodes = []
    for index in range(START_EPISODES):
        episode = dataset[index].to(device)
        assert episode.truth.class_masks is not None
        shown = episode.support.select([0])
        episodes.append(
            StartEpisode(
                support=matched_maps(network.trunk.pyramid(shown.clips)),
                support_masks=shown.masks,
                query=matched_maps(network.trunk.pyramid(episode.query)),
                query_masks=episode.truth.class_masks,
                valid=shown.clips.valid,
            )
        )
    start(network.head.matching, episodes)
