"""Targets, overlaps and the matched query."""

import pytest
import torch
from torch import Tensor

from models.matching import (
    Targets,
    dice_coefficient,
    focal_terms,
    generalised_iou,
    match,
    sample_masks,
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

        assert match(torch.zeros(1, 2, 3, 1), boxes, masks, targets).tolist() == [right]


def test_clips_of_a_batch_are_matched_on_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = _target(torch.rand(4, 2, 32, 32, generator=generator) > 0.6)
    logits = torch.randn(4, 2, 3, 1, generator=generator)
    boxes = torch.rand(4, 2, 3, 4, generator=generator)
    masks = torch.randn(4, 2, 3, 8, 8, generator=generator)

    together = match(logits, boxes, masks, targets)

    for clip in range(4):
        part = slice(clip, clip + 1)
        alone = Targets(targets.masks[part], targets.boxes[part], targets.visible[part])
        assert match(logits[part], boxes[part], masks[part], alone).item() == together[clip].item()


def test_targets_of_disagreeing_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need boxes \(1, 2, 4\)"):
        Targets(_square(), torch.zeros(1, 3, 4), torch.ones(1, 2, dtype=torch.bool))
