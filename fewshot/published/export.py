"""Trained or converted weights as a file of the published checkpoint layout."""

import logging
from operator import attrgetter
from pathlib import Path

from torch import Tensor

from episodes.errors import ConversionError
from fewshot.published.file import reject_target, write_published
from fewshot.published.layout import HEAD, IMAGE, TEXT, Export, from_published, to_published
from fewshot.published.recognise import empty_state, recognise, recognise_image_encoder, recognise_text_encoder
from fewshot.runs.build import restored_network
from fewshot.runs.encoders import CONSTANTS
from fewshot.runs.initial_weights import read_initial_weights
from fewshot.runs.run import Run
from models.config import ModelConfig

log = logging.getLogger(__name__)


def export(source: Path, out: Path) -> Export:
    """Write the file `out` (.pth or .safetensors) from a folder that `convert` wrote, or from a run's last checkpoint.

    Raises ConversionError where the published layout has no place for a part of the model, or needs one that the model
    lacks.
    """
    reject_target(out)
    weights = read_initial_weights(source)
    state = {HEAD + name: value for name, value in weights.head.items()}
    to_published(state, {})  # rejected before encoders are looked for
    stored = weights.encoders
    image, text = (
        _encoders_of_run(Run(source)) if stored is None or weights.trained_with else (stored.image, stored.text)
    )
    for prefix, part in ((IMAGE, image), (TEXT, text)):
        state |= {prefix + name: value for name, value in part.items() if not name.endswith(CONSTANTS)}
    exported = to_published(state, {} if stored is None else stored.carried)
    try:  # what we write can be read again, entry by entry
        published = recognise(exported.state, "as it is")
        from_published(exported.state, empty_state(published, recognise_text_encoder(exported.state)))
    except ConversionError as error:
        raise ConversionError(f"{source} cannot be written in the published layout: {error}") from error
    if weights.trained_with:
        _warn_of_other_choices(Run(source).read_config().model, published)
    write_published(out, exported.state)
    return exported


def table(exported: Export) -> str:
    """What was written: how many entries, and where they come from."""
    twins = len(exported.renamed) - len(set(exported.renamed.values()))
    lines = [
        f"{'written':24}{len(exported.state):5}",
        f"{'    of this model':24}{len(exported.renamed):5}   {twins} of them aliases",
        f"{'    carried along':24}{len(exported.carried):5}   {', '.join(sorted(exported.carried))}",
        f"{'replaced by ours':24}{len(exported.superseded):5}   {', '.join(sorted(exported.superseded))}",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _encoders_of_run(run: Run) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dicts of a run's image and text encoder; ConversionError for other architectures."""
    trunk = restored_network(run.read_config(), run.required_checkpoint("last")).trunk
    image = trunk.image.model.state_dict()
    try:
        recognise_image_encoder({f"backbone.0.body.{name}": value for name, value in image.items()})
    except ConversionError as error:
        raise ConversionError(f"{run.folder} has the image encoder {trunk.image.name}, but {error}") from error
    kind = trunk.text.model.config.model_type
    if kind != "roberta":
        raise ConversionError(
            f"{run.folder} has the text encoder {trunk.text.name}, of kind {kind}; the published layout holds a roberta"
        )
    return image, trunk.text.model.state_dict()


def _warn_of_other_choices(model: ModelConfig, published: ModelConfig) -> None:
    """Values that no weight shows: with them, the published code computes something else."""
    keys = ["fusion", "spacetime"]
    keys += ["affinity.support_frames", "affinity.background", "affinity.align_masks", "affinity.pretransform"]
    choices = ((key, attrgetter(key)(model), attrgetter(key)(published)) for key in keys)
    changed = [f"model.{key}={ours} (published: {theirs})" for key, ours, theirs in choices if ours != theirs]
    if changed:
        log.warning("the published code computes something else with these weights: %s", ", ".join(changed))
