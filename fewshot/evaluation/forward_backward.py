"""Training-free matching there and back: a query token counts if its best match in the support leads back near to it.

Tokens that look alike then vote together as one region, in the spirit of INSID3, a training-free in-context segmenter.
Nothing is trained, and no sentence is read. n query tokens of a frame, m support tokens, c channels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from episodes.types import Support
from fewshot.evaluation.nearest import centred, mean_of_pictures, mean_token, shots_of
from fewshot.evaluation.tokens import ClipByClip
from models.trunk import Trunk

REGIONS = 25  # of a frame
NEAR = 5.0  # tokens: how far from where it began a match may come back
SHARPNESS = 8.0  # of a region's log-odds; its mask (more than half of the votes) does not depend on it


class ForwardBackwardPredictor(ClipByClip):
    """A region of the query is foreground if most of its tokens that match there and back match the object."""

    @torch.no_grad()
    def __init__(self, trunk: Trunk, support: Support) -> None:
        self.trunk = trunk
        shots = shots_of(trunk, support)
        self.centre = mean_token(shots)
        self.tokens = torch.cat([shot.tokens.flatten(0, 1) for shot in shots])
        self.foreground = torch.cat([shot.foreground.flatten() for shot in shots])
        self.visible = self.foreground + torch.cat([shot.background.flatten() for shot in shots]) > 0.5

    def _clip(self, tokens: Tensor, visible: Tensor) -> Tensor:
        centre = (self.centre + mean_of_pictures(tokens, visible.flatten())) / 2
        support = centred(self.tokens[self.visible], centre)
        of_object = self.foreground[self.visible] > 0.5
        places = torch.cartesian_prod(*(torch.arange(side) for side in visible.shape)).to(tokens)
        seen = visible.flatten() > 0.5
        answers = tokens.new_full(tokens.shape[:2], -SHARPNESS)
        for answer, frame in zip(answers, centred(tokens, centre), strict=True):
            votes = there_and_back(frame[seen], support, of_object, places[seen])
            answer[seen] = SHARPNESS * shared_votes(votes, regions(frame[seen]))
        return answers


def there_and_back(query: Tensor, support: Tensor, of_object: Tensor, places: Tensor) -> Tensor:
    """Votes (n,) of query tokens (n, c), unit vectors at places (n, 2), on support tokens (m, c), of_object (m,) bool.

    1 where the best match is object and leads back near, -1 where it is surroundings and does, else 0.
    """
    similarity = query @ support.T
    there = similarity.argmax(dim=1)
    back = similarity.argmax(dim=0)[there]
    near = (places - places[back]).norm(dim=1) <= NEAR
    return torch.where(of_object[there], 1.0, -1.0) * near


def regions(tokens: Tensor) -> NDArray[np.int32]:
    """(n, c) unit vectors -> (n,) region of each: at most REGIONS, merged by least variance (Ward)."""
    if len(tokens) < 2:
        return np.ones(len(tokens), np.int32)
    merged = linkage(tokens.cpu().double().numpy(), method="ward")
    region: NDArray[np.int32] = fcluster(merged, REGIONS, criterion="maxclust")
    return region


def shared_votes(votes: Tensor, region: NDArray[np.int32]) -> Tensor:
    """(n,) in [-1, 1]: the mean of those votes of a token's region that are not 0; -1 where there are none."""
    owner = torch.from_numpy(region.astype(np.int64)).to(votes.device)
    count = int(owner.max()) + 1
    total = votes.new_zeros(count).index_add(0, owner, votes)
    given = votes.new_zeros(count).index_add(0, owner, votes.abs())
    return torch.where(given > 0, total / given.clamp_min(1), -1.0)[owner]
