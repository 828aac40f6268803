"""A head that has taken in one support set, and answers queries."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from episodes.padding import is_tight, pad, size_groups
from episodes.types import Clips
from fewshot.config.evaluation import EvaluateConfig
from fewshot.learners.regions import matching_regions
from models.head import Head, SupportMemory
from models.network import FewShotRVOS
from models.trunk import Encoded, in_order


@dataclass(frozen=True)
class Decoding:
    """How a clip longer than `chunk_frames` is decoded: frames pass the network in chunks of that length.

    A query index means the same trajectory in all chunks, so `linked` follows the one with the best mean score over the
    whole clip. Published: chosen again in every chunk (`chunk`). threshold: the probability that is answered as 0.5.
    regions: margin of `matching_regions`, None for all.
    """

    chunk_frames: int = 10
    trajectory: Literal["linked", "chunk"] = "linked"
    threshold: float = 0.5
    regions: float | None = None

    @classmethod
    def of(cls, config: EvaluateConfig) -> Self:
        return cls(config.chunk_frames, config.trajectory, config.threshold, config.regions)


class Predicts(Protocol):
    """What answers queries: a learner's predictor, or prototype matching."""

    def predict(self, query: Clips, decoding: Decoding) -> Tensor:
        """N query clips of any length -> mask probabilities (N, T, H, W) at the padded picture size, 0 in padding."""


class Predictor:
    """Remembers the support once for each picture size; a long query passes in chunks."""

    def __init__(self, network: FewShotRVOS, head: Head, support: Encoded, masks: Tensor) -> None:
        """support: K clips of one episode; masks (K, S, H, W) bool."""
        self.network = network
        self.head = head
        self.support = support
        self.masks = masks
        self._memories: dict[tuple[int, int], SupportMemory] = {}

    @torch.no_grad()
    def predict(self, query: Clips, decoding: Decoding = Decoding()) -> Tensor:
        """N query clips of any length -> mask probabilities (N, T, H, W) at the padded picture size, 0 in padding."""
        self.head.eval()
        if is_tight(query.valid):
            return self._predict(query, decoding)
        groups = size_groups(query.valid)
        parts = [pad(self._predict(query.select(group), decoding), query.size) for group in groups]
        return in_order(groups, parts)

    def _predict(self, query: Clips, decoding: Decoding) -> Tensor:
        """The same for clips of one picture size."""
        n, t = query.times.shape
        if query.size not in self._memories:
            self._memories[query.size] = self.head.remember(self.support, self.masks, query.size)
        memory = self._memories[query.size].expand(n)
        scores, masks, evidence = [], [], []
        for start in range(0, t, decoding.chunk_frames):
            chunk = self.network.trunk(query.take_frames(slice(start, start + decoding.chunk_frames)))
            prediction = self.head.decode(chunk, memory)
            score, mask = prediction.candidates()
            scores.append(score.float())
            masks.append(mask.float())
            if prediction.prior is not None:
                evidence.append(prediction.prior.float())
        if decoding.trajectory == "linked":
            scores, masks = [torch.cat(scores, dim=1)], [torch.cat(masks, dim=1)]
        chosen = torch.cat([_best(score, mask) for score, mask in zip(scores, masks, strict=True)], dim=1)
        logits = F.interpolate(chosen, size=query.size, mode="bilinear", align_corners=False)
        logits = logits - math.log(decoding.threshold / (1.0 - decoding.threshold))
        if decoding.regions is not None and evidence:
            clips = zip(logits, torch.cat(evidence, dim=1), strict=True)
            kept = torch.stack([matching_regions(*clip, decoding.regions) for clip in clips])
            logits = logits.where(kept | (logits <= 0), -torch.inf)
        return (logits.sigmoid() * query.valid[:, None]).float()


def _best(scores: Tensor, masks: Tensor) -> Tensor:
    """Scores (N, T, Q) and masks (N, T, Q, h, w) -> (N, T, h, w): of each clip, the query with the best mean score."""
    best = scores.mean(dim=1).argmax(dim=-1)
    return masks[torch.arange(len(best), device=best.device), :, best]
