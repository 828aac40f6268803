"""FewShotRVOS: a frozen trunk encodes clips; a trainable head relates query and support and decodes masks.

Letters: B episodes, K shots. The trunk runs once for each clip, without gradients; learners adapt the head alone.
"""

from collections import OrderedDict

from torch import nn

from episodes.types import Clips, Support
from models.affinity import CrossModalAffinity
from models.config import ModelConfig
from models.decoder import QueryDecoder
from models.deformable import DeformableEncoder
from models.dense_head import DenseMaskHead, PriorGate
from models.fusion import TextFusion
from models.head import Head, Prediction
from models.mask_head import CrossModalFPN, DynamicMaskHead
from models.matching import MatchingAffinity
from models.trunk import Trunk
from models.word_prior import PASSING_BIAS, PASSING_SCALE, WordPrior


def build_head(
    config: ModelConfig, channels: dict[int, int], text_dim: int, semantic_channels: int | None = None
) -> Head:
    """The head of a config; channels: stride -> channels of the trunk's feature, text_dim: length of a word's vector,
    semantic_channels: of the semantic map, if the trunk gives one.

    Parts are made in a fixed order: initial weights are drawn one after the other.
    """
    c, affinity, mask, levels = config.hidden, config.affinity, config.mask, len(config.levels)
    match = affinity.stages == ("match",)
    priors = match + config.word_prior
    together = mask.start == "class_and_words"
    words = {"scale": PASSING_SCALE, "bias": PASSING_BIAS} if together else {}
    queries = mask.head != "dense"
    attention = {"heads": config.heads, "levels": levels, "points": config.points, "ffn": config.ffn}
    return Head(
        config,
        project=nn.ModuleDict({str(stride): level_projection(stride, channels, c) for stride in config.levels}),
        # Published: this epsilon, and dropout 0.1.
        project_text=nn.Sequential(
            OrderedDict(
                linear=nn.Linear(text_dim, c), norm=nn.LayerNorm(c, eps=1e-12), dropout=nn.Dropout(config.dropout)
            )
        ),
        fusion=TextFusion(c, config.heads, config.fusion),
        affinity=CrossModalAffinity(
            c,
            dropout=config.dropout,
            stages=affinity.stages,
            support_frames=affinity.support_frames,
            background=affinity.background,
        )
        if not match
        else None,
        matching=MatchingAffinity(
            channels[16] + channels[32] + (semantic_channels or 0),
            hidden=affinity.hidden,
            dim=affinity.dim,
            elsewhere=affinity.elsewhere,
            adds=mask.head != "query",
            floor=affinity.floor,
        )
        if match
        else None,
        word_prior=WordPrior(channels, text_dim, hidden=config.word_hidden, dim=config.word_dim, **words)
        if config.word_prior
        else None,
        prior_gate=PriorGate(c, priors) if priors else None,
        encoder=DeformableEncoder(c, **attention, layers=config.encoder_layers, dropout=config.dropout),
        fpn=CrossModalFPN(
            c,
            heads=config.heads,
            ffn=config.ffn,
            dropout=config.dropout,
            channels=channels,
            memory_strides=tuple(stride for stride in config.levels if stride <= 32),
            fine_width=mask.fine_width,
            vl_strides=mask.vl_strides,
            mask_dim=mask.mask_dim,
        ),
        decoder=QueryDecoder(
            c,
            **attention,
            layers=config.decoder_layers,
            dropout=config.dropout,
            queries=config.queries,
            mode=config.query_mode,
        )
        if queries
        else None,
        dynamic=DynamicMaskHead(c, mask.mask_dim) if queries else None,
        dense=DenseMaskHead(mask.mask_dim, priors, mask.bound, together) if mask.head != "query" else None,
    )


def level_projection(stride: int, channels: dict[int, int], hidden: int) -> nn.Sequential:
    """Trunk features of a level -> `hidden` channels; stride 64 is made from stride 32."""
    if stride == 64:
        conv = nn.Conv2d(channels[32], hidden, 3, stride=2, padding=1)
    else:
        conv = nn.Conv2d(channels[stride], hidden, 1)
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.GroupNorm(32, hidden))


class FewShotRVOS(nn.Module):
    """Support and query clips in, a `Prediction` for the query out: trunk and head, built by this config."""

    def __init__(self, config: ModelConfig, trunk: Trunk, head: Head) -> None:
        super().__init__()
        self.config = config
        self.trunk = trunk
        self.head = head

    def forward(self, support: Support, query: Clips) -> Prediction:
        """B K support clips and B query clips of one picture size -> prediction for the query."""
        return self.head(self.trunk(support.clips), support.masks, self.trunk(query))
