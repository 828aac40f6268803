"""Positions of pixels, words and frames. Letters: N pictures, B sentences, L words, C channels."""

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0
EPSILON = 1e-6


def sine_encode(values: Tensor, channels: int) -> Tensor:
    """Sine on even, cosine on odd channels of numbers that are angles: (...) -> (..., channels)."""
    channel = torch.arange(channels, device=values.device)
    frequency = TEMPERATURE ** (2 * (channel // 2) / channels)
    angle = values[..., None] / frequency
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos())


def sine_2d(valid: Tensor, channels: int) -> Tensor:
    """Positions of pixel centres, normalised by the extent of the valid part.

    valid: (N, h, w) bool, False in padding -> (N, channels, h, w), channels even: the first half is y, the second x.
    """
    y, x = (share * (2 * math.pi) for share in _shares(valid))
    encoded = torch.cat([sine_encode(y, channels // 2), sine_encode(x, channels // 2)], dim=-1)
    return encoded.permute(0, 3, 1, 2).contiguous()


def coordinates(valid: Tensor) -> Tensor:
    """Pixel centres as plain numbers: x and y in [-1, 1] over the valid part; padding has the numbers of its border.

    valid: (N, h, w) bool, False in padding -> (N, 2, h, w).
    """
    y, x = _shares(valid)
    return 2 * torch.stack([x, y], dim=1) - 1


def _shares(valid: Tensor) -> tuple[Tensor, Tensor]:
    """How far down and how far right pixel centres are, (N, h, w) each: shares of the valid part's extent."""
    y, x = valid.cumsum(1, dtype=torch.float32), valid.cumsum(2, dtype=torch.float32)
    return (y - 0.5) / (y[:, -1:, :] + EPSILON), (x - 0.5) / (x[:, :, -1:] + EPSILON)


def sine_1d(valid: Tensor, channels: int) -> Tensor:
    """Positions of words, counted from 1 and normalised by the number of valid words.

    valid: (B, L) bool, False in padding -> (B, L, channels).
    """
    position = valid.cumsum(1, dtype=torch.float32)
    return sine_encode(position / (position[:, -1:] + EPSILON) * (2 * math.pi), channels)


def sine_time(times: Tensor, channels: int) -> Tensor:
    """Positions of frames (ours): times (N, T), each frame's place in its video in [0, 1] -> (N, T, channels)."""
    return sine_encode(times * (2 * math.pi), channels)
