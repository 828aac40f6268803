"""A published checkpoint becomes a folder of initial weights.

OUT/head.safetensors, encoders/  the weights (fewshot/runs/initial_weights.py)
    conversion.json              what became of every entry, and SHA-256 of the source
    model.yaml                   the model section that fits: name it in `extends`
    text_encoder/config.json     only for a RoBERTa of no published size: its tokenizer's files belong beside it
"""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import Tensor

from episodes.errors import CheckpointError, ConversionError
from episodes.files import file_digest
from fewshot.config.document import Document, load_document, merge
from fewshot.config.experiment import ExperimentConfig, check_section, plain
from fewshot.config.yaml_text import dump
from fewshot.published.file import read_published
from fewshot.published.layout import HEAD, IMAGE, TEXT, Conversion, from_published
from fewshot.published.recognise import (
    empty_state,
    recognise,
    recognise_text_encoder,
    reject_other_architectures,
    text_encoder_name,
)
from fewshot.runs.encoders import write_encoders
from fewshot.runs.initial_weights import write_converted
from models.config import ModelConfig

MODEL = "model.yaml"


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
        reject_other_architectures(published, model)
    conversion = from_published(published, empty_state(fitting, text), reinitialise)

    def write_the_rest(aside: Path) -> None:
        carried = {name: published[name] for name in conversion.carried}
        write_encoders(aside, _part(conversion, IMAGE), _part(conversion, TEXT), carried)
        (aside / MODEL).write_text(dump({"model": section}), encoding="utf-8")
        if fitting.text_encoder == str(out / "text_encoder"):
            text.save_pretrained(aside / "text_encoder")

    fates = {"renamed": conversion.renamed, "carried": conversion.carried, "left_at_initial_value": conversion.left}
    record = {
        "source": {"file": source.name, "sha256": file_digest(source)},
        "counts": {"published_entries": len(published), **{fate: len(names) for fate, names in fates.items()}},
        **fates,
    }
    write_converted(out, _part(conversion, HEAD), record, write_the_rest)
    return conversion


def converted_config(folder: Path) -> ExperimentConfig:
    """An experiment that starts from a folder which `convert` wrote, everything else as by default. CheckpointError for
    any other folder."""
    path = folder / MODEL
    if not path.is_file():
        raise CheckpointError(f"no weights in {folder}: it is neither a run folder nor one that `convert` wrote")
    document = load_document(path)
    values = {"name": "converted", "data": {"root": "."}, "initial_weights": str(folder)}
    return check_section(ExperimentConfig, merge(document, Document(values)), str(path))


def table(conversion: Conversion) -> str:
    """What became of the entries: counts, and for those without a place or value the parts and the reason."""
    lines = [f"{'renamed':24}{len(conversion.renamed):5}"]
    for title, reasons in (("carried along", conversion.carried), ("left at initial value", conversion.left)):
        lines.append(f"{title:24}{len(reasons):5}")
        for reason in dict.fromkeys(reasons.values()):
            parts = Counter(_shown_part(name) for name, why in reasons.items() if why == reason)
            named = ", ".join(f"{part} ({count})" for part, count in parts.items())
            lines.append(f"    {reason}: {named}")
    return "\n".join(lines)


def _shown_part(name: str) -> str:
    """The dotted name up to its first number, without the parameter at its end."""
    return ".".join(takewhile(lambda part: not part.isdigit(), name.split(".")[:-1] or [name]))


def _part(conversion: Conversion, prefix: str) -> dict[str, Tensor]:
    """The state dict of the network's part with this prefix."""
    return {name.removeprefix(prefix): v for name, v in conversion.state.items() if name.startswith(prefix)}
