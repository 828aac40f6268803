"""State dicts of the published checkpoint layout <-> ours. In memory, strict, and every entry is accounted for.

Names are one to one, except that box heads have two published names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from episodes.errors import ConversionError
from fewshot.runs.encoders import CONSTANTS

HEAD, IMAGE, TEXT = "head.", "trunk.image.model.", "trunk.text.model."  # parts of our network
# Prefix of the published layout -> ours; the first that fits wins. The rest of a name is the same, except for PARTS.
PREFIXES = {
    "backbone.0.body.": IMAGE,
    "text_encoder.": TEXT,
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
    "transformer.decoder.bbox_embed.": "head.decoder.bbox_embed.",
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
# Parts of dotted names in the head, published -> ours.
PARTS = {"linear1": "ffn.linear1", "linear2": "ffn.linear2", "Key": "key", "Value": "value"}
# Parameters of an attention whose words have another width than its queries; published, all widths are one.
_SEPARATE = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
AFFINITY = "head.affinity."
QUERY_FORMS = (
    ("head.decoder.queries.query_embed.", "head.decoder.queries.reference_points."),
    (
        "head.decoder.queries.tgt_embed.",
        "head.decoder.queries.refpoint_embed.",
        "head.decoder.queries.ref_point_head.",
        "head.decoder.queries.query_scale.",
    ),
)
# Parts that a variant of ours may lack: what the checkpoint has for them is carried along.
OPTIONAL = {
    **{
        f"{AFFINITY}{part}.": "this variant of the affinity has no such part"
        for part in ("query_qkv", "support_qkv", "point", "norm")
    },
    **{f"head.fpn.stages.{stride}.block.": f"no vision-language block at stride {stride}" for stride in (4, 8, 16, 32)},
    "head.decoder.": "this mask head has no object queries",
    "head.dynamic.": "this mask head has no object queries",
}
OURS_ALONE = ("head.matching.", "head.word_prior.", "head.prior_gate.", "head.residual_scale", "head.dense.")


def our_name(published: str) -> str | None:
    """Our name of a published parameter or buffer; None for a name outside the layout."""
    for prefix, ours in PREFIXES.items():
        if published.startswith(prefix):
            rest = published.removeprefix(prefix)
            if ours.startswith(HEAD):
                rest = ".".join(PARTS.get(part, part) for part in rest.split("."))
            return ours + rest if published in published_names(ours + rest) else None
    return None


def published_names(ours: str) -> tuple[str, ...]:
    """All names that the published layout has for one of ours; none where it has no place for it."""
    if ours.endswith(_SEPARATE):
        return ()
    fitting = [(theirs, prefix) for theirs, prefix in PREFIXES.items() if ours.startswith(prefix)]
    longest = max((len(prefix) for _, prefix in fitting), default=0)
    rest = _their_parts(ours[longest:]) if ours.startswith(HEAD) else ours[longest:]
    return tuple(theirs + rest for theirs, prefix in fitting if len(prefix) == longest)


def _their_parts(name: str) -> str:
    framed = f".{name}."
    for theirs, ours in PARTS.items():
        framed = framed.replace(f".{ours}.", f".{theirs}.")
    return framed[1:-1]


@dataclass(frozen=True)
class Conversion:
    """What became of each entry.

    state: our name -> value, for every entry that has a place; renamed: published name -> ours; carried: published
    name -> why this model has no place for it; left: our name -> why the model keeps its initial value.
    """

    state: dict[str, Tensor]
    renamed: dict[str, str]
    carried: dict[str, str]
    left: dict[str, str]


@dataclass(frozen=True)
class Export:
    """state: published name -> value; renamed: published name -> ours; carried: published names that came along;
    superseded: carried names that a trained part of ours has replaced.
    """

    state: dict[str, Tensor]
    renamed: dict[str, str]
    carried: tuple[str, ...]
    superseded: tuple[str, ...]


def from_published(
    published: Mapping[str, Tensor], own: Mapping[str, Tensor], reinitialise: Sequence[str] = ()
) -> Conversion:
    """Published state dict -> values for a model whose state dict is `own`, of which only names and shapes count.

    reinitialise: parts of the head (as in `decoder.class_embed`) that take no value from the checkpoint. Raises one
    ConversionError that lists every name that is unknown, every shape that differs, tied values that disagree, and
    parameters of ours that would get no value.
    """
    asked = tuple(f"head.{part}." for part in reinitialise)
    faults = [
        f"the head has no part {part!r} to re-initialise"
        for part, prefix in zip(reinitialise, asked, strict=True)
        if not any(f"{ours}.".startswith(prefix) for ours in own)
    ]
    places = {name: our_name(name) for name in published}
    made = Conversion(state={}, renamed={}, carried={}, left={})
    for name, ours in places.items():
        value = published[name]
        if ours is None:
            faults.append(f"{name!r} is not a name of the published checkpoint layout")
        elif ours in own and f"{ours}.".startswith(asked):
            made.carried[name] = made.left[ours] = "re-initialised, as asked"
        elif ours in own and (classes := _other_class_count(ours, value, own[ours])):
            made.carried[name] = made.left[ours] = classes
        elif reason := _no_place(ours, own):
            made.carried[name] = reason
        elif ours not in own:
            faults.append(f"{name!r} would be {ours!r}, which this model does not have")
        elif value.shape != own[ours].shape:
            faults.append(f"{name!r} has shape {tuple(value.shape)}, but {ours!r} has {tuple(own[ours].shape)}")
        elif ours in made.state and not torch.equal(made.state[ours], value):
            faults.append(f"{name!r} and another entry for {ours!r} have different values")
        else:
            made.state[ours] = value
            made.renamed[name] = ours
    placed = {ours for ours in places.values() if ours is not None}
    for ours in [name for name in own if name not in placed]:
        if reason := _may_be_left(ours, placed, asked):
            made.left[ours] = reason
        else:
            names = " or ".join(published_names(ours)) or "part like it"
            faults.append(f"{ours!r} gets no value: the checkpoint has no {names}")
    if faults:
        raise ConversionError(f"The checkpoint does not fit this model, {len(faults)} errors: {'; '.join(faults)}")
    return made


def to_published(state: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> Export:
    """Our state dict, and what was carried along -> the published layout, all aliases written.

    A carried entry gives way to a value of ours. Raises one ConversionError that lists every name of ours for which
    the published layout has no place.
    """
    if outside := [ours for ours in state if not published_names(ours)]:
        raise ConversionError(
            "The published checkpoint layout holds the models of configs/model/published.yaml, with a ResNet-50 or "
            f"ResNet-101 and a RoBERTa. It has no place for {len(outside)} parts of this model: {', '.join(outside)}"
        )
    renamed = {name: ours for ours in state for name in published_names(ours)}
    values = {name: state[ours] for name, ours in renamed.items()}
    superseded = tuple(name for name in carried if name in values)
    kept = {name: value for name, value in carried.items() if name not in values}
    return Export({**values, **kept}, renamed, tuple(kept), superseded)


# --------------------------------------------------------------------------- rules


def _other_class_count(ours: str, value: Tensor, own: Tensor) -> str | None:
    """Why a class head has no place: it scores other classes. None where the count fits or more differs."""
    if not ours.startswith("head.decoder.class_embed.") or value.ndim != own.ndim or value.ndim == 0:
        return None
    if value.shape[0] == own.shape[0] or value.shape[1:] != own.shape[1:]:
        return None
    return f"class head of {value.shape[0]} classes, this model has {own.shape[0]}"


def _no_place(ours: str, own: Mapping[str, Tensor]) -> str | None:
    """Why an entry is carried along although it has no place; None where it has one, or is unknown."""
    if ours.endswith(CONSTANTS) and ours not in own:
        return "a constant that the encoder makes itself"
    for form in QUERY_FORMS:
        if ours.startswith(form) and any(name.startswith("head.decoder.") for name in own) and not _has(own, form):
            return "object queries of the other form (text-conditioned or DAB)"
    for part, reason in OPTIONAL.items():
        if ours.startswith(part) and not _has(own, (part,)):
            return reason
    return None


def _may_be_left(ours: str, placed: set[str], asked: tuple[str, ...]) -> str | None:
    """Why one of our parameters may stay at its initial value; None where the checkpoint ought to have it."""
    if f"{ours}.".startswith(asked):
        return "re-initialised, as asked"
    if ours.endswith(CONSTANTS):
        return "a counter or constant that frozen encoders do not carry"
    if ours.startswith(OURS_ALONE):
        return "ours alone: the published network has no such part"
    if ours.startswith(AFFINITY) and not _has(placed, (AFFINITY,)):
        return "the checkpoint has no affinity"
    for form, other in (QUERY_FORMS, QUERY_FORMS[::-1]):
        if ours.startswith(form) and not _has(placed, form) and _has(placed, other):
            return "the checkpoint's object queries are of the other form (text-conditioned or DAB)"
    return None


def _has(names: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)
