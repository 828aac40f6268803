"""The objective: near zero for the perfect answer, and each weight and switch does what it says."""

import math
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from episodes.types import Truth
from models.config import LossConfig
from models.decoder import DecoderOutput
from models.head import Prediction
from models.objective import bce_and_dice, bce_within, objective
from models.set_loss import sample_masks, targets_from_masks

QUERIES = 3
SURE = 30.0
NOTHING = LossConfig(class_=0, box=0, giou=0, mask_focal=0, dice=0, dense=0, refer=0, prior=0)


VALID = torch.ones(2, 64, 64, dtype=torch.bool)


@pytest.fixture
def truth() -> Truth:
    """Two clips whose boxes lie on the grid of stride 16, so that every map can show them exactly."""
    masks = torch.zeros(2, 3, 64, 64, dtype=torch.bool)
    masks[0, :, 16:48, :32] = True
    masks[1, :, :32, 32:] = True
    others = masks.clone()
    others[:, :, 48:] = True
    return Truth(masks, others)


def sure(masks: Tensor) -> Tensor:
    return (2 * masks.float() - 1) * SURE


def answer(**given: Any) -> Prediction:
    """A prediction that holds these outputs and no other."""
    return Prediction(**{field.name: given.get(field.name) for field in fields(Prediction)})


def losses(prediction: Prediction, truth: Truth, config: LossConfig | None = None) -> dict[str, Tensor]:
    """The objective of pictures without padding."""
    return objective(prediction, truth, VALID[: len(truth.masks)], config or LossConfig())


def perfect(truth: Truth) -> Prediction:
    """Query 1 of two decoder layers is the object, the others say no; dense map and priors are right."""
    assert truth.class_masks is not None
    b, t = truth.masks.shape[:2]
    targets = targets_from_masks(truth.masks, VALID)
    boxes = torch.full((2, b * t, QUERIES, 4), 0.9)
    boxes[:, :, 1] = targets.boxes.flatten(0, 1)
    logits = torch.full((2, b * t, QUERIES, 1), -SURE)
    logits[:, :, 1] = SURE
    at_stride_4 = sample_masks(truth.masks)
    masks = sure(torch.zeros(b, t, QUERIES, *at_stride_4.shape[-2:]))
    masks[:, :, 1] = sure(at_stride_4)
    queries = DecoderOutput(torch.zeros(2, b * t, QUERIES, 8), boxes, logits)
    prior = sure(F.max_pool2d(truth.class_masks.float(), 16))
    word_prior = sure(F.max_pool2d(truth.masks.float(), 16))
    layers = [masks, masks.clone()]
    return answer(queries=queries, masks=layers, dense=sure(at_stride_4), prior=prior, word_prior=word_prior)


def test_the_perfect_answer_costs_nearly_nothing(truth: Truth) -> None:
    terms = losses(perfect(truth), truth)

    assert set(terms) >= {"class", "box", "giou", "mask_focal", "dice", "dense_bce", "dense_dice", "refer_bce"}
    assert set(terms) >= {"class_0", "prior_bce", "prior_dice", "total"}
    assert terms["total"].item() == pytest.approx(0, abs=1e-3)


def test_the_opposite_answer_costs_much(truth: Truth) -> None:
    right = perfect(truth)
    assert right.dense is not None
    assert right.prior is not None

    terms = losses(answer(dense=-right.dense, prior=-right.prior), truth)

    assert min(terms[name].item() for name in ("dense_bce", "refer_bce", "prior_bce")) > 10
    assert min(terms[name].item() for name in ("dense_dice", "prior_dice")) > 0.9


