"""State dicts of the published checkpoint layout <-> ours. In memory, strict, and every entry is accounted for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from episodes.errors import ConversionError
from fewshot.published.names import our_name, published_names
from fewshot.runs.encoders import CONSTANTS

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
OURS_ALONE = ("head.prior.", "head.word_prior.", "head.prior_gate.", "head.residual_scale", "head.dense.")


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
    faults = _unknown_parts(own, reinitialise)
    places = {name: our_name(name) for name in published}
    state: dict[str, Tensor] = {}
    renamed: dict[str, str] = {}
    carried: dict[str, str] = {}
    left: dict[str, str] = {}
    for name, ours in places.items():
        value = published[name]
        if ours is None:
            faults.append(f"{name!r} is not a name of the published checkpoint layout")
        elif ours in own and _under(ours, reinitialise):
            carried[name] = left[ours] = "re-initialised, as asked"
        elif ours in own and (classes := _other_class_count(ours, value, own[ours])):
            carried[name] = left[ours] = classes
        elif reason := _no_place(ours, own):
            carried[name] = reason
        elif ours not in own:
            faults.append(f"{name!r} would be {ours!r}, which this model does not have")
        elif value.shape != own[ours].shape:
            faults.append(f"{name!r} has shape {tuple(value.shape)}, but {ours!r} has {tuple(own[ours].shape)}")
        elif ours in state and not torch.equal(state[ours], value):
            faults.append(f"{name!r} and another entry for {ours!r} have different values")
        else:
            state[ours] = value
            renamed[name] = ours
    placed = {ours for ours in places.values() if ours is not None}
    for ours in [name for name in own if name not in placed]:
        if reason := _may_be_left(ours, placed, reinitialise):
            left[ours] = reason
        else:
            names = " or ".join(published_names(ours)) or "part like it"
            faults.append(f"{ours!r} gets no value: the checkpoint has no {names}")
    if faults:
        raise ConversionError(f"The checkpoint does not fit this model, {len(faults)} faults: {'; '.join(faults)}")
    return Conversion(state, renamed, carried, left)


def to_published(state: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> Export:
    """Our state dict, and what was carried along -> the published layout, all aliases written.

    A carried entry gives way to a value of ours. Raises one ConversionError that lists every name of ours for which
    the published layout has no place.
    """
    if outside := [ours for ours in state if not published_names(ours)]:
        raise ConversionError(
            f"The published checkpoint layout has no place for {len(outside)} parts of this model: "
            f"{', '.join(outside)}. It holds the models of configs/model/published.yaml, with a ResNet-50 or "
            "ResNet-101 and a RoBERTa"
        )
    renamed = {name: ours for ours in state for name in published_names(ours)}
    values = {name: state[ours] for name, ours in renamed.items()}
    superseded = tuple(name for name in carried if name in values)
    kept = {name: value for name, value in carried.items() if name not in values}
    return Export({**values, **kept}, renamed, tuple(kept), superseded)


# --------------------------------------------------------------------------- rules


def _under(ours: str, parts: Sequence[str]) -> bool:
    return any(f"{ours}.".startswith(f"head.{part}.") for part in parts)


def _unknown_parts(own: Mapping[str, Tensor], parts: Sequence[str]) -> list[str]:
    missing = [part for part in parts if not any(_under(ours, (part,)) for ours in own)]
    return [f"the head has no part {part!r} to re-initialise" for part in missing]


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


def _may_be_left(ours: str, placed: set[str], reinitialise: Sequence[str]) -> str | None:
    """Why one of our parameters may stay at its initial value; None where the checkpoint ought to have it."""
    if _under(ours, reinitialise):
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
