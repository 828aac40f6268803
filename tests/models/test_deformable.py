"""Deformable attention and its encoder."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.deformable import DeformableAttention, DeformableEncoder, flatten_levels, split_levels, valid_ratios
from models.positions import sine_2d

SIZES = [(4, 6), (2, 3)]


def _levels(channels: int = 16, frames: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(frames, channels, *size, generator=generator) for size in SIZES]


ENCODER = {"heads": 2, "levels": 2, "points": 3, "ffn": 32, "dropout": 0.0}


def _all_valid(levels: list[Tensor]) -> list[Tensor]:
    return [torch.ones(len(level), *level.shape[-2:], dtype=torch.bool) for level in levels]


def _random_attention(points: int = 3) -> DeformableAttention:
    attention = DeformableAttention(16, heads=2, levels=2, points=points)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return attention


def _plain_attention(
    attention: DeformableAttention, queries: Tensor, references: Tensor, levels: list[Tensor]
) -> Tensor:
    """The same sum, point by point: for each token, head, level and point, one bilinear reading."""
    n, a, c = queries.shape
    heads, points = attention.heads, attention.points
    offsets = attention.sampling_offsets(queries).view(n, a, heads, 2, points, 2)
    weights = attention.attention_weights(queries).view(n, a, heads, -1).softmax(-1).view(n, a, heads, 2, points)
    read = torch.zeros(n, a, heads, c // heads)
    for level, feature in enumerate(levels):
        h, w = SIZES[level]
        values = attention.value_proj(feature.flatten(2).transpose(1, 2)).transpose(1, 2).view(n, heads, -1, h, w)
        for head in range(heads):
            for point in range(points):
                shift = offsets[:, :, head, level, point]
                if references.shape[-1] == 2:
                    place = references[:, :, level] + shift / torch.tensor([w, h])
                else:
                    place = references[:, :, level, :2] + shift / points * references[:, :, level, 2:] / 2
                found = F.grid_sample(values[:, head], (2 * place - 1)[:, :, None], align_corners=False)[..., 0]
                read[:, :, head] += weights[:, :, head, level, point, None] * found.transpose(1, 2)
    return attention.output_proj(read.flatten(2))


@pytest.mark.parametrize("numbers", [2, 4])
def test_attention_equals_the_sum_written_point_by_point(numbers: int) -> None:
    attention, levels = _random_attention(), _levels()
    generator = torch.Generator().manual_seed(2)
    queries = torch.randn(2, 5, 16, generator=generator)
    references = torch.rand(2, 5, 2, numbers, generator=generator)

    found = attention(queries, references, flatten_levels(levels), torch.ones(2, 30, dtype=torch.bool), SIZES)

    assert torch.allclose(found, _plain_attention(attention, queries, references, levels), atol=1e-5)


def test_what_lies_in_padding_is_never_read() -> None:
    attention, levels = _random_attention(), _levels()
    valid = _all_valid(levels)
    valid[0][:, :, 4:] = False
    queries, references = torch.randn(2, 5, 16), torch.rand(2, 5, 2, 2)
    flat = torch.cat([level.flatten(1) for level in valid], dim=1)
    changed = [level.clone() for level in levels]
    changed[0][..., 4:] += 100

    found = [attention(queries, references, flatten_levels(x), flat, SIZES) for x in (levels, changed)]

    assert torch.equal(*found)


def test_levels_survive_flattening() -> None:
    levels = _levels()

    for before, after in zip(levels, split_levels(flatten_levels(levels), SIZES), strict=True):
        assert torch.equal(before, after)


def test_valid_ratios_are_width_before_height() -> None:
    valid = torch.zeros(1, 4, 8, dtype=torch.bool)
    valid[:, :3, :2] = True

    assert valid_ratios([valid]).tolist() == [[[0.25, 0.75]]]


def test_an_encoder_without_layers_returns_its_features_and_has_no_parameters() -> None:
    encoder, levels = DeformableEncoder(16, **ENCODER, layers=0), _levels()

    memories = encoder(levels, levels, _all_valid(levels))

    assert all(memory is level for memory, level in zip(memories, levels, strict=True))
    assert not list(encoder.parameters())


def test_the_encoder_treats_frames_alone_and_every_parameter_gets_a_gradient() -> None:
    encoder, levels = DeformableEncoder(16, **ENCODER, layers=2), _levels()
    valid = _all_valid(levels)
    positions = [sine_2d(level, 16) for level in valid]

    together = encoder(levels, positions, valid)
    alone = encoder([x[1:] for x in levels], [x[1:] for x in positions], [x[1:] for x in valid])
    sum(memory.square().sum() for memory in together).backward()

    for memory, single in zip(together, alone, strict=True):
        assert torch.allclose(memory[1:], single, atol=1e-6)
    assert all(parameter.grad is not None for parameter in encoder.parameters())
