"""A published checkpoint becomes a folder of initial weights. Written aside and renamed, so each one seen is complete.

OUT/head.safetensors           the head, by our names
    image_encoder.safetensors  the trunk's image encoder, by timm's names
    text_encoder.safetensors   its text encoder, by transformers' names
    carried.safetensors        published entries that this model has no place for; an export gives them back
    conversion.json            what became of every entry, and SHA-256 of the source and of these files
    model.yaml                 the model section that fits: name it in `extends`
    text_encoder/config.json   only for a RoBERTa of no published size: its tokenizer's files belong beside it
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from episodes.errors import ConversionError
from episodes.files import file_digest
from fewshot.config.experiment import plain
from fewshot.config.yaml_text import dump
from fewshot.published.file import read_published
from fewshot.published.layout import Conversion, from_published
from fewshot.published.recognise import (
    TEXT_ENCODERS,
    empty_state,
    recognise,
    recognise_image_encoder,
    recognise_text_encoder,
    text_encoder_name,
    text_encoder_sizes,
)
from models.config import ModelConfig
from models.text import load_text_config

CONVERSION, MODEL = "conversion.json", "model.yaml"
# Weights file -> prefix of its names in the state dict of the whole network.
PARTS = {
    "head.safetensors": "head.",
    "image_encoder.safetensors": "trunk.image.model.",
    "text_encoder.safetensors": "trunk.text.model.",
}
CARRIED = "carried.safetensors"
FORMAT = 1


def convert(source: Path, out: Path, model: ModelConfig | None = None, reinitialise: Sequence[str] = ()) -> Conversion:
    """Write the folder `out` from the published checkpoint `source`; returns what became of each entry.

    model: what the weights are fitted to; None takes the model that the checkpoint itself is of. reinitialise: parts of
    the head that take no value from the checkpoint. Raises ConversionError, and leaves nothing, where anything is
    unknown, missing, or of another shape.
    """
    if out.exists():
        raise ConversionError(f"{out} exists already; give another folder, or remove it")
    published = read_published(source)
    text = recognise_text_encoder(published)
    if model is None:
        fitting = recognise(published, text_encoder_name(text) or str(out / "text_encoder"))
        section: dict[str, Any] = fitting.model_dump(mode="json", by_alias=True, exclude_unset=True)
    else:
        fitting, section = model, plain(model)
        _refuse_other_encoders(published, model)
    conversion = from_published(published, empty_state(fitting, text), reinitialise)
    aside = out.with_name(f".writing-{out.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        _write(aside, source, published, conversion)
        (aside / MODEL).write_text(dump({"model": section}), encoding="utf-8")
        if fitting.text_encoder == str(out / "text_encoder"):
            text.save_pretrained(aside / "text_encoder")
        os.rename(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return conversion


def table(conversion: Conversion) -> str:
    """What became of the entries: counts, and for those without a place or value the parts and the reason."""
    lines = [f"{'renamed':24}{len(conversion.renamed):5}"]
    for title, reasons in (("carried along", conversion.carried), ("left at initial value", conversion.left)):
        lines.append(f"{title:24}{len(reasons):5}")
        for reason in dict.fromkeys(reasons.values()):
            parts = Counter(_part(name) for name, why in reasons.items() if why == reason)
            named = ", ".join(f"{part} ({count})" for part, count in parts.items())
            lines.append(f"    {reason}: {named}")
    return "\n".join(lines)


def _part(name: str) -> str:
    """The dotted name up to its first number, without the parameter at its end."""
    parts = name.split(".")[:-1] or [name]
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0]] if numbers else parts)


def _write(folder: Path, source: Path, published: Mapping[str, Tensor], conversion: Conversion) -> None:
    files = {
        file: {name.removeprefix(prefix): v for name, v in conversion.state.items() if name.startswith(prefix)}
        for file, prefix in PARTS.items()
    }
    files[CARRIED] = {name: published[name] for name in conversion.carried}
    hashes = {}
    for file, tensors in files.items():
        content = save({name: value.contiguous().clone() for name, value in tensors.items()})
        (folder / file).write_bytes(content)
        hashes[file] = hashlib.sha256(content).hexdigest()
    record = {
        "format": FORMAT,
        "source": {"file": source.name, "sha256": file_digest(source)},
        "counts": {
            "published_entries": len(published),
            "renamed": len(conversion.renamed),
            "carried": len(conversion.carried),
            "left_at_initial_value": len(conversion.left),
        },
        "renamed": conversion.renamed,
        "carried": conversion.carried,
        "left_at_initial_value": conversion.left,
        "sha256": hashes,
    }
    (folder / CONVERSION).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _refuse_other_encoders(published: Mapping[str, Tensor], model: ModelConfig) -> None:
    """ConversionError where the experiment's encoders are of other architectures than the checkpoint's."""
    faults = []
    image, wanted = recognise_image_encoder(published), model.image_encoder
    if wanted.split(".")[0] != image:  # behind the dot, timm names whose weights of the architecture are meant
        faults.append(f"its image encoder is {image}, not {wanted} (set model.image_encoder={image})")
    text = recognise_text_encoder(published)
    sizes, name = text_encoder_sizes(text), model.text_encoder.rpartition("/")[2]
    known = {name: sizes for sizes, name in TEXT_ENCODERS.items()}
    other = None if name in known else load_text_config(model.text_encoder)
    asked = known[name] if other is None else text_encoder_sizes(other)
    if asked != sizes or (other is not None and other.model_type != "roberta"):
        kind = "roberta" if other is None else other.model_type
        faults.append(
            f"its text encoder is a roberta with (vocabulary, width, layers, feed-forward, positions) = {sizes}, "
            f"{model.text_encoder} is a {kind} with {asked}"
        )
    if faults:
        raise ConversionError(f"The checkpoint does not fit the experiment's model: {'; '.join(faults)}")
