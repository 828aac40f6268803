"""Names of the published checkpoint layout -> ours. In-memory mapping of state dicts, strict in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

# Prefix of the published layout -> ours; the first that fits wins. Names behind it are the same, but for PARTS.
PREFIXES = {
    "backbone.0.body.": "trunk.image.model.",
    "text_encoder.": "trunk.text.model.",
    "resizer.fc.": "head.project_text.linear.",
    "resizer.layer_norm.": "head.project_text.norm.",
    "fusion_module.multihead_attn.": "head.fusion.attention.",
    "support_qkv.": "head.affinity.support_qkv.",
    "query_qkv.": "head.affinity.query_qkv.",
    "conv_q.": "head.affinity.point.",
    "layer_norm.": "head.affinity.norm.",
    "transformer.level_embed": "head.encoder.level_embed",
    "transformer.encoder.": "head.encoder.",
    "transformer.reference_points.": "head.decoder.queries.reference_points.",
    "transformer.decoder.query_scale.": "head.decoder.queries.query_scale.",
    "transformer.decoder.ref_point_head.": "head.decoder.queries.ref_point_head.",
    "transformer.decoder.": "head.decoder.",
    "query_embed.": "head.decoder.queries.query_embed.",
    "tgt_embed.": "head.decoder.queries.tgt_embed.",
    "refpoint_embed.": "head.decoder.queries.refpoint_embed.",
    "class_embed.": "head.decoder.class_embed.",
    "bbox_embed.": "head.decoder.bbox_embed.",
    "controller.": "head.dynamic.controller.",
    "pixel_decoder.mask_features.": "head.fpn.mask_features.",
    **{f"input_proj.{level}.": f"head.project.{8 * 2**level}." for level in range(4)},
    **{f"pixel_decoder.adapter_{n}.norm.": f"head.fpn.stages.{2 ** (n + 1)}.adapter.1." for n in range(1, 5)},
    **{f"pixel_decoder.adapter_{n}.": f"head.fpn.stages.{2 ** (n + 1)}.adapter.0." for n in range(1, 5)},
    **{f"pixel_decoder.layer_{n}.norm.": f"head.fpn.stages.{2 ** (n + 1)}.layer.1." for n in range(1, 5)},
    **{f"pixel_decoder.layer_{n}.": f"head.fpn.stages.{2 ** (n + 1)}.layer.0." for n in range(1, 5)},
    **{f"pixel_decoder.cross_attn_{n}.": f"head.fpn.stages.{2 ** (n + 1)}.block." for n in range(1, 5)},
}
PARTS = {"linear1": "ffn.linear1", "linear2": "ffn.linear2", "Key": "key", "Value": "value"}


class ConversionError(ValueError):
    """A state dict that is not of the published layout, or not of this model's shape."""


@dataclass(frozen=True)
class Conversion:
    """state: our names; renamed: published name -> ours; dropped: published names that this variant has no use for."""

    state: dict[str, Tensor]
    renamed: dict[str, str]
    dropped: tuple[str, ...]


def our_name(published: str) -> str:
    """Our name of one published parameter or buffer; ConversionError for a name outside the layout."""
    for prefix, ours in PREFIXES.items():
        if published.startswith(prefix):
            rest = published.removeprefix(prefix)
            if not ours.startswith("trunk."):
                rest = ".".join(PARTS.get(part, part) for part in rest.split("."))
            return ours + rest
    raise ConversionError(f"{published!r} is no name of the published checkpoint layout")


def from_published(published: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Conversion:
    """Published state dict -> a full state dict for a model whose present one is `own`.

    Batch counters, which frozen norms do not carry, keep their value in `own`. Raises ConversionError where a name
    is unknown, a shape differs, tied values disagree, or one of our parameters gets no value. Published affinity
    weights that a variant (`base`, `self`) never reads are dropped and listed.
    """
    state: dict[str, Tensor] = {}
    renamed: dict[str, str] = {}
    dropped: list[str] = []
    for name, value in published.items():
        ours = our_name(name)
        if ours not in own:
            if not ours.startswith("head.affinity.") and not name.endswith(("position_ids", "token_type_ids")):
                raise ConversionError(f"{name!r} would be {ours!r}, which this model does not have")
            dropped.append(name)
            continue
        if value.shape != own[ours].shape:
            raise ConversionError(
                f"{name!r} has shape {tuple(value.shape)}, but {ours!r} of this model has {tuple(own[ours].shape)}"
            )
        if ours in state and not bool((state[ours] == value).all()):
            raise ConversionError(f"{name!r} and its twin disagree, both are {ours!r}")
        state[ours] = value
        renamed[name] = ours
    missing = [name for name in own if name not in state and not _keeps_own(name)]
    if missing:
        raise ConversionError(f"{len(missing)} parameters get no value, such as {missing[:3]}")
    return Conversion({**{name: own[name] for name in own if _keeps_own(name)}, **state}, renamed, tuple(dropped))


def _keeps_own(name: str) -> bool:
    return re.search(r"(num_batches_tracked|position_ids|token_type_ids)$", name) is not None
