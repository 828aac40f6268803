"""The objective: near zero for the perfect answer, and each weight and switch does what it says."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from episodes.types import ClipBatch
from models.config import LossConfig
from models.decoder import DecoderOutput
from models.matching import sample_masks, targets_from_masks
from models.network import Prediction
from models.objective import bce_and_dice, bce_within, objective
from tests.random_clips import random_clips

QUERIES = 3
SURE = 30.0
NOTHING = LossConfig(class_=0, box=0, giou=0, mask_focal=0, dice=0, dense=0, refer=0, prior=0)


@pytest.fixture
def query() -> ClipBatch:
    """Two clips whose boxes lie on the grid of stride 16, so that every map can show them exactly."""
    clips = random_clips(2, frames=3)
    masks = torch.zeros_like(clips.masks)
    masks[0, :, 16:48, :32] = True
    masks[1, :, :32, 32:] = True
    others = masks.clone()
    others[:, :, 48:] = True
    return replace(clips, masks=masks, class_masks=others)


def sure(masks: Tensor) -> Tensor:
    return (2 * masks.float() - 1) * SURE


def answer(**given: Any) -> Prediction:
    """A prediction that holds these outputs and no other."""
    return Prediction(**{field.name: given.get(field.name) for field in fields(Prediction)})


def perfect(query: ClipBatch) -> Prediction:
    """Query 1 of two decoder layers is the object, the others say no; dense map and priors are right."""
    b, t = query.masks.shape[:2]
    targets = targets_from_masks(query.masks, query.valid)
    boxes = torch.full((2, b * t, QUERIES, 4), 0.9)
    boxes[:, :, 1] = targets.boxes.flatten(0, 1)
    logits = torch.full((2, b * t, QUERIES, 1), -SURE)
    logits[:, :, 1] = SURE
    truth = sample_masks(query.masks)
    masks = sure(torch.zeros(b, t, QUERIES, *truth.shape[-2:]))
    masks[:, :, 1] = sure(truth)
    queries = DecoderOutput(torch.zeros(2, b * t, QUERIES, 8), boxes[0], boxes, boxes, logits)
    prior = sure(F.max_pool2d(query.class_masks.float(), 16))
    word_prior = sure(F.max_pool2d(query.masks.float(), 16))
    layers = [masks, masks.clone()]
    return answer(queries=queries, masks=layers, dense=sure(truth), prior=prior, word_prior=word_prior)


def test_the_perfect_answer_costs_nearly_nothing(query: ClipBatch) -> None:
    terms = objective(perfect(query), query, LossConfig())

    assert set(terms) >= {"class", "box", "giou", "mask_focal", "dice", "dense_bce", "dense_dice", "refer_bce"}
    assert set(terms) >= {"class_0", "prior_bce", "prior_dice", "total"}
    assert terms["total"].item() == pytest.approx(0, abs=1e-3)


def test_the_opposite_answer_costs_much(query: ClipBatch) -> None:
    right = perfect(query)
    assert right.dense is not None
    assert right.prior is not None

    terms = objective(answer(dense=-right.dense, prior=-right.prior), query, LossConfig())

    assert min(terms[name].item() for name in ("dense_bce", "refer_bce", "prior_bce")) > 10
    assert min(terms[name].item() for name in ("dense_dice", "prior_dice")) > 0.9


def test_the_total_is_the_weighted_sum_of_the_terms(query: ClipBatch) -> None:
    right = perfect(query)
    assert right.masks is not None
    assert right.dense is not None
    assert right.prior is not None
    rough = replace(
        right, masks=[mask * 0.05 for mask in right.masks], dense=right.dense * 0.1, prior=right.prior * 0.1
    )
    config = LossConfig()

    terms = objective(rough, query, config)

    last = ("class", "box", "giou", "mask_focal", "dice")
    weights = dict(zip(last, (config.class_, config.box, config.giou, config.mask_focal, config.dice), strict=True))
    expected = sum(weight * (terms[name] + terms[f"{name}_0"]) for name, weight in weights.items())
    expected = expected + config.dense * (2 * terms["dense_bce"] + 5 * terms["dense_dice"])
    expected = expected + config.prior * (2 * terms["prior_bce"] + 5 * terms["prior_dice"])
    expected = expected + config.refer * (terms["refer_bce"] + terms["word_bce"])
    torch.testing.assert_close(terms["total"], expected)


def test_weights_of_zero_leave_nothing(query: ClipBatch) -> None:
    right = perfect(query)
    assert right.dense is not None

    wrong = replace(right, dense=-right.dense)

    assert objective(wrong, query, NOTHING)["total"].item() == 0


def test_the_prior_is_asked_for_every_object_of_the_class_and_the_dense_map_for_one(query: ClipBatch) -> None:
    one = sure(F.max_pool2d(query.masks.float(), 16))
    right = perfect(query)

    terms = objective(answer(dense=right.dense, prior=one), query, LossConfig())

    assert terms["prior_bce"] > 1
    assert terms["dense_bce"] < 1e-3


def test_where_the_class_is_not_known_its_masks_are_never_read(query: ClipBatch) -> None:
    hidden = replace(query, class_masks=~query.class_masks)

    first, second = (objective(perfect(query), clips, LossConfig(), class_known=False) for clips in (query, hidden))

    assert {"refer_bce", "word_bce", "prior_bce", "prior_dice"}.isdisjoint(first)
    assert first.keys() == second.keys()
    assert torch.equal(first["total"], second["total"])


def test_a_head_without_queries_has_no_set_losses(query: ClipBatch) -> None:
    terms = objective(answer(dense=perfect(query).dense), query, LossConfig())

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


def test_the_loss_of_a_batch_is_the_mean_of_its_episodes(query: ClipBatch) -> None:
    logits = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    together = objective(answer(dense=logits), query, LossConfig(refer=0))["total"]
    alone = [
        objective(answer(dense=logits[i : i + 1]), query.select([i]), LossConfig(refer=0))["total"] for i in range(2)
    ]

    torch.testing.assert_close(together, torch.stack(alone).mean())
