"""Checkpoints of a run: which are kept, and what goes into one and out again.

    RUN/checkpoints/step-00000100/model.safetensors       the trainable head
                                  learner.safetensors     other weights that the learner trains, if any
                                  optimizer.safetensors   state tensors of the optimiser
                                  state.json              step, score, encoders, the optimiser's numbers, ...

A name may end in `.1`, `.2`: the step was saved again, and the higher number counts. Names that begin with a dot are
leftovers of an interrupted save or removal; the next save clears them away.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from episodes.errors import CheckpointError
from fewshot.runs.tensor_folder import TensorFolder, state_differences

CHECKPOINTS = "checkpoints"
_NAME = re.compile(r"step-(\d{8,})(?:\.(\d+))?")
_MODEL, _LEARNER, _OPTIMIZER = "model.safetensors", "learner.safetensors", "optimizer.safetensors"
_CHECKPOINT = TensorFolder(
    "a checkpoint",
    "state.json",
    "Restore {folder} from a copy. Without it, a training resumes from an older checkpoint, or starts again.",
)


@dataclass(frozen=True)
class EncoderWeights:
    """A frozen encoder that a head was trained with: kind "image" or "text", name as in the config, SHA-256 (hex)."""

    kind: str
    name: str
    sha256: str


@dataclass(frozen=True, order=True)
class _Entry:
    step: int
    revision: int
    folder: Path


def save_checkpoint(
    run_folder: Path,
    step: int,
    *,
    model_state: Mapping[str, Tensor],
    learner_state: Mapping[str, Tensor] | None = None,
    optimizer: torch.optim.Optimizer,
    encoders: Sequence[EncoderWeights],
    extra: dict[str, Any],
    score: float | None,
    keep: int,
) -> Path:
    """Write a checkpoint and remove those that are neither among the `keep` newest nor the best; returns its folder.

    `extra` is JSON and comes back from `load_checkpoint`; a higher `score` is better, None means not validated.
    When writing fails (OSError, for example a full disk), nothing half-written stays and older checkpoints remain.
    """
    parent = run_folder / CHECKPOINTS
    parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(run_folder)
    same_step = [entry.revision for entry in _entries(run_folder) if entry.step == step]
    folder = parent / (f"step-{step:08d}" + (f".{max(same_step) + 1}" if same_step else ""))
    optimizer_state = optimizer.state_dict()
    # AdamW's state holds tensors alone.
    tensors = {f"{index}.{key}": value for index, of in optimizer_state["state"].items() for key, value in of.items()}
    files = {_MODEL: model_state, _OPTIMIZER: tensors}
    if learner_state:
        files[_LEARNER] = learner_state
    recorded = [asdict(encoder) for encoder in encoders]
    groups = {"param_groups": optimizer_state["param_groups"]}
    values = {"step": step, "score": score, "encoders": recorded, "optimizer": groups, "extra": extra}
    _CHECKPOINT.write(folder, files, values)
    _prune(run_folder, keep)
    return folder


def copy_weights(folder: Path, run_folder: Path) -> None:
    """Write the checkpoint `folder` into another run folder, without what only a resumed training reads. Raises
    CheckpointError where it is absent or damaged."""
    state = read_state(folder)
    kept = [name for name in (_MODEL, _LEARNER) if name in state["sha256"]]
    values = {name: state[name] for name in ("step", "score", "encoders", "extra")}
    _CHECKPOINT.write(run_folder / CHECKPOINTS / folder.name, {n: _CHECKPOINT.read(folder, n) for n in kept}, values)


def load_checkpoint(
    folder: Path,
    *,
    model: nn.Module,
    learner: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> dict[str, Any]:
    """Put a checkpoint into `model` and `learner` (the modules whose states were saved) and the optimiser; returns its
    `extra`. What another learner saved is left alone where this one has no weights of its own.

    Strict: every name and shape must fit. Raises CheckpointError before anything has changed.
    """
    state = read_state(folder)
    weights = read_weights(folder)
    _compare(folder, weights, model.state_dict())
    if learner is not None and (wanted := learner.state_dict()):
        if _LEARNER not in state["sha256"]:
            raise CheckpointError(
                f"{folder} holds no {_LEARNER}: it was trained by a learner without weights of its own. Evaluate it by "
                "that learner (learner.name of the run's config.yaml), or train in a new run folder."
            )
        own = _CHECKPOINT.read(folder, _LEARNER)
        _compare(folder, own, wanted)
    if optimizer is not None:
        if "optimizer" not in state:
            raise CheckpointError(
                f"{folder} holds weights alone (`pack` wrote it), so that its training cannot resume. Train in a new "
                "run folder, with this one as initial_weights."
            )
        tensors = _CHECKPOINT.read(folder, _OPTIMIZER)
        try:
            optimizer.load_state_dict(_unflat(tensors, state["optimizer"]["param_groups"]))
        except ValueError as error:
            raise CheckpointError(f"The optimiser of {folder} does not fit this training: {error}") from error
    model.load_state_dict(weights, strict=True)
    if learner is not None and wanted:
        learner.load_state_dict(own, strict=True)
    extra: dict[str, Any] = state["extra"]
    return extra


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The head's tensors in a checkpoint. Raises CheckpointError where they are absent or damaged."""
    return _CHECKPOINT.read(folder, _MODEL)


