"""Which regions of an answer are the object: those that resemble the support about as much as the best of them.

Pixels are matched one by one and masks are refined by what objects look like in general, so that an answer may spread
to another object. A region as a whole says more about its class than its pixels.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 0.15  # a region below this share of the largest is a fragment: it is not asked, and not kept


def matching_regions(logits: Tensor, evidence: Tensor, margin: float) -> Tensor:
    """logits (T, H, W) of a clip's answer, evidence (T, h, w) log-odds of the class -> (T, H, W) bool.

    In each frame, the connected regions of the answer (logits above 0) whose mean evidence is at most `margin` below
    that of the best region. A frame of one region keeps it.
    """
    fine = F.interpolate(evidence[:, None], size=logits.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    kept = [_of_frame(*frame, margin) for frame in zip((logits > 0).cpu().numpy(), fine.cpu().numpy(), strict=True)]
    return torch.from_numpy(np.stack(kept)).to(logits.device)


def _of_frame(answer: np.ndarray, evidence: np.ndarray, margin: float) -> np.ndarray:
    count, regions = cv2.connectedComponents(answer.astype(np.uint8))
    if count < 3:  # the background is one of them
        return answer
    sizes = np.bincount(regions.ravel(), minlength=count)
    means = np.bincount(regions.ravel(), weights=evidence.ravel(), minlength=count) / np.maximum(sizes, 1)
    asked = sizes >= SMALL * sizes[1:].max()
    asked[0] = False
    return (asked & (means >= means[asked].max() - margin))[regions]
