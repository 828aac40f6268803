"""The set loss for one object: match a query to the object's sequence, then score every decoder layer.

Letters: B clips, T frames, Q queries, h w the size at stride 4. Clips are normalised one by one and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.matching import (
    LossWeights,
    Targets,
    dice_coefficient,
    focal_terms,
    generalised_iou,
    match,
    sample_masks,
    targets_from_masks,
)

__all__ = [
    "LayerPrediction",
    "LossWeights",
    "SetCriterion",
    "SetLosses",
    "Targets",
    "mask_losses",
    "targets_from_masks",
]


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


def mask_losses(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Focal loss (mean over pixels) and dice loss of whole sequences: logits, masks (B, T, h, w) -> two of (B,)."""
    positive, negative = focal_terms(logits)
    focal = torch.where(masks > 0, positive, negative).mean((1, 2, 3))
    return focal, 1 - dice_coefficient(logits, masks.to(logits.dtype), (1, 2, 3))


class SetCriterion(nn.Module):
    """Loss of all decoder layers against one object a clip."""

    def __init__(self, weights: LossWeights | None = None) -> None:
        super().__init__()
        self.weights = weights or LossWeights()

    def forward(self, layers: Sequence[LayerPrediction], targets: Targets) -> SetLosses:
        """layers: predictions of all decoder layers, the last one last. Each layer is matched on its own."""
        terms: dict[str, Tensor] = {}
        total = layers[-1].logits.new_zeros(())
        weights = self.weights
        factors = {
            "class": weights.class_,
            "box": weights.box,
            "giou": weights.giou,
            "mask_focal": weights.mask_focal,
            "dice": weights.dice,
        }
        for index, layer in enumerate(layers):
            matched = match(layer.logits, layer.boxes, layer.masks, targets, self.weights)
            suffix = "" if index == len(layers) - 1 else f"_{index}"
            for name, value in self._layer(layer, matched, targets).items():
                terms[name + suffix] = value
                total = total + factors[name] * value
        return SetLosses(total=total, terms=terms, matched=matched)

    def _layer(self, layer: LayerPrediction, matched: Tensor, targets: Targets) -> dict[str, Tensor]:
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
