"""Weights that a network starts from: a converted published checkpoint, or the last checkpoint of another run.

WEIGHTS/head.safetensors   the head of a converted checkpoint, by our names
        conversion.json    what became of every published entry, and SHA-256 of the head
        encoders/          both encoders (fewshot/runs/encoders.py)
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from episodes.errors import CheckpointError
from fewshot.runs.checkpoint import EncoderWeights, latest, read_encoder_weights, read_weights
from fewshot.runs.encoders import StoredEncoders, read_encoders, reject_other_encoders, stores_encoders
from fewshot.runs.run import Run
from fewshot.runs.tensor_folder import TensorFolder, state_differences
from models.config import ModelConfig
from models.network import FewShotRVOS

log = logging.getLogger(__name__)
_HEAD = "head.safetensors"
_CONVERTED = TensorFolder("a folder of converted weights", "conversion.json", "Convert the checkpoint again.")


@dataclass(frozen=True)
class InitialWeights:
    """What a network starts from.

    head: its state dict; encoders: None where their weights are found by name; left: names of the head that keep their
    initial value; trained_with: the encoders of the run that trained the head, empty for a converted checkpoint.
    """

    folder: Path
    head: dict[str, Tensor]
    encoders: StoredEncoders | None
    left: frozenset[str] = frozenset()
    trained_with: tuple[EncoderWeights, ...] = ()

    def put_into(self, network: FewShotRVOS, model: ModelConfig) -> None:
        """Replace the weights of a network of this model section. Strict: CheckpointError, which lists everything that
        does not fit.
        """
        faults = [] if self.encoders is None else self.encoders.differences(network.trunk)
        faults += state_differences(self.head, network.head.state_dict(), self.left)
        if faults:
            fitting = Run(self.folder).config_file if self.trained_with else self.folder / "model.yaml"
            remedy = "" if self.trained_with else ", or convert the checkpoint again with --experiment"
            raise CheckpointError(
                f"initial_weights {self.folder} do not fit the experiment's model; its tensors: {'; '.join(faults)}. "
                f"Use the model values of {fitting}{remedy}."
            )
        if self.encoders is not None:
            self.encoders.put_into(network.trunk)
        if self.trained_with:
            reject_other_encoders(self.folder, self.trained_with, network.trunk, model)
        network.head.load_state_dict({**network.head.state_dict(), **self.head}, strict=True)
        log.info(
            "initial weights of %s: %d tensors of the head, %d stay as they were drawn; encoders %s",
            self.folder,
            len(self.head),
            len(self.left),
            "loaded by name" if self.encoders is None else "of the same folder",
        )


def read_initial_weights(folder: Path) -> InitialWeights:
    """What a folder holds. Raises CheckpointError where it holds no weights, or a file is absent or damaged."""
    if _CONVERTED.holds(folder):
        left = _CONVERTED.read_record(folder)["left_at_initial_value"]
        names = frozenset(name.removeprefix("head.") for name in left if name.startswith("head."))
        return InitialWeights(folder, _CONVERTED.read(folder, _HEAD), read_encoders(folder), names)
    checkpoint = latest(folder)
    if checkpoint is None:
        raise CheckpointError(
            f"no weights in {folder}: it is neither a folder that `convert` wrote (it holds no "
            f"{_CONVERTED.record}) nor a run folder with a checkpoint. Give one of the two, relative to {Path.cwd()}"
        )
    encoders = read_encoders(folder) if stores_encoders(folder) else None
    return InitialWeights(folder, read_weights(checkpoint), encoders, trained_with=read_encoder_weights(checkpoint))


def lacks(folder: Path, part: str) -> bool:
    """Whether the weights in a folder hold nothing of this part of the head; those of a run hold all of it."""
    if not _CONVERTED.holds(folder):
        return False
    left = _CONVERTED.read_record(folder)["left_at_initial_value"]
    return any(name.startswith(f"head.{part}.") for name in left)


def write_converted(
    folder: Path, head: Mapping[str, Tensor], record: Mapping[str, Any], more: Callable[[Path], None]
) -> None:
    """Make a folder of converted weights; `more(aside)` adds its encoders. `record` names the entries of ours that are
    `left_at_initial_value`.
    """
    _CONVERTED.write(folder, {_HEAD: head}, record, more)
