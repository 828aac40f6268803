"""Prototype matching: finds what looks like the support, and knows no words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from episodes.types import ClipBatch, Pyramid
from fewshot.evaluation.prototype import PrototypePredictor
from models.network import FewShotRVOS
from tests.random_clips import random_clips, small_network


@pytest.fixture(scope="module")
def network() -> FewShotRVOS:
    return small_network()


def scene(columns: slice, count: int = 1, frames: int = 2) -> ClipBatch:
    """Clips of 64 x 64 in features: the object fills columns of 32 pixels and differs in one channel."""
    masks = torch.zeros(count, frames, 64, 64, dtype=torch.bool)
    masks[..., columns] = True

    def level(stride: int) -> Tensor:
        inside = masks[:, :, ::stride, ::stride].float()
        return torch.stack([inside, 1 - inside, torch.full_like(inside, 0.1)], dim=2)

    features = Pyramid(*(level(stride) for stride in (4, 8, 16, 32)))
    return replace(random_clips(count, frames), frames=None, features=features, masks=masks, class_masks=masks)


def test_what_looks_like_the_support_object_is_found(network: FewShotRVOS) -> None:
    query = scene(slice(32, 64), count=2)

    found = PrototypePredictor(network, scene(slice(0, 32), count=3)).predict(query)

    assert found.shape == (2, 2, 64, 64)
    certain = torch.ones(64, dtype=torch.bool)
    certain[16:48] = False  # upsampling blurs the edge
    assert torch.equal((found > 0.5)[..., certain], query.masks[..., certain])


def test_nothing_is_found_without_a_support_mask(network: FewShotRVOS) -> None:
    support = random_clips(1)
    empty = replace(support, masks=torch.zeros_like(support.masks))

    found = PrototypePredictor(network, empty).predict(random_clips(1, seed=1))

    assert found.isfinite().all()
    assert not (found > 0.5).any()


def test_the_order_of_shots_does_not_matter_and_each_mask_does(network: FewShotRVOS) -> None:
    support, query = random_clips(3), random_clips(1, seed=1)
    straight = PrototypePredictor(network, support).predict(query)

    turned = PrototypePredictor(network, support.select([2, 0, 1])).predict(query)

    torch.testing.assert_close(turned, straight, atol=1e-4, rtol=1e-4)
    for shot in range(3):
        masks = support.masks.clone()
        masks[shot] = ~masks[shot]
        other = PrototypePredictor(network, replace(support, masks=masks)).predict(query)
        assert not torch.allclose(other, straight, atol=1e-3)


def test_words_and_the_query_truth_are_never_read(network: FewShotRVOS) -> None:
    support, query = random_clips(2), random_clips(1, seed=1)
    hidden = replace(query, texts=("something else",), masks=~query.masks)

    first = PrototypePredictor(network, support).predict(query)
    second = PrototypePredictor(network, replace(support, texts=("other", "words"))).predict(hidden)

    assert torch.equal(first, second)


def test_padding_is_never_predicted(network: FewShotRVOS) -> None:
    query = random_clips(1, seed=1)
    query.valid[:, 40:] = False

    found = PrototypePredictor(network, random_clips(1)).predict(query)

    assert (found[:, :, 40:] == 0).all()
    assert (found[:, :, :40] > 0).all()


def test_a_support_of_another_size_and_length_is_taken(network: FewShotRVOS) -> None:
    support = random_clips(2, frames=3, size=(96, 64))

    found = PrototypePredictor(network, support).predict(random_clips(1, frames=5, size=(64, 128), seed=1))

    assert found.shape == (1, 5, 64, 128)
