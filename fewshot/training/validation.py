"""Validation on held-out videos of base classes: never a novel class, always the same episodes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from episodes.mixture import Mixture
from episodes.types import Episode
from fewshot.learners import Decoding, Learner
from fewshot.results.metrics import TOLERANCES, score_clip
from fewshot.results.overlays import ClipPicture, Picture, draw_overlay


@dataclass(frozen=True)
class ValidationScores:
    """Means over all frames, in points (0-100)."""

    J: float
    F: float

    @property
    def JF(self) -> float:  # noqa: N802, the measure's name
        return (self.J + self.F) / 2


@dataclass(frozen=True)
class Validation:
    """The first `count` episodes of `dataset`, which may hold features; `pictures` has the same ones with frames."""

    dataset: Mixture[Episode]
    pictures: Mixture[Episode]
    count: int

    def run(self, learner: Learner, device: torch.device) -> tuple[ValidationScores, Picture]:
        """Scores, and a picture (H, W, 3) of the first episode."""
        region, boundary = [], []
        pages: list[Picture] = []
        for index in range(self.count):
            episode: Episode = self.dataset[index].to(device)
            rows, columns = episode.query.picture()
            answer = learner.adapt(episode.support).predict(episode.query, Decoding())
            predicted = answer[0, :, rows, columns].cpu().numpy() > 0.5
            truth = episode.truth.masks[0, :, rows, columns].cpu().numpy()
            j, f = score_clip(predicted, truth, tolerance=TOLERANCES["paper"])
            region.append(j)
            boundary.append(f)
            if not pages:
                pages.append(self._draw(predicted, f"validation J {100 * j.mean():.0f}"))
        scores = ValidationScores(
            100 * float(np.concatenate(region).mean()), 100 * float(np.concatenate(boundary).mean())
        )
        return scores, pages[0]

    def _draw(self, predicted: NDArray[np.bool_], title: str) -> Picture:
        episode = self.pictures[0]
        clips, masks = episode.support.clips, episode.support.masks
        support = [ClipPicture.of_clips(clips, masks, shot) for shot in range(episode.shots)]
        query = ClipPicture.of_clips(episode.query, episode.truth.masks)
        return draw_overlay(support, query, predicted, title=title)
