"""The whole training objective: published set losses where there are queries, plus dense and prior losses (ours)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from episodes.types import Truth
from models.config import LossConfig
from models.head import Prediction
from models.set_loss import LayerPrediction, sample_masks, set_losses, targets_from_masks


def objective(prediction: Prediction, truth: Truth, valid: Tensor, config: LossConfig) -> dict[str, Tensor]:
    """Named scalar losses, each a mean over episodes: the unweighted terms, and `total`, their weighted sum.

    valid (B, H, W) bool: where the query's pictures are. Without `truth.class_masks` the losses of `prior` and `refer`
    are left out: they need the masks of all objects of the class, which only base classes have.
    """
    of_class = truth.class_masks
    terms: dict[str, Tensor] = {}
    total = torch.zeros((), device=truth.masks.device)
    if prediction.queries is not None and prediction.masks is not None:
        logits, boxes = (
            rearrange(x.float(), "layers (b t) q c -> layers b t q c", b=len(valid))
            for x in (prediction.queries.logits, prediction.queries.boxes)
        )
        masks = (layer.float() for layer in prediction.masks)
        layers = [LayerPrediction(*layer) for layer in zip(logits, boxes, masks, strict=True)]
        losses = set_losses(layers, targets_from_masks(truth.masks, valid), config)
        terms.update(losses.terms)
        total = total + losses.total
    if prediction.dense is not None:
        # BCE rather than focal: the dense map is one classifier for each pixel, with no surplus of easy queries.
        terms["dense_bce"], terms["dense_dice"] = bce_and_dice(prediction.dense, sample_masks(truth.masks))
        total = total + config.dense * (2 * terms["dense_bce"] + 5 * terms["dense_dice"])
        if of_class is not None:
            terms["refer_bce"] = bce_within(prediction.dense, sample_masks(truth.masks), sample_masks(of_class))
            total = total + config.refer * terms["refer_bce"]
    if prediction.word_prior is not None and of_class is not None:
        size = (prediction.word_prior.shape[-2], prediction.word_prior.shape[-1])
        referred, share = (F.adaptive_avg_pool2d(m.float(), size) for m in (truth.masks, of_class))
        terms["word_bce"] = bce_within(prediction.word_prior, referred / share.clamp_min(1e-6), share)
        total = total + config.refer * terms["word_bce"]
    if prediction.prior is not None and of_class is not None:
        size = (prediction.prior.shape[-2], prediction.prior.shape[-1])
        share = F.adaptive_avg_pool2d(of_class.float(), size)
        terms["prior_bce"], terms["prior_dice"] = bce_and_dice(prediction.prior, share)
        total = total + config.prior * (2 * terms["prior_bce"] + 5 * terms["prior_dice"])
    return {**terms, "total": total}


def bce_and_dice(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets in [0, 1], both (B, T, h, w) -> mean binary cross-entropy, and 1 - dice of whole sequences."""
    bce = F.binary_cross_entropy_with_logits(logits.float(), target)
    probability = logits.float().sigmoid().flatten(1)
    target = target.flatten(1)
    dice = (2 * (probability * target).sum(1) + 1) / (probability.sum(1) + target.sum(1) + 1)
    return bce, (1 - dice).mean()


def bce_within(logits: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """Binary cross-entropy on the pixels of `region` (B, T, h, w) in [0, 1]: mean of each episode, then of all.

    Most pixels are settled by the class; the words decide only between objects of the class, a few percent of the
    pixels, and their share of a mean over the picture is too small to learn from quickly. An episode with less than one
    pixel of the region counts less.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return ((losses * region).flatten(1).sum(1) / region.flatten(1).sum(1).clamp_min(1)).mean()
