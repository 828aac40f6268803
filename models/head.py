"""The trainable head: relates query and support, and decodes masks.

Letters: N clips, B episodes, K shots, S support frames a clip, T query frames, Q object queries, L words, C hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from episodes.errors import ConfigError
from episodes.padding import is_tight, size_groups, trim
from episodes.types import Pyramid
from models.affinity import CrossModalAffinity, LevelMemory, pretransform, resize
from models.config import ModelConfig
from models.decoder import DecoderOutput, QueryDecoder
from models.deformable import DeformableEncoder
from models.dense_head import DenseMaskHead, PriorGate, bounded
from models.fusion import TextFusion
from models.mask_head import CrossModalFPN, DynamicMaskHead
from models.matching import MatchingAffinity, MatchingMemory, of_one_length
from models.positions import sine_1d, sine_2d, sine_time
from models.trunk import Encoded, in_order
from models.word_prior import WordPrior


@dataclass
class SupportMemory:
    """What the head keeps of a support set, for query pictures of one size."""

    levels: list[LevelMemory]  # none with stage `match`
    matching: MatchingMemory | None

    def expand(self, batch: int) -> SupportMemory:
        """One episode's memory for `batch` query clips (views, no copies)."""

        def expanded(memory: LevelMemory | MatchingMemory) -> Iterator[Tensor]:
            return (x.expand(batch, *x.shape[1:]) for x in vars(memory).values())

        levels = [LevelMemory(*expanded(level)) for level in self.levels]
        return SupportMemory(levels, None if self.matching is None else MatchingMemory(*expanded(self.matching)))


@dataclass
class Prediction:
    """All outputs for the padded picture; `queries` and `masks` are None for the head `dense`."""

    queries: DecoderOutput | None
    masks: list[Tensor] | None  # for each decoder layer (B, T, Q, H / 4, W / 4) logits
    dense: Tensor | None  # (B, T, H / 4, W / 4) logits
    prior: Tensor | None  # (B, T, H / 16, W / 16) log-odds of the class
    word_prior: Tensor | None  # (B, T, H / 16, W / 16) log-odds of what the words say

    def candidates(self) -> tuple[Tensor, Tensor]:
        """Scores (B, T, Q) and mask logits (B, T, Q, h4, w4) of the last layer; one candidate for the head `dense`."""
        if self.queries is None or self.masks is None:
            assert self.dense is not None
            return torch.zeros_like(self.dense[:, :, :1, 0]), self.dense[:, :, None]
        masks = self.masks[-1]
        scores = self.queries.logits[-1, ..., 0].sigmoid()
        return rearrange(scores, "(b t) q -> b t q", b=masks.shape[0]), masks


