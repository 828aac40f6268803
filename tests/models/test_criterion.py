"""The set loss."""

import pytest
import torch
from torch import Tensor

from models.criterion import LayerPrediction, LossWeights, SetCriterion, Targets, mask_losses, targets_from_masks
from models.matching import sample_masks


def _targets(clips: int = 2, seed: int = 0) -> Targets:
    masks = torch.zeros(clips, 3, 32, 64, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for clip, frame in ((c, f) for c in range(clips) for f in range(3)):
        top, left = torch.randint(0, 16, (2,), generator=generator).tolist()
        masks[clip, frame, top : top + 12, left : left + 20] = True
    return targets_from_masks(masks, torch.ones(clips, 32, 64, dtype=torch.bool))


def _prediction(clips: int = 2, queries: int = 4, seed: int = 1) -> LayerPrediction:
    generator = torch.Generator().manual_seed(seed)
    return LayerPrediction(
        torch.randn(clips, 3, queries, 1, generator=generator).requires_grad_(),
        torch.rand(clips, 3, queries, 4, generator=generator).requires_grad_(),
        torch.randn(clips, 3, queries, 8, 16, generator=generator).requires_grad_(),
    )


def _part(prediction: LayerPrediction, targets: Targets, clip: int) -> tuple[list[LayerPrediction], Targets]:
    part = slice(clip, clip + 1)
    return (
        [LayerPrediction(prediction.logits[part], prediction.boxes[part], prediction.masks[part])],
        Targets(targets.masks[part], targets.boxes[part], targets.visible[part]),
    )


def test_a_perfect_prediction_costs_almost_nothing() -> None:
    targets = _targets(1)
    sign: Tensor = 60 * sample_masks(targets.masks) - 30
    logits = torch.full((1, 3, 2, 1), -30.0)
    logits[:, :, 1] = 30.0
    layer = LayerPrediction(
        logits,
        targets.boxes[:, :, None].repeat(1, 1, 2, 1),
        torch.stack([-sign, sign], dim=2),
    )

    losses = SetCriterion()([layer], targets)

    assert losses.matched.tolist() == [1]
    assert losses.total < 1e-4


def test_a_batch_costs_the_mean_of_its_clips() -> None:
    targets, prediction = _targets(), _prediction()
    targets.visible[1, 0] = False  # another normaliser for the second clip

    together = SetCriterion()([prediction], targets)
    alone = [SetCriterion()(*_part(prediction, targets, clip)) for clip in range(2)]

    for name, value in together.terms.items():
        assert value.item() == pytest.approx(sum(one.terms[name].item() for one in alone) / 2, rel=1e-5)
    assert together.matched.tolist() == [one.matched.item() for one in alone]


def test_every_decoder_layer_has_its_own_terms_and_the_total_is_their_weighted_sum() -> None:
    weights = LossWeights(class_=1, box=2, giou=3, mask_focal=4, dice=5)

    losses = SetCriterion(weights)([_prediction(seed=1), _prediction(seed=2)], _targets())

    factors = {"class": 1, "box": 2, "giou": 3, "mask_focal": 4, "dice": 5}
    assert set(losses.terms) == set(factors) | {f"{name}_0" for name in factors}
    expected = sum(factors[name.removesuffix("_0")] * value.item() for name, value in losses.terms.items())
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)


def test_only_the_matched_query_is_pulled_to_the_object() -> None:
    targets, prediction = _targets(), _prediction()

    losses = SetCriterion(LossWeights(class_=0))([prediction], targets)
    losses.total.backward()

    for clip, matched in enumerate(losses.matched.tolist()):
        touched = prediction.masks.grad[clip].abs().sum((0, 2, 3)) > 0
        assert touched.nonzero().flatten().tolist() == [matched]


def test_an_object_that_is_never_visible_gives_finite_losses_and_gradients() -> None:
    targets, prediction = (
        targets_from_masks(torch.zeros(2, 3, 32, 64).bool(), torch.ones(2, 32, 64).bool()),
        _prediction(),
    )

    losses = SetCriterion()([prediction], targets)
    losses.total.backward()

    assert torch.isfinite(losses.total)
    for tensor in (prediction.logits, prediction.boxes, prediction.masks):
        assert torch.isfinite(tensor.grad).all()


def test_mask_losses_work_alone_and_give_one_value_for_each_clip() -> None:
    truth = sample_masks(_targets().masks)

    focal, dice = mask_losses(60 * truth - 30, truth)
    worse_focal, worse_dice = mask_losses(30 - 60 * truth, truth)

    assert focal.shape == dice.shape == (2,)
    assert (focal < 1e-6).all()
    assert (dice < 1e-6).all()
    assert (worse_focal > 1).all()
    assert (worse_dice > 0.9).all()
