"""What the matching affinity starts from: trunk features of the training's own pictures, and no gradient.

directions   the principal directions of the features, centred: cosines then tell contents apart instead of sharing
             one large mean
elsewhere    k means of the embedded features: what pictures show in general, so that a query pixel that is like
             neither the object nor its surroundings is not taken for the object
bias         the threshold with the best J on episodes of the training
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from models.matching import MatchingAffinity, MatchingMemory, compared

MOST_TOKENS = 2**18  # that directions and elsewhere are found in; more change little and fill the memory
K_MEANS_ROUNDS = 12  # few centres move after ten
THRESHOLDS = torch.linspace(-4.0, 4.0, 65)  # of log-odds


@dataclass
class StartEpisode:
    """One shot and a query: trunk maps as `MatchingAffinity.embeddings` takes them, and masks (1, T, H, W) bool.

    The query's are those of all objects of the class.
    """

    support: Sequence[Tensor]
    support_masks: Tensor
    query: Sequence[Tensor]
    query_masks: Tensor
    valid: Tensor  # (1, H, W) bool, of the support


@torch.no_grad()
def start(matching: MatchingAffinity, episodes: Sequence[StartEpisode]) -> None:
    """Give the affinity the values that it starts from; what learns from zero is left as it is."""
    clips = [maps for episode in episodes for maps in (episode.support, episode.query)]
    step = -(-sum(maps[0].numel() // maps[0].shape[2] for maps in clips) // MOST_TOKENS)
    tokens = torch.cat([rearrange(compared(maps), "t c h w -> (t h w) c")[::step].contiguous() for maps in clips])
    directions, offset = principal_directions(tokens, matching.directions.out_channels)
    matching.directions.weight.copy_(directions[:, :, None, None])
    assert matching.directions.bias is not None
    matching.directions.bias.copy_(offset)
    if matching.elsewhere is not None:
        matching.elsewhere.copy_(means(F.normalize(tokens @ directions.T + offset, dim=1), len(matching.elsewhere)))
    matching.trust.bias.copy_(-best_threshold(matching, episodes))


def principal_directions(tokens: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """tokens (N, c) -> directions (dim, c), the longest first, and the offset (dim) that centres what they give.

    There are c of them at most; further ones are 0.
    """
    mean = tokens.mean(0)
    centred = (tokens - mean).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(tokens))
    directions = vectors.flip(1)[:, :dim].T.to(tokens.dtype)
    # The sign of an eigenvector is a matter of the library: the largest entry is made positive.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = F.pad(directions * largest.sign(), (0, 0, 0, dim - len(directions)))
    return directions, -directions @ mean


def means(tokens: Tensor, count: int) -> Tensor:
    """Spherical k means of unit vectors tokens (N, d) -> (count, d) of length 1; starts from evenly spaced tokens."""
    centres = tokens[torch.linspace(0, len(tokens) - 1, count).long()]
    for _ in range(K_MEANS_ROUNDS):
        sums = torch.zeros_like(centres).index_add_(0, (tokens @ centres.T).argmax(1), tokens)
        empty = sums.norm(dim=1, keepdim=True) == 0
        centres = F.normalize(torch.where(empty, centres, sums), dim=1)
    return centres


def best_threshold(matching: MatchingAffinity, episodes: Sequence[StartEpisode]) -> Tensor:
    """The log-odds above which the class's objects of the queries are matched best: largest mean J, a scalar."""
    scores = []
    thresholds = THRESHOLDS.to(matching.log_temperature.device)
    for episode in episodes:
        remembered = matching.remember(matching.embeddings(episode.support), episode.support_masks, episode.valid)
        logits = matching(matching.embeddings(episode.query), MatchingMemory(*(x[None] for x in remembered)))
        truth = F.adaptive_avg_pool2d(episode.query_masks.float(), logits.shape[-2:]).flatten()
        answers = (logits.flatten() > thresholds[:, None]).float()
        overlap = (answers * truth).sum(1)
        scores.append(overlap / (answers.sum(1) + truth.sum() - overlap).clamp_min(1e-6))
    mean = torch.stack(scores).mean(0)
    return thresholds[mean >= mean.max() - 1e-6].mean()  # the middle of those that are equally good
