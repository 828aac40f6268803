"""Padding changes nothing: a clip gives the same alone, beside a larger one, and with more padding than it needs."""

import copy
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from episodes.types import Clips, Support
from fewshot.learners import Conditioning, Decoding
from models.head import SupportMemory
from models.network import FewShotRVOS
from models.trunk import Encoded, Trunk
from tests.random_clips import in_features, mixed_clips, mixed_support, random_clips, random_support, small_network

ROUNDING = 1e-4  # the most that another order of the same sums may change, in standard deviations
# 50 x 70 is padded to 64 x 96, also alone. Not 64 x 64: at stride 64 a group norm of two numbers magnifies rounding.
SIZES = ((64, 96), (50, 70), (64, 128), (96, 64))

# Every head and affinity; the other options take turns.
VARIANTS: list[dict[str, Any]] = [
    {
        "mask": {"head": head, "vl_strides": ((16, 32), (), (4, 8, 16, 32))[number % 3]},
        "affinity": {
            "stages": stages,
            "background": ("exclude", "keep")[number // 2 % 2],
            "support_frames": ("all", "middle")[number % 5 == 0],
            "align_masks": number % 3 > 0,
            "pretransform": number % 7 < 3,
        },
        "fusion": ("residual", "multiply")[number // 3 % 2],
        "spacetime": number % 4 < 2,
        "word_prior": number % 5 < 3,
        **({"query_mode": "dab", "levels": (8, 16, 32, 64)} if head != "dense" and number % 4 == 1 else {}),
    }
    for number, (stages, head, _) in enumerate(
        product(((), ("self",), ("cross",), ("self", "cross"), ("match",)), ("dense", "query", "hybrid"), range(2))
    )
]
every_variant = pytest.mark.parametrize("number", range(len(VARIANTS)), ids=lambda number: str(VARIANTS[number]))


def network_of(number: int) -> FewShotRVOS:
    return small_network(stirred=0.5, **copy.deepcopy(VARIANTS[number]))  # with 1.0 some masks are saturated


def padded(clips: Clips, more: int) -> Clips:
    """The clips with `more` rows and columns of padding."""

    def grown(x: Tensor) -> Tensor:
        return F.pad(x, (0, more, 0, more))

    assert clips.frames is not None
    return Clips(grown(clips.valid), clips.times, clips.sentences, grown(clips.frames))


def assert_close(found: Tensor, expected: Tensor, what: str = "") -> None:
    assert found.shape == expected.shape, what
    spread = float(expected.std()) if expected.numel() > 1 else float(expected.abs().max())
    assert float((found - expected).abs().max()) <= ROUNDING * spread, what


@torch.no_grad()
def logits(network: FewShotRVOS, support: Support, query: Clips) -> Tensor:
    return network(support, query).candidates()[1]


# --------------------------------------------------------------------------- the trunk


@pytest.mark.parametrize("more", [0, 32])
def test_a_clip_has_the_same_features_beside_larger_ones_and_none_in_the_padding(trunk: Trunk, more: int) -> None:
    clips, _ = mixed_clips(SIZES)

    together = trunk.pyramid(padded(clips, more))

    for number in range(len(SIZES)):
        own = clips.select([number])
        alone = trunk.pyramid(own)
        assert own.size == ((64, 96), (64, 96), (64, 128), (96, 64))[number]
        for level, expected in alone.maps().items():
            found = together.maps()[level][number : number + 1]
            h, w = expected.shape[-2:]
            assert_close(found[..., :h, :w], expected, level)
            assert not found[..., h:, :].any()
            assert not found[..., w:].any()


# --------------------------------------------------------------------------- the support


@cache
def shown(trunk: Trunk) -> tuple[list[Encoded], list[Tensor], Encoded, Tensor]:
    """Shots of all sizes one by one, as the trunk sees them, and their masks; and all of them in one batch."""
    support = mixed_support(SIZES)
    alone = [support.select([number]) for number in range(len(SIZES))]
    return [trunk(one.clips) for one in alone], [one.masks for one in alone], trunk(support.clips), support.masks


@every_variant
@torch.no_grad()
def test_a_shot_leaves_the_same_memory_alone_and_beside_a_larger_one(trunk: Trunk, number: int) -> None:
    head = network_of(number).head
    clips, masks, batch, batch_masks = shown(trunk)

    together = head.remember(batch, batch_masks, (64, 96))
    one_by_one = [head.remember(clip, mask, (64, 96)) for clip, mask in zip(clips, masks, strict=True)]

    affinity = head.config.affinity
    middle = affinity.support_frames == "middle" and "cross" in affinity.stages
    kept = one_by_one[-1:] if middle else one_by_one  # published: the last shot is all that is remembered
    names = ("masked", "coverage", *(("key", "value") if "cross" in affinity.stages else ()))
    for index, level in enumerate(together.levels):
        for name in names:
            assert_close(
                getattr(level, name), torch.cat([getattr(one.levels[index], name) for one in kept], dim=1), name
            )
    assert (together.matching is not None) == (affinity.stages == ("match",))
    for shot, memory in enumerate(one_by_one):
        assert_same_tokens(together, shot, memory)


def assert_same_tokens(together: SupportMemory, shot: int, alone: SupportMemory) -> None:
    if together.matching is None or alone.matching is None:
        return
    count = alone.matching.tokens.shape[2]
    assert_close(together.matching.tokens[:, shot, :count], alone.matching.tokens[:, 0])
    assert_close(together.matching.shares[:, shot, :count], alone.matching.shares[:, 0])
    assert not together.matching.shares[:, shot, count:].any(), "what pads a shot is neither object nor surroundings"


@every_variant
def test_the_order_and_the_padding_of_shots_of_unequal_sizes_change_nothing(number: int) -> None:
    network = network_of(number)
    support, query = mixed_support(SIZES[:3]), random_clips(1, size=(50, 70), seed=1)
    more = Support(padded(support.clips, 64), F.pad(support.masks, (0, 64, 0, 64)))

    straight = logits(network, support, query)

    assert_close(logits(network, more, query), straight)
    affinity = network.config.affinity
    if "cross" in affinity.stages and affinity.support_frames == "all":  # the others pair frames by their place
        assert_close(logits(network, support.select([2, 0, 1]), query), straight)


@every_variant
def test_an_episode_gives_the_same_beside_one_with_a_larger_support(number: int) -> None:
    network = network_of(number)
    support, queries = mixed_support(SIZES), random_clips(2, size=(64, 96), seed=1)

    together = logits(network, support, queries)

    for episode, shots in enumerate(([0, 1], [2, 3])):
        alone = logits(network, support.select(shots), queries.select([episode]))
        assert_close(together[episode : episode + 1], alone)


# --------------------------------------------------------------------------- the query


@every_variant
@pytest.mark.parametrize("more", [0, 32])
def test_a_query_gets_the_same_answer_alone_and_beside_larger_ones(number: int, more: int) -> None:
    predictor = Conditioning(network_of(number)).adapt(mixed_support(SIZES[1:3]))
    clips, _ = mixed_clips(SIZES, 3, seed=7)
    queries, decoding = padded(clips, more), Decoding(chunk_frames=2)

    together = predictor.predict(queries, decoding)

    assert together.shape == (len(SIZES), 3, *queries.size)
    assert not together.masked_select(~queries.valid[:, None]).any()
    for clip in range(len(SIZES)):
        alone = predictor.predict(clips.select([clip]), decoding)
        rows, columns = clips.picture(clip)
        torch.testing.assert_close(
            together[clip, :, rows, columns], alone[0, :, rows, columns], atol=ROUNDING, rtol=0.0
        )
        assert together[clip, :, rows, columns].std() > 10 * ROUNDING


def test_one_forward_pass_of_queries_of_unequal_sizes_is_rejected() -> None:
    network = small_network()
    queries, _ = mixed_clips(SIZES[1:3])

    with pytest.raises(ValueError, match=r"found 2 of 2 sizes, padded to \(64, 128\); split the batch"):
        network(random_support(2), queries)
    with pytest.raises(ValueError, match=r"found 1 of 1 sizes, padded to \(96, 96\)"):
        network(random_support(1), padded(random_clips(1), 32))


# --------------------------------------------------------------------------- cached features


@pytest.mark.parametrize("number", range(0, len(VARIANTS), 5), ids=lambda number: str(VARIANTS[number]))
def test_features_of_unequal_sizes_give_what_their_frames_give(number: int) -> None:
    network = network_of(number)
    support, (queries, _) = mixed_support(SIZES), mixed_clips(SIZES, seed=7)
    cached = Support(in_features(network.trunk, support.clips), support.masks)

    by_frames = Conditioning(network).adapt(support).predict(queries)
    by_features = Conditioning(network).adapt(cached).predict(in_features(network.trunk, queries))

    torch.testing.assert_close(by_features, by_frames, atol=ROUNDING, rtol=0.0)
