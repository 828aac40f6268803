"""Torch's randomness is lent for a step and given back."""

from itertools import combinations

import pytest
import torch

from fewshot.runs.randomness import INITIAL_WEIGHTS, TRAINING_STEP, torch_randomness


def drawn(seed: int, purpose: int, step: int = 0, rank: int = 0) -> torch.Tensor:
    with torch_randomness(seed, purpose, step, rank):
        return torch.rand(4)


def test_the_global_generator_is_given_back_as_it_was() -> None:
    before = torch.get_rng_state()

    drawn(0, TRAINING_STEP)

    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_given_back_after_an_error_too() -> None:
    before = torch.get_rng_state()

    with pytest.raises(RuntimeError, match="Expected size"), torch_randomness(0, TRAINING_STEP):
        torch.rand(1) @ torch.rand(3, 3, 3, 2)

    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_drawn_is_a_function_of_the_numbers_alone() -> None:
    first = drawn(1, TRAINING_STEP, 5, 1)
    torch.rand(100)
    drawn(2, TRAINING_STEP)

    assert torch.equal(drawn(1, TRAINING_STEP, 5, 1), first)


def test_seed_purpose_step_and_rank_each_give_other_numbers() -> None:
    draws = [
        drawn(0, INITIAL_WEIGHTS),
        drawn(1, INITIAL_WEIGHTS),
        drawn(0, TRAINING_STEP),
        drawn(0, TRAINING_STEP, 1),
        drawn(0, TRAINING_STEP, 0, 1),
    ]

    assert not any(torch.equal(a, b) for a, b in combinations(draws, 2))
