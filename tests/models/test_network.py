"""The whole network: what it reads, what it must not read, and that every part of it learns."""

import copy
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from episodes.errors import ConfigError
from episodes.types import Clips, Support, Truth
from fewshot.config.training import TrainConfig
from fewshot.training.trainer import build_optimizer
from models.config import ModelConfig
from models.network import FewShotRVOS
from models.objective import objective
from models.trunk import Trunk
from tests.random_clips import (
    SENTENCES,
    annotated_clips,
    in_features,
    random_clips,
    random_support,
    small_config,
    small_network,
)

FOUR_LEVELS = (8, 16, 32, 64)
ROUNDING = 1e-3  # the most that another order of the same sums may change, in standard deviations of the logits
# Every head, background kept or not, and the stages in which the query meets the support.
READERS = [
    {"mask": {"head": head}, "affinity": {"stages": stages, "background": background}}
    for head, (stages, background) in product(
        ("dense", "query", "hybrid"),
        ((("match",), "exclude"), *product((("cross",), ("self", "cross")), ("exclude", "keep"))),
    )
]


def masks_of(network: FewShotRVOS, support: Support, query: Clips) -> Tensor:
    """Mask logits (B, T, Q, h, w) of the last layer."""
    with torch.no_grad():
        return network(support, query).candidates()[1]


def with_mask(support: Support, clip: int, value: Tensor | bool) -> Support:
    masks = support.masks.clone()
    masks[clip] = value
    return replace(support, masks=masks)


