"""Position de-bias: what a ViT's features say about the place alone, found on pictures of noise and projected out.

Features of a ViT carry a part that depends on where a patch lies and not on what it shows. Matched between pictures, it
makes whatever lies at the object's old place look like the object. On noise nothing but the place is the same
from picture to picture, so the part that two sets of noise pictures agree on is it.
(After INSID3, which estimates such a subspace on one noise picture.)

Letters: P pictures, h w grid of patches, c channels, r directions.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

NOISE_PICTURES = 32  # half of them in each of two means: a sixteenth of the variance of noise is left
MOST_DIRECTIONS = 1 / 8  # of the channels, or too much of the content could go with the place


def noise_pictures(size: tuple[int, int]) -> Tensor:
    """(NOISE_PICTURES, 3, *size) normalised pixels: independent, of mean 0 and variance 1, the same in every call."""
    values = np.random.default_rng([0, *size]).standard_normal((NOISE_PICTURES, 3, *size), dtype=np.float32)
    return torch.from_numpy(values)


def position_directions(features: Tensor) -> Tensor:
    """features (P, c, h, w) of P noise pictures -> (c, r) orthonormal directions in which they depend on the place.

    Both halves of the pictures have a mean feature at every place. Their covariance over places, from one half to
    the other, holds the place alone: the noise of two halves is independent, so its eigenvalues lie
    evenly around zero. Directions count whose eigenvalue is larger than any that lies below zero. r may be 0.
    """
    c = features.shape[1]
    first, second = (half.mean(0).flatten(1) for half in features.double().chunk(2))  # (c, h w)
    first, second = (half - half.mean(1, keepdim=True) for half in (first, second))
    shared = first @ second.T
    values, vectors = torch.linalg.eigh(shared + shared.T)  # ascending
    count = min(int((values > -values[0].clamp(max=0)).sum()), int(c * MOST_DIRECTIONS))
    return vectors[:, c - count :].to(features.dtype)


class PositionBias:
    """Removes the place from the features of one encoder. Directions are found once for each picture size."""

    def __init__(self, encode: Callable[[Tensor], list[Tensor]]) -> None:
        """encode: normalised pixels (P, 3, H, W) -> maps (P, c, h, w) of several depths."""
        self.encode = encode
        self._directions: dict[tuple[int, int], list[Tensor]] = {}

    def remove(self, maps: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """The maps (P, c, h, w) of pictures of `size` = (H, W), each without its part along its directions."""
        directions = [found.to(maps[0]) for found in self.directions(size, maps[0].device)]
        return [
            features - torch.einsum("cr,dr,pdhw->pchw", basis, basis, features)
            for features, basis in zip(maps, directions, strict=True)
        ]

    def forget(self) -> None:
        """The encoder has other weights: its directions are found again."""
        self._directions.clear()

    @torch.no_grad()
    def directions(self, size: tuple[int, int], device: torch.device) -> list[Tensor]:
        """(c, r) for each of the encoder's maps, of pictures of `size`."""
        if size not in self._directions:
            maps = self.encode(noise_pictures(size).to(device))
            self._directions[size] = [position_directions(features).cpu() for features in maps]
        return self._directions[size]
