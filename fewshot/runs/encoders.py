"""The frozen encoders of a run: their weights by hash, and a copy of those that cannot be loaded by name.

    RUN/encoders/image_encoder.safetensors   by timm's names
                 text_encoder.safetensors    by transformers' names
                 carried.safetensors         entries of a published checkpoint that the model has no place for
                 text_encoder/               config and tokenizer, where model.text_encoder is a folder
                 encoders.json               SHA-256 of the three files

A folder of converted weights holds its encoders in the same form.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from episodes.errors import CheckpointError
from fewshot.config.experiment import ExperimentConfig
from fewshot.runs.checkpoint import EncoderWeights
from fewshot.runs.tensor_folder import TensorFolder, state_differences
from models.config import ModelConfig

if TYPE_CHECKING:  # a run's folder is read without timm and transformers
    from models.backbone import ImageEncoder
    from models.trunk import Trunk

ENCODERS = "encoders"
_IMAGE, _TEXT, _CARRIED = "image_encoder.safetensors", "text_encoder.safetensors", "carried.safetensors"
_TEXT_FILES = "text_encoder"
_FORM = TensorFolder(
    "a folder of encoders",
    "encoders.json",
    "Restore {folder} from a copy, or make it again: convert the checkpoint again, or train again.",
)
CONSTANTS = ("num_batches_tracked", "position_ids", "token_type_ids")  # buffers that no value depends on


@dataclass(frozen=True)
class StoredEncoders:
    """State dicts of both encoders, and what was carried along: entries of a published checkpoint, by its names."""

    folder: Path
    image: dict[str, Tensor]
    text: dict[str, Tensor]
    carried: dict[str, Tensor]

    def section(self, model: ModelConfig) -> ModelConfig:
        """The model section for a network that these encoders are put into: no weights are loaded by name."""
        files = self.folder / _TEXT_FILES
        update = {"pretrained": False, **({"text_encoder": str(files)} if files.is_dir() else {})}
        return model.model_copy(update=update)

    def differences(self, trunk: Trunk) -> list[str]:
        """What keeps these encoders from being the trunk's, in words."""
        found = []
        for kind, module, state in self._parts(trunk):
            wanted = module.state_dict()
            constants = [name for name in wanted if name.endswith(CONSTANTS)]
            found += [f"{kind} encoder: {text}" for text in state_differences(state, wanted, constants)]
        return found

    def put_into(self, trunk: Trunk) -> None:
        """Replace the trunk's weights. Strict: CheckpointError before anything has changed."""
        if differences := self.differences(trunk):
            raise CheckpointError(f"The encoders in {self.folder} do not fit the model: {'; '.join(differences)}")
        for _, module, state in self._parts(trunk):
            module.load_state_dict({**module.state_dict(), **state}, strict=True)

    def _parts(self, trunk: Trunk) -> list[tuple[str, nn.Module, dict[str, Tensor]]]:
        return [("image", trunk.image.model, self.image), ("text", trunk.text.model, self.text)]


def stores_encoders(parent: Path) -> bool:
    """True for a run, or a folder of converted weights, with encoders of its own."""
    return (parent / ENCODERS).is_dir()


def read_encoders(parent: Path) -> StoredEncoders:
    """The encoders that a run or a folder of converted weights stores. CheckpointError: absent or damaged."""
    folder = parent / ENCODERS
    return StoredEncoders(folder, *(_FORM.read(folder, name) for name in (_IMAGE, _TEXT, _CARRIED)))


def write_encoders(
    parent: Path, image: Mapping[str, Tensor], text: Mapping[str, Tensor], carried: Mapping[str, Tensor]
) -> None:
    """Store state dicts of encoders in a new folder of converted weights."""
    _FORM.write(parent / ENCODERS, {_IMAGE: image, _TEXT: text, _CARRIED: carried}, {})


def store_encoders(run_folder: Path, config: ExperimentConfig, trunk: Trunk) -> None:
    """Store the encoders that a run starts with, where no name leads to their weights: they came with its initial
    weights, from a folder, or were drawn. What an earlier start left, without a checkpoint, is replaced.
    """
    shutil.rmtree(run_folder / ENCODERS, ignore_errors=True)
    source = config.initial_folder
    brought = source is not None and stores_encoders(source)
    text_files = Path(trunk.text.name).is_dir()
    if config.model.pretrained and not text_files and not brought:
        return
    carried = _FORM.read(source / ENCODERS, _CARRIED) if source is not None and brought else {}

    def write_text_files(aside: Path) -> None:
        if text_files:
            trunk.text.model.config.save_pretrained(aside / _TEXT_FILES)
            trunk.text.tokenizer.save_pretrained(aside / _TEXT_FILES)

    states = {_IMAGE: trunk.image.model.state_dict(), _TEXT: trunk.text.model.state_dict(), _CARRIED: carried}
    _FORM.write(run_folder / ENCODERS, states, {}, write_text_files)


# --------------------------------------------------------------------------- identity


def image_fingerprint(encoder: ImageEncoder) -> str:
    """SHA-256 over the encoder's name, what is done to its features, normalisation and every tensor."""
    name = f"{encoder.name}:position_debias" if encoder.debias else encoder.name
    return _digest(name, {**encoder.state_dict(), "mean": encoder.mean, "std": encoder.std})


def encoder_weights(trunk: Trunk, model: ModelConfig) -> tuple[EncoderWeights, EncoderWeights]:
    """What a checkpoint records of its image and text encoder."""
    text = _digest("", trunk.text.model.state_dict())
    return (
        EncoderWeights("image", model.image_encoder, image_fingerprint(trunk.image)),
        EncoderWeights("text", model.text_encoder, text),
    )


def reject_other_encoders(source: Path, recorded: Sequence[EncoderWeights], trunk: Trunk, model: ModelConfig) -> None:
    """CheckpointError where the trunk has other encoders than those that the weights of `source` were trained with."""
    faults = []
    for theirs, ours in zip(recorded, encoder_weights(trunk, model), strict=True):
        if theirs.name != ours.name:
            faults.append(
                f"its {ours.kind} encoder is {theirs.name}, the experiment's is {ours.name} "
                f"(set model.{ours.kind}_encoder={theirs.name})"
            )
        elif theirs.sha256 != ours.sha256:
            faults.append(
                f"its {ours.kind} encoder {theirs.name} had weights of SHA-256 {theirs.sha256}, the one loaded now has "
                f"{ours.sha256} (restore what has changed: the installed package, the cache of timm or transformers, "
                f"or {ENCODERS}/ in the run folder; or train again)"
            )
    if faults:
        raise CheckpointError(f"{source} was trained with other encoders: {'; '.join(faults)}")


def _digest(name: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(name.encode())
    for key in sorted(tensors):
        digest.update(key.encode())
        content = tensors[key].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(content.numpy().data)
    return digest.hexdigest()
