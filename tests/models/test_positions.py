"""Sine positions."""

import math

import pytest
import torch

from models.positions import coordinates, sine_1d, sine_2d, sine_time


def test_the_first_half_of_the_channels_changes_with_y_only_and_the_second_with_x_only() -> None:
    y, x = sine_2d(torch.ones(1, 5, 7, dtype=torch.bool), 16)[0].split(8)

    assert torch.equal(y, y[:, :, :1].expand_as(y))
    assert torch.equal(x, x[:, :1].expand_as(x))


def test_padding_does_not_move_the_positions_of_valid_pixels() -> None:
    alone = sine_2d(torch.ones(1, 4, 6, dtype=torch.bool), 16)
    valid = torch.zeros(1, 8, 8, dtype=torch.bool)
    valid[:, :4, :6] = True

    assert torch.equal(sine_2d(valid, 16)[:, :, :4, :6], alone)


def test_pixel_centres_lie_between_zero_and_a_full_turn() -> None:
    place = sine_2d(torch.ones(1, 1, 4, dtype=torch.bool), 4)[0, 2, 0]  # slowest sine of x

    expected = torch.tensor([math.sin(2 * math.pi * (i + 0.5) / 4) for i in range(4)])
    assert torch.allclose(place, expected, atol=1e-5)


def test_words_are_counted_from_one_and_padding_does_not_move_them() -> None:
    alone = sine_1d(torch.ones(1, 3, dtype=torch.bool), 8)
    padded = sine_1d(torch.tensor([[True, True, True, False]]), 8)

    assert torch.equal(padded[:, :3], alone)
    assert alone[0, 0, 0] == pytest.approx(math.sin(2 * math.pi / 3), abs=1e-5)


def test_times_of_a_video_have_different_positions() -> None:
    encoded = sine_time(torch.linspace(0, 1, 9)[None], 16)[0]

    distances = torch.cdist(encoded, encoded) + 10 * torch.eye(9)
    assert distances.min() > 0.1


def test_coordinates_run_from_one_border_of_the_valid_part_to_the_other() -> None:
    whole = torch.ones(1, 4, 8, dtype=torch.bool)
    part = whole.clone()
    part[..., 4:] = False

    x, y = coordinates(whole)[0]
    torch.testing.assert_close(x[0, [0, -1]], torch.tensor([-0.875, 0.875]), atol=1e-5, rtol=0)
    torch.testing.assert_close(y[[0, -1], 0], torch.tensor([-0.75, 0.75]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        coordinates(part)[0, 0, 0, :4], torch.tensor([-0.75, -0.25, 0.25, 0.75]), atol=1e-5, rtol=0
    )
