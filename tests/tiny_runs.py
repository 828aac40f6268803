"""A whole experiment on the tiny benchmark, small enough to train and evaluate in seconds on one core."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from fewshot.config.experiment import ExperimentConfig, load_config
from fewshot.config.yaml_text import dump
from fewshot.evaluation.tasks import EvaluationSet, open_evaluation_set
from fewshot.runs.build import open_benchmarks
from fewshot.runs.checkpoint import latest
from fewshot.runs.origin import training_origin

# A model that runs in milliseconds. `hidden`: one value or more in each group of the GroupNorm at stride 64, where a
# picture of 64 pixels is one token.
TINY_MODEL: dict[str, Any] = {
    "hidden": 64,
    "heads": 4,
    "ffn": 32,
    "levels": (16, 32, 64),
    "points": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "queries": 2,
    "dropout": 0.0,
    "affinity": {"dim": 8, "hidden": 16, "elsewhere": 8},
    "mask": {"fine_width": 16, "mask_dim": 16, "vl_strides": (16, 32)},
}
TINY_TRAIN = {
    "steps": 4,
    "batch_episodes": 2,
    "warmup_steps": 1,
    "validate_every": 2,
    "validation_episodes": 2,
}
TINY_EVALUATE = {
    "seeds": [0],
    "shots": [1, 2],
    "support_frames": 2,
    "chunk_frames": 3,
    "bootstrap_samples": 20,
}
TINY_MACHINE = {"threads": 1, "checkpoint_every": 1, "log_every": 1, "save_overlays": 2}


@dataclass(frozen=True)
class TinySet:
    """A written benchmark and a folder for image features that all its runs share."""

    root: Path
    cache: Path


def write_experiment(file: Path, data: TinySet, name: str = "tiny") -> Path:
    """The experiment's YAML file."""
    values = {
        "name": name,
        "data": {"root": str(data.root), "short_side": 64},
        "episodes": {"support_frames": 2, "query_frames": 2},
        "model": TINY_MODEL,
        "learner": {"steps": 1},
        "train": TINY_TRAIN,
        "evaluate": TINY_EVALUATE,
        "machine": {**TINY_MACHINE, "cache": str(data.cache)},
    }
    file.write_text(dump(values), encoding="utf-8")
    return file


def metrics(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without wall times, which no two runs share."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def stored(run: Path) -> dict[str, Tensor]:
    """Weights and optimiser tensors of the run's last checkpoint."""
    folder = latest(run)
    assert folder is not None
    weights, optimizer = load_file(folder / "model.safetensors"), load_file(folder / "optimizer.safetensors")
    return {**weights, **{f"optimizer.{name}": tensor for name, tensor in optimizer.items()}}


def assert_same_bits(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Same names, and every tensor equal in every bit (of floats: equal values, none of them NaN)."""
    assert first.keys() == second.keys()
    different = [name for name, tensor in first.items() if not tensor.equal(second[name])]
    assert not different, f"{len(different)} of {len(first)} tensors differ: {different[:4]}"


def load_tiny(file: Path, *overrides: str) -> ExperimentConfig:
    return load_config(file, overrides)


def tasks_before_training(config: ExperimentConfig) -> EvaluationSet:
    """What an evaluation would run on, of weights that this config is going to train."""
    return open_evaluation_set(config, training_origin(config, open_benchmarks(config), None))