def read_encoder_weights(folder: Path) -> tuple[EncoderWeights, ...]:
    """The encoders that a checkpoint's head was trained with. Raises CheckpointError."""
    return tuple(EncoderWeights(**values) for values in read_state(folder)["encoders"])


def read_state(folder: Path) -> dict[str, Any]:
    """The state.json of a checkpoint: `step`, `score`, `extra` and the rest. Raises CheckpointError."""
    return _CHECKPOINT.read_record(folder)


def latest(run_folder: Path) -> Path | None:
    """Folder of the checkpoint with the most steps, or None."""
    entries = _entries(run_folder)
    return entries[-1].folder if entries else None


def best(run_folder: Path) -> Path | None:
    """Folder of the checkpoint with the highest score (the later one of equals); the latest where none has a score."""
    scored = [(read_state(entry.folder)["score"], entry) for entry in _entries(run_folder)]
    scored = [pair for pair in scored if pair[0] is not None]
    return max(scored)[1].folder if scored else latest(run_folder)


# --------------------------------------------------------------------------- folders


def _entries(run_folder: Path) -> list[_Entry]:
    """All complete checkpoints, ascending; of a step saved again only the newest."""
    parent = run_folder / CHECKPOINTS
    found: dict[int, _Entry] = {}
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        match = _NAME.fullmatch(folder.name)
        if match:
            entry = _Entry(int(match[1]), int(match[2] or 0), folder)
            found[entry.step] = max(found.get(entry.step, entry), entry)
    return sorted(found.values())


def _prune(run_folder: Path, keep: int) -> None:
    entries = _entries(run_folder)
    kept = {entry.folder for entry in entries[-keep:]} | {best(run_folder)}
    for folder in sorted((run_folder / CHECKPOINTS).iterdir()):
        if _NAME.fullmatch(folder.name) and folder not in kept:
            # Renamed first: a half-removed checkpoint must not look complete.
            gone = folder.with_name(f".removing-{folder.name}")
            os.rename(folder, gone)
            shutil.rmtree(gone)


def clear_leftovers(run_folder: Path) -> None:
    """Remove what a save or a removal left that was cut off."""
    for pattern in (".writing-*", ".removing-*"):
        for folder in (run_folder / CHECKPOINTS).glob(pattern):
            shutil.rmtree(folder)


# --------------------------------------------------------------------------- contents


def _unflat(tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """The optimiser's state from tensors by `parameter.key`, and groups, whose tuples JSON turned into lists."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    restored = [{k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in g.items()} for g in groups]
    return {"state": state, "param_groups": restored}


def _compare(folder: Path, stored: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    differences = state_differences(stored, wanted)
    if differences:
        raise CheckpointError(
            f"The checkpoint {folder} is of another architecture; its tensors: {'; '.join(differences)}. "
            "Use the model values of the run's config.yaml, or train in a new run folder."
        )
