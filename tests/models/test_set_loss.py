"""The set loss: targets, overlaps, the matched query, and the terms of every decoder layer."""

import pytest
import torch
from torch import Tensor

from models.config import LossConfig
from models.set_loss import (
    LayerPrediction,
    Targets,
    dice_coefficient,
    focal_terms,
    generalised_iou,
    mask_losses,
    match,
    sample_masks,
    set_losses,
    targets_from_masks,
)


def _target(masks: Tensor, valid: Tensor | None = None) -> Targets:
    return targets_from_masks(masks, torch.ones(masks.shape[0], *masks.shape[2:]).bool() if valid is None else valid)


def _square() -> Tensor:
    """One clip of two frames, 32 x 64, in which a square moves right."""
    masks = torch.zeros(1, 2, 32, 64, dtype=torch.bool)
    masks[0, 0, 8:16, 4:20] = True
    masks[0, 1, 8:16, 8:24] = True
    return masks


def test_boxes_hold_the_masks_and_never_exchange_height_and_width() -> None:
    boxes = _target(_square()).boxes[0, 0]

    assert boxes.tolist() == pytest.approx([12 / 64, 12 / 32, 16 / 64, 8 / 32])


def test_boxes_are_shares_of_the_picture_without_its_padding() -> None:
    valid = torch.zeros(1, 32, 64, dtype=torch.bool)
    valid[:, :16, :32] = True

    boxes = _target(_square(), valid).boxes[0, 0]

    assert boxes.tolist() == pytest.approx([12 / 32, 12 / 16, 16 / 32, 8 / 16])


def test_a_frame_without_the_object_is_invisible_and_its_box_zero() -> None:
    masks = _square()
    masks[0, 1] = False

    targets = _target(masks)

    assert targets.visible.tolist() == [[True, False]]
    assert targets.boxes[0, 1].tolist() == [0, 0, 0, 0]


def test_masks_are_sampled_at_offset_2_of_each_cell() -> None:
    masks = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    masks[..., 2, 6] = True

    assert sample_masks(masks)[0, 0].tolist() == [[0, 1], [0, 0]]


def test_generalised_iou_is_one_for_equal_boxes_and_falls_with_distance() -> None:
    box = torch.tensor([0.3, 0.3, 0.2, 0.2])
    near, far = torch.tensor([0.6, 0.3, 0.2, 0.2]), torch.tensor([0.9, 0.3, 0.2, 0.2])

    assert generalised_iou(box, box).item() == pytest.approx(1)
    assert generalised_iou(box, near).item() == pytest.approx(-0.1 / 0.5)
    assert generalised_iou(box, far) < generalised_iou(box, near)
    assert torch.isfinite(generalised_iou(torch.zeros(4), torch.zeros(4)))


def test_focal_terms_are_finite_for_extreme_logits_and_punish_confident_errors() -> None:
    positive, negative = focal_terms(torch.tensor([-100.0, 0.0, 100.0]))

    assert torch.isfinite(positive).all()
    assert torch.isfinite(negative).all()
    assert positive[0] > positive[1] > positive[2] == 0
    assert negative[2] > negative[1] > negative[0] == 0


def test_two_empty_masks_agree() -> None:
    empty = torch.full((1, 2, 4, 4), -100.0)

    assert dice_coefficient(empty, torch.zeros(1, 2, 4, 4), (1, 2, 3)).item() == pytest.approx(1)


def test_the_query_that_draws_the_object_wins_whatever_its_place() -> None:
    targets = _target(_square())
    truth = sample_masks(targets.masks)
    for right in range(3):
        masks = torch.full((1, 2, 3, 8, 16), -5.0)
        masks[:, :, right] = 10 * truth - 5
        boxes = torch.full((1, 2, 3, 4), 0.5)
        boxes[:, :, right] = targets.boxes

        assert match(LayerPrediction(torch.zeros(1, 2, 3, 1), boxes, masks), targets, LossConfig()).tolist() == [right]


def test_clips_of_a_batch_are_matched_on_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = _target(torch.rand(4, 2, 32, 32, generator=generator) > 0.6)
    logits = torch.randn(4, 2, 3, 1, generator=generator)
    boxes = torch.rand(4, 2, 3, 4, generator=generator)
    masks = torch.randn(4, 2, 3, 8, 8, generator=generator)

    together = match(LayerPrediction(logits, boxes, masks), targets, LossConfig())

    for clip in range(4):
        part = slice(clip, clip + 1)
        alone = Targets(targets.masks[part], targets.boxes[part], targets.visible[part])
        layer = LayerPrediction(logits[part], boxes[part], masks[part])
        assert match(layer, alone, LossConfig()).item() == together[clip].item()


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

    losses = set_losses([layer], targets, LossConfig())

    assert losses.matched.tolist() == [1]
    assert losses.total < 1e-4


def test_a_batch_costs_the_mean_of_its_clips() -> None:
    targets, prediction = _targets(), _prediction()
    targets.visible[1, 0] = False  # another normaliser for the second clip

    together = set_losses([prediction], targets, LossConfig())
    alone = [set_losses(*_part(prediction, targets, clip), LossConfig()) for clip in range(2)]

    for name, value in together.terms.items():
        assert value.item() == pytest.approx(sum(one.terms[name].item() for one in alone) / 2, rel=1e-5)
    assert together.matched.tolist() == [one.matched.item() for one in alone]


def test_every_decoder_layer_has_its_own_terms_and_the_total_is_their_weighted_sum() -> None:
    weights = LossConfig(class_=1, box=2, giou=3, mask_focal=4, dice=5)

    losses = set_losses([_prediction(seed=1), _prediction(seed=2)], _targets(), weights)

    factors = {"class": 1, "box": 2, "giou": 3, "mask_focal": 4, "dice": 5}
    assert set(losses.terms) == set(factors) | {f"{name}_0" for name in factors}
    expected = sum(factors[name.removesuffix("_0")] * value.item() for name, value in losses.terms.items())
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)


def test_only_the_matched_query_is_pulled_to_the_object() -> None:
    targets, prediction = _targets(), _prediction()

    losses = set_losses([prediction], targets, LossConfig(class_=0))
    losses.total.backward()

    for clip, matched in enumerate(losses.matched.tolist()):
        touched = prediction.masks.grad[clip].abs().sum((0, 2, 3)) > 0
        assert touched.nonzero().flatten().tolist() == [matched]


def test_an_object_that_is_never_visible_gives_finite_losses_and_gradients() -> None:
    targets, prediction = (
        targets_from_masks(torch.zeros(2, 3, 32, 64).bool(), torch.ones(2, 32, 64).bool()),
        _prediction(),
    )

    losses = set_losses([prediction], targets, LossConfig())
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
