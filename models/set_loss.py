"""The set loss for one object: the query that costs least is matched to the object's whole sequence, then every decoder
layer is scored.

Letters: B clips, T frames, Q queries, H W picture size, h w its size at stride 4. Boxes are (cx, cy, w, h) in [0, 1]
of the unpadded picture. Clips are normalised one by one and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.config import LossConfig

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
MASK_STRIDE = 4


@dataclass
class LayerPrediction:
    """What one decoder layer says: logits (B, T, Q, 1), boxes (B, T, Q, 4), mask logits (B, T, Q, h, w) at stride 4."""

    logits: Tensor
    boxes: Tensor
    masks: Tensor


@dataclass
class SetLosses:
    """total: weighted sum; terms: unweighted scalars, `class` ... `dice` of the last layer and `class_0`, ... of the
    earlier ones; matched (B,) int64: the last layer's query for the object.
    """

    total: Tensor
    terms: dict[str, Tensor]
    matched: Tensor


@dataclass
class Targets:
    """What the queries should say: masks (B, T, H, W) bool at padded picture size; boxes (B, T, 4), zero where the
    object is not visible; visible (B, T) bool.
    """

    masks: Tensor
    boxes: Tensor
    visible: Tensor


def targets_from_masks(masks: Tensor, valid: Tensor) -> Targets:
    """masks (B, T, H, W) bool, valid (B, H, W) bool, False in padding (right and bottom) -> Targets.

    A box reaches from the first to behind the last pixel, in shares of the valid width and height.
    """
    rows, columns = masks.any(3), masks.any(2)  # (B, T, H), (B, T, W)
    top, bottom = _extent(rows)
    left, right = _extent(columns)
    height = valid.any(2).sum(1)[:, None]
    width = valid.any(1).sum(1)[:, None]
    boxes = torch.stack(
        [(left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height], -1
    )
    return Targets(masks=masks, boxes=boxes, visible=rows.any(2))


def _extent(line: Tensor) -> tuple[Tensor, Tensor]:
    """First and behind-last True of (B, T, n); 0 and 0 where there is none."""
    count = line.shape[-1]
    place = torch.arange(count, device=line.device)
    first = torch.where(line, place, count).amin(-1)
    last = torch.where(line, place + 1, 0).amax(-1)
    return torch.where(line.any(-1), first, 0), last


def sample_masks(masks: Tensor) -> Tensor:
    """Truth at stride 4: the pixel at offset 2 of each 4 x 4 cell, (..., H, W) -> (..., H / 4, W / 4) float."""
    offset = MASK_STRIDE // 2
    return masks[..., offset::MASK_STRIDE, offset::MASK_STRIDE].float()


def focal_terms(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Focal loss of each logit if its label were 1, and if it were 0."""
    probability = logits.sigmoid()
    positive = FOCAL_ALPHA * (1 - probability) ** FOCAL_GAMMA * F.softplus(-logits)
    negative = (1 - FOCAL_ALPHA) * probability**FOCAL_GAMMA * F.softplus(logits)
    return positive, negative


def dice_coefficient(logits: Tensor, masks: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Soft overlap 2 |A B| / (|A| + |B|) over `dims`, smoothed by 1 so that two empty masks agree."""
    probability = logits.sigmoid()
    overlap = (probability * masks).sum(dims)
    return (2 * overlap + 1) / (probability.sum(dims) + masks.sum(dims) + 1)


def generalised_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """GIoU in [-1, 1] of boxes (..., 4) as (cx, cy, w, h), pair by pair; broadcasts."""
    low, high = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
    low2, high2 = others[..., :2] - others[..., 2:] / 2, others[..., :2] + others[..., 2:] / 2
    tiny = torch.finfo(boxes.dtype).tiny
    overlap = (torch.minimum(high, high2) - torch.maximum(low, low2)).clamp(min=0).prod(-1)
    union = (high - low).prod(-1) + (high2 - low2).prod(-1) - overlap
    hull = (torch.maximum(high, high2) - torch.minimum(low, low2)).clamp(min=0).prod(-1)
    return overlap / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


@torch.no_grad()
def match(layer: LayerPrediction, targets: Targets, weights: LossConfig) -> Tensor:
    """The matched query of each clip, (B,) int64: that with the lowest cost.

    Scores and boxes are averaged over all frames; masks count as one sequence of T h w pixels.
    """
    positive, negative = focal_terms(layer.logits[..., 0])
    wanted = targets.boxes[:, :, None]
    truth = sample_masks(targets.masks)[:, :, None]
    mask_positive, mask_negative = focal_terms(layer.masks)
    cost = (
        weights.class_ * (positive - negative).mean(1)
        + weights.box * (layer.boxes - wanted).abs().sum(-1).mean(1)
        - weights.giou * generalised_iou(layer.boxes, wanted).mean(1)
        + weights.mask_focal * torch.where(truth > 0, mask_positive, mask_negative).mean((1, 3, 4))
        - weights.dice * dice_coefficient(layer.masks, truth, (1, 3, 4))
    )
    return cost.argmin(1)


def mask_losses(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Focal loss (mean over pixels) and dice loss of whole sequences: logits, masks (B, T, h, w) -> two of (B,)."""
    positive, negative = focal_terms(logits)
    focal = torch.where(masks > 0, positive, negative).mean((1, 2, 3))
    return focal, 1 - dice_coefficient(logits, masks.to(logits.dtype), (1, 2, 3))


def layer_losses(layer: LayerPrediction, matched: Tensor, targets: Targets) -> dict[str, Tensor]:
    """The unweighted terms of one decoder layer whose queries `matched` (B,) are the objects."""
    frames = targets.visible.sum(1).clamp(min=1).to(layer.logits.dtype)  # N of the method, for each clip
    clip = torch.arange(len(matched), device=matched.device)
    chosen = layer.boxes[clip, :, matched]
    focal, dice = mask_losses(layer.masks[clip, :, matched], sample_masks(targets.masks))

    positive, negative = focal_terms(layer.logits[..., 0])
    is_matched = torch.arange(layer.logits.shape[2], device=matched.device) == matched[:, None]
    wanted = targets.visible[:, :, None] & is_matched[:, None]
    sums = {
        "class": torch.where(wanted, positive, negative).sum((1, 2)),
        "box": (chosen - targets.boxes).abs().sum((1, 2)),
        "giou": (1 - generalised_iou(chosen, targets.boxes)).sum(1),
        "mask_focal": focal,
        "dice": dice,
    }
    return {name: (value / frames).mean() for name, value in sums.items()}


def set_losses(layers: Sequence[LayerPrediction], targets: Targets, weights: LossConfig) -> SetLosses:
    """layers: predictions of all decoder layers, the last one last. Each layer is matched on its own."""
    terms: dict[str, Tensor] = {}
    total = layers[-1].logits.new_zeros(())
    factors = weights.model_dump(by_alias=True)
    for index, layer in enumerate(layers):
        matched = match(layer, targets, weights)
        suffix = "" if index == len(layers) - 1 else f"_{index}"
        for name, value in layer_losses(layer, matched, targets).items():
            terms[name + suffix] = value
            total = total + factors[name] * value
    return SetLosses(total=total, terms=terms, matched=matched)