def test_the_total_is_the_weighted_sum_of_the_terms(truth: Truth) -> None:
    right = perfect(truth)
    assert right.masks is not None
    assert right.dense is not None
    assert right.prior is not None
    rough = replace(
        right, masks=[mask * 0.05 for mask in right.masks], dense=right.dense * 0.1, prior=right.prior * 0.1
    )
    config = LossConfig()

    terms = losses(rough, truth, config)

    last = ("class", "box", "giou", "mask_focal", "dice")
    weights = dict(zip(last, (config.class_, config.box, config.giou, config.mask_focal, config.dice), strict=True))
    expected = sum(weight * (terms[name] + terms[f"{name}_0"]) for name, weight in weights.items())
    expected = expected + config.dense * (2 * terms["dense_bce"] + 5 * terms["dense_dice"])
    expected = expected + config.prior * (2 * terms["prior_bce"] + 5 * terms["prior_dice"])
    expected = expected + config.refer * (terms["refer_bce"] + terms["word_bce"])
    torch.testing.assert_close(terms["total"], expected)


def test_weights_of_zero_leave_nothing(truth: Truth) -> None:
    right = perfect(truth)
    assert right.dense is not None

    wrong = replace(right, dense=-right.dense)

    assert losses(wrong, truth, NOTHING)["total"].item() == 0


def test_the_prior_is_asked_for_every_object_of_the_class_and_the_dense_map_for_one(truth: Truth) -> None:
    one = sure(F.max_pool2d(truth.masks.float(), 16))
    right = perfect(truth)

    terms = losses(answer(dense=right.dense, prior=one), truth)

    assert terms["prior_bce"] > 1
    assert terms["dense_bce"] < 1e-3


def test_without_masks_of_the_class_the_losses_that_need_them_are_left_out_and_the_others_stay(truth: Truth) -> None:
    rough = answer(**{name: value for name, value in vars(perfect(truth)).items() if "prior" not in name})

    all_known, one_object = (losses(rough, known) for known in (truth, Truth(truth.masks)))

    assert losses(perfect(truth), Truth(truth.masks)).keys() == one_object.keys()
    assert all_known.keys() - one_object.keys() == {"refer_bce"}
    assert all(torch.equal(value, all_known[name]) for name, value in one_object.items() if name != "total")
    refer = LossConfig().refer * all_known["refer_bce"]
    torch.testing.assert_close(one_object["total"], all_known["total"] - refer)


def test_a_head_without_queries_has_no_set_losses(truth: Truth) -> None:
    terms = losses(answer(dense=perfect(truth).dense), truth)

    assert set(terms) == {"dense_bce", "dense_dice", "refer_bce", "total"}


def test_refer_counts_the_pixels_of_the_class_alone() -> None:
    target = torch.zeros(1, 1, 2, 4)
    region = torch.zeros(1, 1, 2, 4)
    region[..., 0] = 1

    loss = bce_within(torch.zeros(1, 1, 2, 4), target, region)
    elsewhere = bce_within(torch.where(region > 0, 0.0, SURE), target, region)

    assert loss.item() == pytest.approx(math.log(2))
    assert torch.equal(loss, elsewhere)
    assert bce_within(torch.zeros(1, 1, 2, 4), target, torch.zeros_like(region)) == 0


def test_an_empty_truth_costs_nothing_if_nothing_is_predicted() -> None:
    bce, dice = bce_and_dice(torch.full((1, 2, 4, 4), -SURE), torch.zeros(1, 2, 4, 4))

    assert bce.item() == pytest.approx(0, abs=1e-6)
    assert dice.item() == pytest.approx(0, abs=1e-6)


def test_each_loss_of_a_batch_is_the_mean_of_those_of_its_episodes(truth: Truth) -> None:
    generator = torch.Generator().manual_seed(0)
    dense, prior, word_prior = (torch.randn(2, 3, side, side, generator=generator) for side in (16, 4, 4))
    assert truth.class_masks is not None
    truth.class_masks[0] = True  # else the regions of the two episodes would be equally large

    together = losses(answer(dense=dense, prior=prior, word_prior=word_prior), truth)
    alone = [
        losses(
            answer(dense=dense[i : i + 1], prior=prior[i : i + 1], word_prior=word_prior[i : i + 1]),
            truth.select([i], (64, 64)),
        )
        for i in range(2)
    ]

    assert together.keys() >= {"dense_bce", "refer_bce", "prior_bce", "word_bce", "total"}
    for name, value in together.items():
        torch.testing.assert_close(value, torch.stack([terms[name] for terms in alone]).mean())