class Head(nn.Module):
    """Everything that is trained: projections, fusion, affinity, transformer, mask heads."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        project: nn.ModuleDict,
        project_text: nn.Sequential,
        fusion: TextFusion,
        affinity: CrossModalAffinity | None,
        matching: MatchingAffinity | None,
        word_prior: WordPrior | None,
        prior_gate: PriorGate | None,
        encoder: DeformableEncoder,
        fpn: CrossModalFPN,
        decoder: QueryDecoder | None,
        dynamic: DynamicMaskHead | None,
        dense: DenseMaskHead | None,
    ) -> None:
        """config: which of the parts' inputs are changed, and how; the parts are made first (`build_head`).

        project: stride -> projection of that level; project_text: of words and sentence alike; decoder and dynamic are
        both None for the mask head `dense`, dense is None for the mask head `query`.
        """
        super().__init__()
        self.config = config
        self.project = project
        self.project_text = project_text
        self.fusion = fusion
        self.affinity = affinity
        self.matching = matching
        self.word_prior = word_prior
        self.prior_gate = prior_gate
        self.encoder = encoder
        self.fpn = fpn
        self.decoder = decoder
        self.dynamic = dynamic
        hybrid = decoder is not None and dense is not None
        # Starts at zero: the residual of untrained queries would drown the dense logits.
        self.residual_scale = nn.Parameter(torch.zeros(())) if hybrid else None
        self.dense = dense
        for prefix in config.freeze:
            self.scope(prefix).requires_grad_(False)

    def scope(self, name: str) -> nn.Module:
        """The part of the head with this dotted name; `head` is all of it. Raises ConfigError naming the parts."""
        if name == "head":
            return self
        try:
            return self.get_submodule(name)
        except AttributeError:
            known = ", ".join(["head", *dict(self.named_children())])
            raise ConfigError(f"the head has no part {name!r}; its parts are {known}") from None

    # ------------------------------------------------------------------ shared by query and support

    def _levels(self, pyramid: Pyramid) -> list[Tensor]:
        """Projected features (N, T, C, h, w), one for each level."""
        n = pyramid.f32.shape[0]
        levels = []
        for stride in self.config.levels:
            raw = getattr(pyramid, f"f{min(stride, 32)}")
            projected = self.project[str(stride)](rearrange(raw, "n t c h w -> (n t) c h w"))
            levels.append(rearrange(projected, "(n t) c h w -> n t c h w", n=n))
        return levels

    def _positions(self, valid: Tensor, times: Tensor) -> Tensor:
        """valid (N, h, w) -> (N, T, C, h, w): sine of the place, and of the time where the config asks for it."""
        place = sine_2d(valid, self.config.hidden)[:, None]
        if not self.config.spacetime:
            return place.expand(-1, times.shape[1], -1, -1, -1)
        return place + sine_time(times, self.config.hidden)[..., None, None]

    # ------------------------------------------------------------------ support and query

    def remember(self, support: Encoded, masks: Tensor, size: tuple[int, int], episodes: int = 1) -> SupportMemory:
        """B K support clips, those of an episode side by side, and their masks (B K, S, H, W) bool -> memory of B
        episodes for query pictures of `size` = (H, W).
        """
        groups = size_groups(support.valid)
        parts = [(support, masks)]
        if not is_tight(support.valid):
            chosen = [support.select(group) for group in groups]
            parts = [(clips, trim(masks[group], clips.size)) for clips, group in zip(chosen, groups, strict=True)]

        def by_episode(grouped: Sequence[Tensor]) -> Tensor:
            return rearrange(in_order(groups, grouped), "(b k) ... -> b k ...", b=episodes)

        levels, matching = [], None
        if self.affinity is not None:
            for level in zip(*(self._shown(clips, part, size) for clips, part in parts), strict=True):
                fused, coverage = map(by_episode, zip(*level, strict=True))
                levels.append(self.affinity.remember(fused, coverage))
        if self.matching is not None:
            embed = self.matching.embeddings
            alone = [
                self.matching.remember(embed(matched_maps(clips.pyramid)), part, clips.valid) for clips, part in parts
            ]
            matching = MatchingMemory(*(by_episode(of_one_length(x)) for x in zip(*alone, strict=True)))
        return SupportMemory(levels, matching)

    def _shown(self, support: Encoded, masks: Tensor, size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
        """Of N clips of one size, for each level on the query's grid: fused features (N, S, C, h, w), and the share of
        each cell that the mask covers (N, S, h, w)."""
        words = self.project_text(support.words)
        word_positions = sine_1d(support.word_valid, self.config.hidden)
        levels = []
        for stride, feature in zip(self.config.levels, self._levels(support.pyramid), strict=True):
            # Published: the transform is skipped for the level made from f32.
            if self.config.affinity.pretransform and stride <= 32:
                feature = pretransform(feature)
            place = self._positions(_shrink(support.valid, feature), support.times) if self.config.spacetime else None
            fused = self.fusion(feature, words, word_positions, support.word_valid, place)
            grid = (-(-size[0] // stride), -(-size[1] // stride))
            levels.append((resize(fused, grid), self._coverage(masks, support.valid, grid)))
        return levels

    def _coverage(self, masks: Tensor, valid: Tensor, grid: tuple[int, int]) -> Tensor:
        """Support masks (N, S, H, W) on a level's grid: (N, S, h, w) in [0, 1]."""
        masks = masks[:, :, None].float()
        if self.config.affinity.align_masks:
            return resize(masks, grid)[:, :, 0]
        # Published: the mask without its padding is resized to the grid of the padded picture.
        sizes = _picture_size(valid).int().tolist()
        clips = [resize(mask[None, ..., :h, :w], grid) for mask, (w, h) in zip(masks, sizes, strict=True)]
        return torch.cat(clips)[:, :, 0]

    def decode(self, query: Encoded, memory: SupportMemory) -> Prediction:
        """B query clips and the memory of their B episodes -> logits at stride 4."""
        b, t = query.times.shape
        words, sentence = self.project_text(query.words), self.project_text(query.sentence)
        word_positions = sine_1d(query.word_valid, self.config.hidden)
        prior = word_prior = None
        trust = None if self.matching is None else self.matching.trust.added
        if self.matching is not None and memory.matching is not None:
            prior = self.matching(self.matching.embeddings(matched_maps(query.pyramid)), memory.matching)
        if self.word_prior is not None:
            valid16 = _shrink(query.valid, query.pyramid.f16)
            word_prior = self.word_prior(query.pyramid, valid16, query.times, query.words, query.word_valid)
        priors = [log_odds for log_odds in (prior, word_prior) if log_odds is not None]

        related, valids, positions = [], [], []
        for feature, level in zip_longest(self._levels(query.pyramid), memory.levels):
            valid = _shrink(query.valid, feature)
            place = self._positions(valid, query.times)
            in_attention = place if self.config.spacetime else None
            feature = self.fusion(feature, words, word_positions, query.word_valid, in_attention)
            if self.affinity is not None and level is not None:
                feature = self.affinity(feature, level)
            if self.prior_gate is not None:
                feature = self.prior_gate(feature, priors)
            related.append(rearrange(feature, "b t c h w -> (b t) c h w"))
            valids.append(repeat(valid, "b h w -> (b t) h w", t=t))
            positions.append(rearrange(place, "b t c h w -> (b t) c h w"))

        memories = self.encoder(related, positions, valids)
        features = self._mask_features(query, memories, words, positions, valids)
        dense = None
        if self.dense is not None:
            dense = rearrange(self.dense(features, priors, trust), "(b t) h w -> b t h w", b=b)
        queries, masks = None, None
        if self.decoder is not None and self.dynamic is not None:
            queries = self.decoder(memories, valids, repeat(sentence, "b c -> (b t) c", t=t))
            picture = repeat(_picture_size(query.valid), "b xy -> (b t) xy", t=t)
            masks = []
            for hidden, boxes in zip(queries.hidden, queries.boxes.detach(), strict=True):
                logits = self.dynamic(features, hidden, boxes[..., :2], picture)
                logits = rearrange(logits, "(b t) q h w -> b t q h w", b=b)
                if dense is not None and self.residual_scale is not None:
                    logits = bounded(self.residual_scale * logits, self.config.mask.bound)
                    logits = dense[:, :, None] + (logits if trust is None else trust * logits)
                masks.append(logits)
        return Prediction(queries, masks, dense, prior, word_prior)

    def _mask_features(
        self, query: Encoded, memories: list[Tensor], words: Tensor, positions: list[Tensor], valids: list[Tensor]
    ) -> Tensor:
        """Cross-modal FPN: memories of the levels, raw trunk features below them -> (B T, c, h4, w4)."""
        features, place, valid = (
            dict(zip(self.config.levels, maps, strict=True)) for maps in (memories, positions, valids)
        )
        for stride in (4, 8):
            if stride not in features:
                raw = getattr(query.pyramid, f"f{stride}")
                features[stride] = rearrange(raw, "b t c h w -> (b t) c h w")
                if stride in self.config.mask.vl_strides:
                    shrunk = _shrink(query.valid, raw)
                    valid[stride] = repeat(shrunk, "b h w -> (b t) h w", t=raw.shape[1])
                    place[stride] = rearrange(self._positions(shrunk, query.times), "b t c h w -> (b t) c h w")
        return self.fpn(features, words, query.word_valid, place, valid)

    def forward(self, support: Encoded, masks: Tensor, query: Encoded) -> Prediction:
        """B K support clips with their masks, and the B query clips of their episodes, of one picture size.

        ValueError if the query pictures differ in size, for then the answers would depend on the padding.
        """
        if not is_tight(query.valid):
            raise ValueError(
                f"query pictures must have one size and no more padding than it needs, found {len(query)} of "
                f"{len(size_groups(query.valid))} sizes, padded to {query.size}; split the batch with Episode.by_size"
            )
        return self.decode(query, self.remember(support, masks, query.size, len(query)))


def matched_maps(pyramid: Pyramid) -> tuple[Tensor, ...]:
    """What the matching affinity compares, the finest first; the semantic map only where the experiment asks for it."""
    maps = (pyramid.f16, pyramid.f32, pyramid.semantic)
    return tuple(x for x in maps if x is not None)


def _shrink(valid: Tensor, feature: Tensor) -> Tensor:
    """Padding mask (N, H, W) by nearest resizing to the grid of `feature` (N, T, C, h, w)."""
    return F.interpolate(valid[:, None].float(), size=feature.shape[-2:])[:, 0].bool()


def _picture_size(valid: Tensor) -> Tensor:
    """(N, H, W) -> (N, 2) width and height of the picture without padding, in pixels."""
    return torch.stack([valid[:, 0].sum(-1), valid[:, :, 0].sum(-1)], dim=-1).float()
