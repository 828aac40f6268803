"""Velocity: the way that a pattern moves is read from features, in pictures per video."""

import pytest
import torch
from torch import Tensor

from models.word_prior import velocity

SIZE = 12  # cells on a side


def drifting(step: tuple[int, int], frames: int, size: int = SIZE) -> Tensor:
    """Features (1, T, C, h, w) of a random pattern that moves by `step` = (x, y) cells a frame, wrapping around."""
    pattern = torch.randn(1, 16, size, size, generator=torch.Generator().manual_seed(0))
    moved = [pattern.roll((step[1] * frame, step[0] * frame), dims=(-2, -1)) for frame in range(frames)]
    return torch.stack(moved, dim=1)


def inner(field: Tensor) -> Tensor:
    """Mean (x, y) of the cells that no border can reach."""
    return field[..., 5:7, 5:7].mean(dim=(0, 1, 3, 4))


@pytest.mark.parametrize("step", [(1, 0), (-1, 0), (0, 2), (0, -1), (2, -3), (0, 0)])
def test_a_pattern_that_moves_has_the_velocity_of_its_steps(step: tuple[int, int]) -> None:
    times = torch.tensor([[0.0, 0.25, 0.5]])

    found = velocity(drifting(step, 3), times)

    assert found.shape == (1, 3, 2, SIZE, SIZE)
    expected = torch.tensor(step) / 0.25 / SIZE
    torch.testing.assert_close(inner(found), expected, atol=0.02, rtol=0)


def test_velocity_is_per_time_whatever_the_distance_of_the_frames() -> None:
    near, far = drifting((1, 0), 2), drifting((3, 0), 2)

    slow = velocity(near, torch.tensor([[0.1, 0.2]]))
    same = velocity(far, torch.tensor([[0.1, 0.4]]))

    torch.testing.assert_close(inner(slow), inner(same), atol=0.02, rtol=0)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_frames_of_one_moment_have_no_velocity(frames: int) -> None:
    found = velocity(drifting((1, 1), frames), torch.full((1, frames), 0.5))

    assert torch.equal(found, torch.zeros(1, frames, 2, SIZE, SIZE))


def test_clips_do_not_change_each_other() -> None:
    clips = torch.cat([drifting((1, 0), 3), drifting((0, -2), 3)])
    times = torch.tensor([[0.0, 0.1, 0.3], [0.2, 0.6, 1.0]])

    together = velocity(clips, times)

    alone = torch.cat([velocity(clips[i : i + 1], times[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
