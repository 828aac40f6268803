"""Training-free nearest-neighbour matching: a query token is compared with every support token, not with their mean.

The same evidence as that of the matching affinity (`models/matching.py`), on trunk features without training.
K shots, S frames of a shot, n tokens of a frame, c channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from episodes.types import Support
from fewshot.evaluation.tokens import ClipByClip, picture_shares, trunk_tokens
from models.trunk import Trunk

# Both were chosen on pairs of photographs. A threshold from held-out frames of the support is too high: these frames
# resemble each other more than another video resembles them (experiments/LOG.md).
TEMPERATURE = 20.0  # of cosines
THRESHOLD = 1.0  # log-odds above which a token is foreground


@dataclass(frozen=True)
class Shot:
    """The tokens (S, n, c) of a support clip, of unit length, and how much of each is object (S, n) and surroundings
    (S, n), in [0, 1]."""

    tokens: Tensor
    foreground: Tensor
    background: Tensor


def shots_of(trunk: Trunk, support: Support) -> list[Shot]:
    """The tokens of each support clip, without padding to the size of a larger one."""
    shots = []
    for clip in range(len(support)):
        shown = support.select([clip])
        tokens = trunk_tokens(trunk, shown.clips)[0]
        grid = (tokens.shape[-2], tokens.shape[-1])
        coverage = F.adaptive_avg_pool2d(shown.masks[0].float(), grid).flatten(1)
        visible = picture_shares(shown.clips.valid, grid).flatten(1)
        shots.append(Shot(rearrange(tokens, "s c h w -> s (h w) c"), coverage, visible - coverage))
    return shots


def mean_token(shots: list[Shot]) -> Tensor:
    """(c,) mean of all support tokens in pictures."""
    weights = torch.cat([(shot.foreground + shot.background).flatten() for shot in shots])
    tokens = torch.cat([shot.tokens.flatten(0, 1) for shot in shots])
    return weights @ tokens / weights.sum().clamp_min(1e-6)


def mean_of_pictures(tokens: Tensor, visible: Tensor) -> Tensor:
    """(c,) mean of the tokens (T, n, c) of a clip, of which `visible` (n,) lies in the picture."""
    return torch.einsum("tnc,n->c", tokens, visible) / (len(tokens) * visible.sum())


def centred(tokens: Tensor, centre: Tensor) -> Tensor:
    """Tokens (..., c) without what all pictures share, of unit length."""
    return F.normalize(tokens - centre, dim=-1)


def evidence(tokens: Tensor, shots: list[Shot], centre: Tensor) -> Tensor:
    """tokens (n, c) -> (n,) log mean exp of similarity to a shot's object minus that to its surroundings.

    The mean over shots. A shot without a mask says that nothing is foreground; it has no vote beside a shot with one.
    """
    shown = [shot for shot in shots if shot.foreground.any()] or shots
    votes = []
    for shot in shown:
        kept = centred(shot.tokens, centre).flatten(0, 1)
        similarity = torch.exp(TEMPERATURE * (centred(tokens, centre) @ kept.T - 1.0))
        sides = torch.stack([shot.foreground.flatten(), shot.background.flatten()], dim=1)
        sides = sides / sides.sum(0, keepdim=True).clamp_min(1e-6)
        of_object, of_surroundings = torch.log(similarity @ sides + 1e-26).unbind(1)
        votes.append(of_object - of_surroundings)
    return torch.stack(votes).mean(0)


class NearestPredictor(ClipByClip):
    """Every token of the query asks every token of the support; nothing is trained, and no sentence is read."""

    @torch.no_grad()
    def __init__(self, trunk: Trunk, support: Support) -> None:
        self.trunk = trunk
        self.shots = shots_of(trunk, support)
        self.centre = mean_token(self.shots)

    def _clip(self, tokens: Tensor, visible: Tensor) -> Tensor:
        centre = (self.centre + mean_of_pictures(tokens, visible.flatten())) / 2
        return torch.stack([evidence(frame, self.shots, centre) for frame in tokens]) - THRESHOLD
