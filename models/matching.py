"""One query is matched to the object's whole sequence: the cheapest wins.

Letters: B clips, T frames, Q queries, H W picture size, h w its size at stride 4. Boxes are (cx, cy, w, h) in [0, 1]
of the unpadded picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
MASK_STRIDE = 4


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms, in the matching cost and in the loss alike; the published values."""

    class_: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    mask_focal: float = 2.0
    dice: float = 5.0


@dataclass
class Targets:
    """What the queries should say: masks (B, T, H, W) bool at padded picture size; boxes (B, T, 4), zero where the
    object is not visible; visible (B, T) bool.
    """

    masks: Tensor
    boxes: Tensor
    visible: Tensor

    def __post_init__(self) -> None:
        b, t = self.masks.shape[:2]
        if tuple(self.boxes.shape) != (b, t, 4) or tuple(self.visible.shape) != (b, t):
            raise ValueError(
                f"Targets of masks {tuple(self.masks.shape)} need boxes {(b, t, 4)} and visible {(b, t)}, "
                f"found {tuple(self.boxes.shape)} and {tuple(self.visible.shape)}"
            )


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
def match(logits: Tensor, boxes: Tensor, masks: Tensor, targets: Targets, weights: LossWeights | None = None) -> Tensor:
    """logits (B, T, Q, 1), boxes (B, T, Q, 4), masks (B, T, Q, h, w) logits -> matched query of each clip, (B,) int64.

    Scores and boxes are averaged over all frames; masks count as one sequence of T h w pixels.
    """
    weights = weights or LossWeights()
    positive, negative = focal_terms(logits[..., 0])
    wanted = targets.boxes[:, :, None]
    truth = sample_masks(targets.masks)[:, :, None]
    mask_positive, mask_negative = focal_terms(masks)
    cost = (
        weights.class_ * (positive - negative).mean(1)
        + weights.box * (boxes - wanted).abs().sum(-1).mean(1)
        - weights.giou * generalised_iou(boxes, wanted).mean(1)
        + weights.mask_focal * torch.where(truth > 0, mask_positive, mask_negative).mean((1, 3, 4))
        - weights.dice * dice_coefficient(masks, truth, (1, 3, 4))
    )
    return cost.argmin(1)
