"""Which jobs an ablation consists of. Cells whose weights are the same share one training."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot.ablation.cells import Cell
from fewshot.ablation.config import SHARED
from fewshot.ablation.job import Job
from fewshot.config.experiment import ExperimentConfig, plain
from fewshot.results.comparable import training_values


def plan_jobs(cells: tuple[Cell, ...], folder: Path, contents: Mapping[Path, str]) -> list[Job]:
    """Jobs by what comes first: features, then trainings, then one evaluation for each cell, named by its label.

    `contents`: hash of what the benchmark at each root holds. A shared job is named by a hash of what it depends on, so
    that an edited ablation finds the trainings that still fit, and changed data leads to new ones.
    """
    features: dict[str, Job] = {}
    trainings: dict[str, Job] = {}
    evaluations = []
    for cell in cells:
        needs: tuple[str, ...] = ()
        if cell.config.machine.cache is not None:
            name = f"features-{_digest(_features_depend_on(cell.config))}"
            features.setdefault(name, Job(name, "features", folder / SHARED / name, cell.config))
            needs = (name,)
        name = f"training-{_digest(_training_depends_on(cell.config, contents[cell.config.data.root]))}"
        training = Job(name, "train", folder / SHARED / name, cell.config, needs)
        training = trainings.setdefault(name, training)
        evaluations.append(
            Job(cell.label, "evaluate", folder / cell.label, cell.config, (*needs, name), training.folder)
        )
    return [*features.values(), *trainings.values(), *evaluations]


def _features_depend_on(config: ExperimentConfig) -> Any:
    data, model = plain(config.data), config.model
    encoder = [model.image_encoder, model.pretrained, str(config.initial_weights)]  # these may bring an encoder
    return [data["root"], str(config.machine.cache), data["short_side"], data["max_long_side"], *encoder]


def _training_depends_on(config: ExperimentConfig, content: str) -> Any:
    # Validations change no weights, but cells that share a training share its choice of the best checkpoint too.
    validation = [config.train.validate_every, config.train.validation_episodes]
    return [training_values(plain(config)), content, validation]


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
