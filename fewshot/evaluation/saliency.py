"""A row that never sees the support: what differs from the border of the query's own frames.

It shows how much of a benchmark is saliency: where a single object stands out, it scores without knowing what is asked.
T frames, n tokens of a frame, c channels.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from episodes.types import Support
from fewshot.evaluation.nearest import TEMPERATURE, centred, mean_of_pictures
from fewshot.evaluation.tokens import ClipByClip
from models.trunk import Trunk


class SaliencyPredictor(ClipByClip):
    """The classic boundary prior: a token is foreground if it resembles no token at the border of its frame."""

    def __init__(self, trunk: Trunk, support: Support) -> None:
        """support: not looked at; the other rows have it too."""
        self.trunk = trunk

    def _clip(self, tokens: Tensor, visible: Tensor) -> Tensor:
        seen = visible.flatten() > 0.5
        border = border_of(visible > 0.5).flatten()
        kept = centred(tokens, mean_of_pictures(tokens, visible.flatten()))
        likeness = torch.exp(TEMPERATURE * (kept @ kept[:, border].transpose(1, 2) - 1.0)).mean(-1)
        salience = -torch.log(likeness + 1e-26)
        return salience - otsu_threshold(salience[:, seen])  # one threshold for the whole clip


def border_of(visible: Tensor) -> Tensor:
    """visible (h, w) bool, a rectangle at the top left -> its outermost ring."""
    rows, columns = (int(visible.any(dim=axis).sum()) for axis in (1, 0))
    inner = torch.zeros_like(visible)
    inner[1 : rows - 1, 1 : columns - 1] = True
    return visible & ~inner


def otsu_threshold(values: Tensor) -> float:
    """The threshold that separates the values into the two most compact halves (Otsu), to a 255th of their range."""
    low, high = float(values.min()), float(values.max())
    scaled = ((values - low) * (255 / max(high - low, 1e-6))).round().to(torch.uint8).cpu().numpy()
    cut, _ = cv2.threshold(np.ascontiguousarray(scaled.reshape(1, -1)), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + (cut + 0.5) * (high - low) / 255
