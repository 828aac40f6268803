"""The optimiser's groups and the learning rate."""

from itertools import pairwise
from typing import Any

import pytest

from fewshot.config.training import TrainConfig
from fewshot.training.trainer import build_optimizer, learning_rate
from tests.random_clips import small_network


@pytest.mark.parametrize(
    "changes",
    [{}, {"freeze": ("matching",)}, {"mask": {"head": "dense"}}, {"query_mode": "dab", "levels": (8, 16, 32, 64)}],
    ids=str,
)
def test_every_trainable_weight_is_in_exactly_one_group_and_the_trunk_in_none(changes: dict[str, Any]) -> None:
    network = small_network(**changes)

    optimizer = build_optimizer(network.head, TrainConfig())

    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    trainable = {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == trainable
    assert not set(grouped) & {id(parameter) for parameter in network.trunk.parameters()}
    assert trainable


def test_matrices_decay_and_vectors_and_scalars_do_not() -> None:
    optimizer = build_optimizer(small_network().head, TrainConfig(weight_decay=0.3))

    for group in optimizer.param_groups:
        assert all((parameter.ndim >= 2) == (group["weight_decay"] == 0.3) for parameter in group["params"])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.3, 0.0}


@pytest.mark.parametrize("schedule", ["cosine", "constant", "step"])
def test_the_rate_rises_through_the_warm_up_and_never_after_it(schedule: Any) -> None:
    milestones = (20, 40) if schedule == "step" else ()
    config = TrainConfig(steps=60, warmup_steps=10, learning_rate=2e-3, schedule=schedule, milestones=milestones)

    rates = [learning_rate(step, config) for step in range(60)]

    assert rates[0] == pytest.approx(2e-4)
    assert rates[9] == rates[10] == max(rates) == 2e-3
    assert all(b > a for a, b in pairwise(rates[:10]))
    assert all(b <= a for a, b in pairwise(rates[10:]))
    assert min(rates) > 0


def test_the_cosine_ends_near_zero_and_is_half_way_down_in_the_middle() -> None:
    config = TrainConfig(steps=110, warmup_steps=10, learning_rate=1.0)

    assert learning_rate(60, config) == pytest.approx(0.5)
    assert learning_rate(109, config) < 1e-3


def test_the_step_schedule_drops_to_a_tenth_after_each_milestone() -> None:
    config = TrainConfig(steps=60, warmup_steps=0, learning_rate=1.0, schedule="step", milestones=(30, 50))

    rates = [learning_rate(step, config) for step in range(60)]

    assert rates[29] == 1.0
    assert rates[30] == rates[49] == pytest.approx(0.1)
    assert rates[50] == rates[59] == pytest.approx(0.01)


def test_milestones_without_the_step_schedule_are_rejected_and_so_is_the_reverse() -> None:
    for values in ({"milestones": (5,)}, {"schedule": "step"}):
        with pytest.raises(ValueError, match="give milestones if and only if the schedule is step"):
            TrainConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 50), (5, 5), (3, 0)])
def test_short_runs_have_a_rate_too(steps: int, warmup: int) -> None:
    config = TrainConfig(steps=steps, warmup_steps=warmup, learning_rate=1.0)

    assert all(0 < learning_rate(step, config) <= 1 for step in range(steps))