def with_clips(support: Support, **values: Any) -> Support:
    return replace(support, clips=replace(support.clips, **values))


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference of two maps of logits, in standard deviations of the second."""
    return float((a - b).abs().max() / b.std())


def differ(a: Tensor, b: Tensor) -> bool:
    return difference(a, b) > 10 * ROUNDING


# --------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("changes", READERS, ids=str)
def test_the_mask_of_each_shot_changes_the_prediction(changes: dict[str, Any]) -> None:
    network = small_network(**copy.deepcopy(changes))
    support, query = random_support(3), random_clips(1, seed=1)

    before = masks_of(network, support, query)

    for shot in range(3):
        other = with_mask(support, shot, ~support.masks[shot])
        assert differ(masks_of(network, other, query), before), f"shot {shot}"


@pytest.mark.parametrize("changes", READERS[::3], ids=str)
def test_the_order_of_shots_does_not_change_the_prediction(changes: dict[str, Any]) -> None:
    network = small_network(**copy.deepcopy(changes))
    support, query = random_support(3), random_clips(1, seed=1)

    straight, turned = (masks_of(network, support.select(order), query) for order in ([0, 1, 2], [2, 0, 1]))

    assert difference(straight, turned) < ROUNDING


def test_every_support_frame_of_every_shot_changes_the_prediction() -> None:
    network = small_network()
    support, query = random_support(2, frames=3), random_clips(1, seed=1)
    before = masks_of(network, support, query)
    assert support.clips.frames is not None

    for shot, frame in product(range(2), range(3)):
        frames = support.clips.frames.clone()
        frames[shot, frame] = 255 - frames[shot, frame]
        assert differ(masks_of(network, with_clips(support, frames=frames), query), before), (shot, frame)


def test_the_middle_frame_of_the_last_shot_is_all_that_the_published_memory_reads() -> None:
    network = small_network(affinity={"stages": ("self", "cross"), "support_frames": "middle"})
    support, query = random_support(2, frames=3), random_clips(1, seed=1)
    before = masks_of(network, support, query)
    assert support.clips.frames is not None

    for shot, frame in product(range(2), range(3)):
        masks, frames = support.masks.clone(), support.clips.frames.clone()
        masks[shot, frame] = ~masks[shot, frame]
        frames[shot, frame] = 255 - frames[shot, frame]
        after = masks_of(network, with_clips(replace(support, masks=masks), frames=frames), query)
        assert torch.equal(after, before) == ((shot, frame) != (1, 1)), (shot, frame)


@pytest.mark.parametrize("head", ["dense", "query", "hybrid"])
@pytest.mark.parametrize("fusion", ["residual", "multiply"])
def test_the_sentence_changes_the_prediction(head: str, fusion: str) -> None:
    network = small_network(mask={"head": head}, fusion=fusion)
    support, query = random_support(1), random_clips(1, seed=1)

    before = masks_of(network, support, query)

    assert differ(masks_of(network, support, replace(query, sentences=("the yellow cross",))), before)
    published = small_network(mask={"head": head}, fusion=fusion, affinity={"stages": ("cross",)})
    before = masks_of(published, support, query)
    assert differ(masks_of(published, with_clips(support, sentences=("the yellow cross",)), query), before)


def test_stretched_masks_cover_more_of_a_padded_support_than_aligned_ones_and_the_same_of_a_whole_one() -> None:
    """A mask that fills the picture: aligned it stops where the padding begins, stretched it reaches over it."""
    networks = [small_network(affinity={"stages": ("cross",), "align_masks": align}) for align in (True, False)]
    covered = []
    for width in (96, 65):  # 65 is padded to 96
        support = random_support(1, size=(64, width))
        support = with_mask(support, 0, support.clips.valid)
        with torch.no_grad():
            memories = [
                n.head.remember(n.trunk(support.clips), support.masks, support.clips.size).levels[0] for n in networks
            ]
        covered.append([float(memory.coverage.mean()) for memory in memories])

    whole, narrow = covered
    assert whole == [1.0, 1.0]
    assert narrow[0] < 0.8
    assert narrow[1] == 1.0


@pytest.mark.parametrize(
    ("head", "stages"), [("dense", ("match",)), ("query", ("self", "cross")), ("hybrid", ("match",))]
)
def test_a_batch_of_episodes_gives_what_each_gives_alone(head: str, stages: tuple[str, ...]) -> None:
    network = small_network(mask={"head": head}, affinity={"stages": stages})
    support, query = random_support(6), random_clips(3, seed=1)  # sentences of different lengths

    together = masks_of(network, support, query)

    for episode in range(3):
        own = [2 * episode, 2 * episode + 1]
        alone = masks_of(network, support.select(own), query.select([episode]))
        assert difference(together[episode : episode + 1], alone) < ROUNDING


@pytest.mark.parametrize("stages", [(), ("match",), ("self",), ("cross",), ("self", "cross")], ids=str)
def test_one_memory_serves_a_batch_of_queries(stages: tuple[str, ...]) -> None:
    network = small_network(affinity={"stages": stages})
    support, query = random_support(2), network.trunk(random_clips(3, seed=1))

    with torch.no_grad():
        memory = network.head.remember(network.trunk(support.clips), support.masks, query.size)
        shared = network.head.decode(query, memory.expand(3))
        thrice = support.select([0, 1] * 3)
        repeated = network.head(network.trunk(thrice.clips), thrice.masks, query)

    assert difference(shared.candidates()[1], repeated.candidates()[1]) < ROUNDING


def test_support_and_query_may_differ_in_size_and_length() -> None:
    network = small_network()

    found = masks_of(network, random_support(2, frames=3, size=(64, 96)), random_clips(1, size=(96, 64), frames=4))

    assert found.shape == (1, 4, 2, 24, 16)
    assert found.isfinite().all()


# --------------------------------------------------------------------------- what learns


def backward(network: FewShotRVOS, support: Support, asked: tuple[Clips, Truth]) -> dict[str, Tensor]:
    network.train()
    query, truth = asked
    terms = objective(network(support, query), truth, query.valid, network.config.loss)
    terms["total"].backward()
    return terms


def assert_all_learn(network: FewShotRVOS) -> None:
    trainable = {name: p for name, p in network.head.named_parameters() if p.requires_grad}
    unused = [name for name, p in trainable.items() if p.grad is None]
    assert not unused, f"never get a gradient: {unused}"
    assert [name for name, p in trainable.items() if p.grad is not None and not p.grad.isfinite().all()] == []
    assert [name for name, p in network.head.named_parameters() if not p.requires_grad and p.grad is not None] == []


STAGES = ((), ("match",), ("self",), ("cross",), ("self", "cross"))
COMBINATIONS = [
    {"affinity": {"stages": stages}, "mask": {"head": head}, "fusion": fusion, "query_mode": mode}
    for stages, (head, mode), fusion in product(
        STAGES,
        (("dense", "text"), ("query", "text"), ("hybrid", "text"), ("query", "dab"), ("hybrid", "dab")),
        ("residual", "multiply"),
    )
]


@pytest.mark.parametrize("number", range(len(COMBINATIONS)), ids=lambda i: str(COMBINATIONS[i]))
def test_every_trainable_weight_of_every_variant_gets_a_finite_gradient(number: int) -> None:
    changes = copy.deepcopy(COMBINATIONS[number])
    if changes["query_mode"] == "dab":
        changes |= {"levels": FOUR_LEVELS, "decoder_layers": 2}
    # The other options take turns, so that each meets each stage and head.
    changes["affinity"] |= {"pretransform": number % 2 == 0}
    changes["affinity"] |= {"background": ("exclude", "keep")[number // 3 % 2]}
    changes["affinity"] |= {"support_frames": ("all", "middle")[number // 5 % 2]}
    changes |= {"spacetime": number % 7 > 2, "word_prior": number % 4 > 1}
    changes["mask"]["vl_strides"] = ((), (16, 32), (4, 8, 16, 32))[number // 2 % 3]
    if changes["mask"]["head"] != "dense":
        changes["encoder_layers"] = number % 2
    network = small_network(**changes)

    terms = backward(network, random_support(4), annotated_clips(2, seed=1))

    assert terms["total"].isfinite()
    assert_all_learn(network)


@pytest.mark.parametrize("changes", READERS, ids=str)
def test_a_support_without_any_mask_gives_finite_predictions_and_gradients(changes: dict[str, Any]) -> None:
    network = small_network(**copy.deepcopy(changes))
    support, asked = random_support(2), annotated_clips(1, seed=1)
    empty = replace(support, masks=torch.zeros_like(support.masks))

    assert masks_of(network, empty, asked[0]).isfinite().all()
    assert backward(network, empty, asked)["total"].isfinite()
    assert_all_learn(network)


def test_a_query_without_its_object_gives_a_finite_loss_and_gradients() -> None:
    network = small_network()
    query, truth = annotated_clips(1, seed=1)
    nothing = torch.zeros_like(truth.masks)

    terms = backward(network, random_support(1), (query, Truth(nothing, nothing)))

    assert all(term.isfinite() for term in terms.values())
    assert_all_learn(network)


# --------------------------------------------------------------------------- what stays as it is


def test_frozen_parts_of_the_head_get_no_gradient_and_the_rest_does() -> None:
    network = small_network(freeze=("matching", "decoder.class_embed"))

    backward(network, random_support(1), annotated_clips(1, seed=1))

    weights = dict(network.head.named_parameters())
    frozen = [name for name, weight in weights.items() if not weight.requires_grad]
    assert frozen == [name for name in weights if name.startswith(("matching.", "decoder.class_embed."))]
    assert_all_learn(network)


def test_an_unknown_part_is_rejected_by_the_names_of_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no part 'maching'; its parts are head, .*matching"):
        small_network(freeze=("maching",))
    with pytest.raises(ConfigError, match="no part 'residual_scale'"):
        small_network().head.scope("residual_scale")  # a weight, not a part


def test_the_trunk_has_nothing_to_train_and_never_leaves_eval_mode(trunk: Trunk) -> None:
    network = small_network()

    network.train()

    assert network.trunk is trunk
    assert [name for name, p in network.trunk.named_parameters() if p.requires_grad] == []
    assert network.head.training
    encoders = [*network.trunk.image.modules(), *network.trunk.text.modules()]
    assert not any(module.training for module in encoders)


def test_no_bit_of_the_trunk_changes_in_an_optimiser_step_and_the_head_does() -> None:
    network = small_network()
    trunk_before = {name: value.clone() for name, value in network.trunk.state_dict().items()}
    head_before = {name: value.clone() for name, value in network.head.state_dict().items()}
    optimizer = build_optimizer(network.head, TrainConfig())

    backward(network, random_support(1), annotated_clips(1, seed=1))
    optimizer.step()

    assert all(torch.equal(value, trunk_before[name]) for name, value in network.trunk.state_dict().items())
    changed = [n for n, value in network.head.state_dict().items() if not torch.equal(value, head_before[n])]
    trainable = [n for n, p in network.head.named_parameters() if p.requires_grad]
    assert changed == trainable


def test_cached_features_give_what_frames_give() -> None:
    network = small_network()
    support, query = random_support(1), random_clips(1, seed=1)
    cached = in_features(network.trunk, query)

    assert torch.equal(masks_of(network, support, query), masks_of(network, support, cached))


def test_one_seed_gives_one_network() -> None:
    first, second, other = (small_network(seed).head.state_dict() for seed in (3, 3, 4))

    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


# --------------------------------------------------------------------------- what is rejected


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"hidden": 48}, "multiple of 32 and of heads"),
        ({"hidden": 64, "heads": 7}, "multiple of 32 and of heads"),
        ({"levels": (8, 16)}, r"levels must be \[8, 16, 32, 64\] or"),
        ({"affinity": {"stages": ("cross", "self")}}, "stages must be"),
        ({"affinity": {"hidden": 12}}, "multiple of 8"),
        ({"mask": {"fine_width": 20}}, "multiple of 8"),
        ({"mask": {"fine_width": 24}, "heads": 16}, "fine_width must be a multiple of heads"),
        ({"mask": {"vl_strides": (4, 64)}}, "vl_strides"),
        ({"mask": {"head": "dense"}, "encoder_layers": 0}, "nothing else reads the level 64"),
        ({"mask": {"start": "class_and_words"}, "word_prior": False}, "class_and_words needs word_prior true"),
        ({"mask": {"start": "class_and_words"}, "affinity": {"stages": ()}}, "class_and_words needs word_prior true"),
        ({"mask": {"start": "class_and_words", "head": "query"}}, "class_and_words needs word_prior true"),
        ({"query_mode": "dab", "levels": (16, 32, 64)}, "dab needs the four levels"),
        ({"fusion": "add"}, "fusion"),
        ({"hiden": 64}, "hiden"),
    ],
    ids=str,
)
def test_a_model_that_cannot_be_built_is_rejected_with_its_config(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ModelConfig.model_validate(values)


def test_the_small_model_of_these_tests_is_one_that_the_config_allows() -> None:
    assert small_config().levels == (16, 32, 64)
    assert len(set(SENTENCES)) == len(SENTENCES)
