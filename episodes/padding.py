"""Padding: pictures of one batch are padded, right and bottom, to one size in multiples of the trunk's coarsest stride.

Padding changes no result: what was padded to the size of a larger picture is cut off again before a network reads it.
N clips, H W picture size.
"""

import torch
from torch import Tensor

GRID = 32  # pixels, the trunk's coarsest stride


def padded_size(height: int, width: int, multiple: int = GRID) -> tuple[int, int]:
    """(height, width) rounded up to multiples of `multiple` pixels."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., H, W) -> (..., *size): zeros (False) to the right and at the bottom."""
    height, width = tensor.shape[-2:]
    if (height, width) == size:
        return tensor
    padded = tensor.new_zeros((*tensor.shape[:-2], *size))
    padded[..., :height, :width] = tensor
    return padded


def trim(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """The first rows and columns of (..., H, W): the inverse of `pad`."""
    return tensor[..., : size[0], : size[1]]


def valid_area(size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """(*padded) bool: True inside the picture of `size`, False in the padding."""
    return pad(torch.ones(size, dtype=torch.bool), padded)


def is_tight(valid: Tensor) -> bool:
    """valid (N, H, W) bool -> True where no picture has more padding than it would have alone."""
    return set(_padded_sizes(valid)) == {(valid.shape[-2], valid.shape[-1])}


def trimmed_size(valid: Tensor) -> tuple[int, int]:
    """valid (N, H, W) bool -> the smallest padded size that holds the pictures of all N clips."""
    heights, widths = zip(*_padded_sizes(valid), strict=True)
    return max(heights), max(widths)


def size_groups(valid: Tensor) -> list[list[int]]:
    """valid (N, H, W) bool -> positions of the clips, those of one padded size together, by first occurrence."""
    groups: dict[tuple[int, int], list[int]] = {}
    for clip, size in enumerate(_padded_sizes(valid)):
        groups.setdefault(size, []).append(clip)
    return list(groups.values())


def _padded_sizes(valid: Tensor) -> list[tuple[int, int]]:
    """The padded size that each clip has alone."""
    heights, widths = (valid.any(dim=axis).sum(dim=1).tolist() for axis in (2, 1))
    return [padded_size(height, width) for height, width in zip(heights, widths, strict=True)]
