"""Weights that a network starts from: a converted published checkpoint, or the last checkpoint of another run."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from episodes.errors import CheckpointError
from fewshot.published.conversion import CARRIED, CONVERSION, FORMAT, PARTS
from fewshot.published.layout import CONSTANTS
from fewshot.runs.checkpoint import latest, read_weights
from fewshot.runs.run import Run
from models.network import FewShotRVOS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialWeights:
    """State dicts of a network's parts.

    encoders: image and text encoder of timm's and transformers' names, or None where their weights are not kept here;
    carried: published entries that no part has a place for; left: names of the head that keep their initial value;
    names: (image_encoder, text_encoder) of the run that trained the head, None for a converted checkpoint.
    """

    folder: Path
    head: dict[str, Tensor]
    encoders: tuple[dict[str, Tensor], dict[str, Tensor]] | None
    carried: dict[str, Tensor]
    left: frozenset[str] = frozenset()
    names: tuple[str, str] | None = None

    def put_into(self, network: FewShotRVOS) -> None:
        """Replace the network's weights. Strict: CheckpointError, which lists all, before anything has changed."""
        own = (network.config.image_encoder, network.config.text_encoder)
        faults = [
            f"its {kind} encoder is {theirs}, the experiment's is {ours}"
            for kind, theirs, ours in zip(("image", "text"), self.names or own, own, strict=True)
            if theirs != ours
        ]
        faults += _differences(self.head, network.head.state_dict(), self.left)
        parts = list(zip((network.trunk.image.model, network.trunk.text.model), self.encoders or (), strict=False))
        for kind, (module, state) in zip(("image", "text"), parts, strict=False):
            wanted = module.state_dict()
            constants = frozenset(name for name in wanted if name.endswith(CONSTANTS))
            faults += [f"{kind} encoder: {fault}" for fault in _differences(state, wanted, constants)]
        if faults:
            values = Run(self.folder).config_file if self.names else self.folder / "model.yaml"
            advice = f"give the model values of {values}"
            again = "" if self.names else ", or convert the checkpoint again with --experiment"
            raise CheckpointError(
                f"initial_weights {self.folder} do not fit the experiment's model: {'; '.join(faults)}. "
                f"{advice[0].upper()}{advice[1:]}{again}"
            )
        for module, state in [(network.head, self.head), *parts]:
            module.load_state_dict({**module.state_dict(), **state}, strict=True)
        log.info(
            "initial weights of %s: %d tensors of the head, %d keep their drawn value; encoders %s",
            self.folder,
            len(self.head),
            len(self.left),
            "from there too" if parts else "by name",
        )


def read_initial_weights(folder: Path) -> InitialWeights:
    """What a folder holds. Raises CheckpointError where it is neither kind, or a file is absent or damaged.

    The encoders of a run are those that the run itself started from, where it started from a converted checkpoint.
    """
    if (folder / CONVERSION).is_file():
        return _converted(folder)
    checkpoint = latest(folder)
    if checkpoint is None or not Run(folder).config_file.is_file():
        raise CheckpointError(
            f"no weights in {folder}: it is neither a folder that `convert` wrote (it holds no {CONVERSION}) "
            f"nor a run folder with a checkpoint. Give one of the two, relative to {Path.cwd()}"
        )
    config = Run(folder).read_config()
    before = None if config.initial_weights is None else read_initial_weights(config.initial_weights)
    return InitialWeights(
        folder,
        read_weights(checkpoint),
        encoders=None if before is None else before.encoders,
        carried={} if before is None else before.carried,
        names=(config.model.image_encoder, config.model.text_encoder),
    )


def _converted(folder: Path) -> InitialWeights:
    path = folder / CONVERSION
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        left = record["left_at_initial_value"]
        hashes = record["sha256"]
        known = record["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error!r}). Convert the checkpoint again") from error
    if not known:
        raise CheckpointError(f"{path} is not of format {FORMAT}. Convert the checkpoint again with this version")
    head, image, text, carried = (_read(folder / file, hashes) for file in (*PARTS, CARRIED))
    names = frozenset(name.removeprefix("head.") for name in left if name.startswith("head."))
    return InitialWeights(folder, head, (image, text), carried, names)


def _read(path: Path, hashes: Mapping[str, str]) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != hashes.get(path.name):
            raise CheckpointError(
                f"{path} is damaged: SHA-256 {found}, {CONVERSION} says {hashes.get(path.name)}. Convert the "
                "checkpoint again"
            )
        return load(content)
    except (FileNotFoundError, SafetensorError) as error:
        raise CheckpointError(f"{path} is absent or damaged ({error}). Convert the checkpoint again") from error


def _differences(state: Mapping[str, Tensor], own: Mapping[str, Tensor], may_lack: Collection[str]) -> list[str]:
    """Every name that only one side has, and every shape that differs."""
    return [
        *(f"{name} gets no value" for name in own if name not in state and name not in may_lack),
        *(f"{name} has no place" for name in state if name not in own),
        *(
            f"{name} has shape {tuple(value.shape)}, wanted {tuple(own[name].shape)}"
            for name, value in state.items()
            if name in own and value.shape != own[name].shape
        ),
    ]
