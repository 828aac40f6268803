"""Prototype matching: finds what looks like the support, and knows no words."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from episodes.types import Clips, Pyramid, Support
from fewshot.evaluation.prototype import PrototypePredictor
from fewshot.evaluation.tokens import trunk_tokens
from models.trunk import Trunk
from tests.random_clips import mixed_clips, mixed_support, random_clips, random_support, shared_trunk


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    return shared_trunk()


def scene(columns: slice, count: int = 1, frames: int = 2) -> tuple[Clips, Tensor]:
    """Clips of 64 x 64 in features, and masks: the object fills columns of 32 pixels and differs in one channel."""
    masks = torch.zeros(count, frames, 64, 64, dtype=torch.bool)
    masks[..., columns] = True

    def level(stride: int) -> Tensor:
        inside = masks[:, :, ::stride, ::stride].float()
        return torch.stack([inside, 1 - inside, torch.full_like(inside, 0.1)], dim=2)

    features = Pyramid(*(level(stride) for stride in (4, 8, 16, 32)))
    return replace(random_clips(count, frames), frames=None, features=features), masks


def test_what_looks_like_the_support_object_is_found(trunk: Trunk) -> None:
    query, truth = scene(slice(32, 64), count=2)

    found = PrototypePredictor(trunk, Support(*scene(slice(0, 32), count=3))).predict(query)

    assert found.shape == (2, 2, 64, 64)
    certain = torch.ones(64, dtype=torch.bool)
    certain[16:48] = False  # upsampling blurs the edge
    assert torch.equal((found > 0.5)[..., certain], truth[..., certain])


def test_nothing_is_found_without_a_support_mask(trunk: Trunk) -> None:
    support = random_support(1)
    empty = replace(support, masks=torch.zeros_like(support.masks))

    found = PrototypePredictor(trunk, empty).predict(random_clips(1, seed=1))

    assert found.isfinite().all()
    assert not (found > 0.5).any()


def test_the_order_of_shots_does_not_matter_and_each_mask_does(trunk: Trunk) -> None:
    support, query = random_support(3), random_clips(1, seed=1)
    straight = PrototypePredictor(trunk, support).predict(query)

    turned = PrototypePredictor(trunk, support.select([2, 0, 1])).predict(query)

    torch.testing.assert_close(turned, straight, atol=1e-4, rtol=1e-4)
    for shot in range(3):
        masks = support.masks.clone()
        masks[shot] = ~masks[shot]
        other = PrototypePredictor(trunk, replace(support, masks=masks)).predict(query)
        assert not torch.allclose(other, straight, atol=1e-3)


def test_words_are_never_read(trunk: Trunk) -> None:
    support, query = random_support(2), random_clips(1, seed=1)
    other = replace(support, clips=replace(support.clips, sentences=("other", "words")))

    first = PrototypePredictor(trunk, support).predict(query)
    second = PrototypePredictor(trunk, other).predict(replace(query, sentences=("something else",)))

    assert torch.equal(first, second)


def test_padding_is_never_predicted(trunk: Trunk) -> None:
    query = random_clips(1, seed=1)
    query.valid[:, 40:] = False

    found = PrototypePredictor(trunk, random_support(1)).predict(query)

    assert (found[:, :, 40:] == 0).all()
    assert (found[:, :, :40] > 0).all()


def test_a_support_of_another_size_and_length_is_taken(trunk: Trunk) -> None:
    support = random_support(2, frames=3, size=(96, 64))

    found = PrototypePredictor(trunk, support).predict(random_clips(1, frames=5, size=(64, 128), seed=1))

    assert found.shape == (1, 5, 64, 128)


SIZES = ((64, 64), (50, 70), (64, 128), (96, 64))


def test_padding_beside_a_larger_picture_changes_nothing(trunk: Trunk) -> None:
    support, (queries, _) = mixed_support(SIZES), mixed_clips(SIZES, seed=7)
    more = Support(
        replace(
            support.clips,
            valid=F.pad(support.clips.valid, (0, 64)),
            frames=None if support.clips.frames is None else F.pad(support.clips.frames, (0, 64)),
        ),
        F.pad(support.masks, (0, 64)),
    )
    predictor = PrototypePredictor(trunk, support)

    together = predictor.predict(queries)

    torch.testing.assert_close(PrototypePredictor(trunk, more).predict(queries), together, atol=1e-4, rtol=0.0)
    for clip in range(len(SIZES)):
        rows, columns = queries.picture(clip)
        alone = predictor.predict(queries.select([clip]))
        torch.testing.assert_close(together[clip, :, rows, columns], alone[0, :, rows, columns], atol=1e-4, rtol=0.0)
        assert not together[clip, :, ~queries.valid[clip]].any()


def test_the_prototypes_of_a_support_are_the_means_over_its_pictures_alone(trunk: Trunk) -> None:
    """Every shot counts by its pixels; what pads it beside a larger one, and what pads it to 32, is no background."""
    support = mixed_support(SIZES)
    found = PrototypePredictor(trunk, support)
    sums, weights = torch.zeros(2, found.foreground.shape[-1]), torch.zeros(2)
    for shot in range(len(SIZES)):
        one = support.select([shot])
        tokens = trunk_tokens(trunk, one.clips)[0]
        inside = F.avg_pool2d(one.masks[0].float(), 16)
        outside = F.avg_pool2d((one.clips.valid[:, None] & ~one.masks)[0].float(), 16)
        for side, share in enumerate((inside, outside)):
            sums[side] += torch.einsum("tchw,thw->c", tokens, share)
            weights[side] += share.sum()

    expected = F.normalize(sums / weights[:, None], dim=-1)

    torch.testing.assert_close(torch.stack([found.foreground, found.background]), expected, atol=1e-5, rtol=1e-4)
