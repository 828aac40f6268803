"""A query of an evaluation, and how an answer to it is scored. T frames, H W the size of the files."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from episodes.types import ClipRef, Clips
from fewshot.results.metrics import TOLERANCES, Scores, score_clip


@dataclass(frozen=True)
class Query:
    """One query clip, loaded once for all methods, and its truth: at the size of its files, and at the network's.

    others: (T, h, w) ids of the video's other annotated objects at the network's size, 0 elsewhere.
    """

    ref: ClipRef
    clip: Clips
    truth: NDArray[np.bool_]
    small: NDArray[np.bool_]
    others: NDArray[np.uint8]

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(T,) frames in which the object has a pixel."""
        return np.asarray(self.truth.any(axis=(1, 2)))

    def meets_its_object(self, probability: Tensor) -> bool | None:
        """Whether an answer is about the right object: it shares more pixels, over all frames, with the referred object
        than with any other annotated one, at the network's size. An answer that touches none of them is wrong.

        None where the clip shows no other annotated object, so that there is nothing to confuse.
        """
        if not self.others.any():
            return None
        answer = _threshold(probability, self.small.shape[1:])
        shared = np.bincount(self.others[answer], minlength=256)[1:]  # without the background
        return bool((answer & self.small).sum() > shared.max())

    def score(self, probability: Tensor, scoring: str) -> tuple[Scores, Scores]:
        """(J, F) of each frame: probability (T, h, w) of the picture without its padding.

        `paper` scores at the network's size, except frames in which the object is too small for it: resized, its
        mask is empty, and so would be the right answer; these are scored at the size of the files.
        """
        tolerance = TOLERANCES[scoring]
        if scoring == "davis":
            return score_clip(_threshold(probability, self.truth.shape[1:]), self.truth, tolerance=tolerance)
        region, boundary = score_clip(_threshold(probability, self.small.shape[1:]), self.small, tolerance=tolerance)
        if (lost := self.visible & ~self.small.any(axis=(1, 2))).any():
            whole = self.truth[lost]
            answer = _threshold(probability[torch.from_numpy(lost)], whole.shape[1:])
            region[lost], boundary[lost] = score_clip(answer, whole, tolerance=tolerance)
        return region, boundary


def _threshold(probability: Tensor, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(T, H, W) probabilities -> bool masks of `size`, resized bilinearly first."""
    if probability.shape[-2:] != size:
        probability = F.interpolate(probability[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    return (probability > 0.5).numpy()
