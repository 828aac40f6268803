"""The jobs of an ablation: each runs as one command (features, train, or evaluate). What is done is read from files.

Cells whose weights are the same share one training.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from episodes.files import json_digest, write_whole
from fewshot.ablation.cells import SHARED, Cell
from fewshot.config.experiment import ExperimentConfig, config_hash, plain
from fewshot.results.comparable import training_values
from fewshot.runs.checkpoint import read_state
from fewshot.runs.run import Run

_LOG = "log.txt"
_FAILURE = "failure.json"
_LOG_LINES = 8  # last lines of a failed job's log that are reported


@dataclass(frozen=True)
class Job:
    """`needs`: names of the jobs that must be done before. `training`: folder of what an evaluation evaluates."""

    name: str
    verb: Literal["features", "train", "evaluate"]
    folder: Path
    config: ExperimentConfig
    needs: tuple[str, ...] = ()
    training: Path | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """Command and its arguments, as on the command line."""
        stored = str(Run(self.folder).config_file)
        return {
            "features": ("features", stored),
            "train": ("train", stored, "--out", str(self.folder)),
            "evaluate": ("evaluate", str(self.folder)),
        }[self.verb]

    @property
    def log(self) -> Path:
        """File of what the command writes to stdout and stderr."""
        return self.folder / _LOG

    def is_done(self) -> bool:
        """True when the job's files are complete and of this config. Features are always looked through again."""
        if self.verb == "train":
            checkpoint = Run(self.folder).latest()
            return checkpoint is not None and int(read_state(checkpoint)["step"]) >= self.config.train.steps
        if self.verb == "evaluate" and self.training is not None:
            run = Run(self.folder)
            chosen = run.chosen_checkpoint(self.config.evaluate.checkpoint)
            return chosen is not None and run.shows(Run(self.training)) and run.is_evaluated(self.config, chosen)
        return False

    def lay_out(self) -> None:
        """Make the folder with the config that the command reads. ConfigError where something else lies there."""
        if self.training is None:
            Run(self.folder).open(self.config)
        else:
            Run(self.folder).show(self.config, Run(self.training))

    # ------------------------------------------------------------------ failure

    def record_failure(self, code: int) -> None:
        """Note that the command ended with an exit code other than 0: it is tried again only when asked."""
        content = {"config": config_hash(self.config), "exit_code": code}
        write_whole(self.folder / _FAILURE, (json.dumps(content) + "\n").encode())

    def forget_failure(self) -> None:
        (self.folder / _FAILURE).unlink(missing_ok=True)

    def has_failed(self) -> bool:
        """True when this job, with exactly this config, was tried and failed."""
        path = self.folder / _FAILURE
        return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["config"] == config_hash(self.config)

    def append_log(self, text: str) -> None:
        """Add to the log what the command itself could not write."""
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{text}\n")

    def log_tail(self) -> str:
        """The last lines of what the command wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.is_file() else []
        return "\n".join(lines[-_LOG_LINES:])


def plan_jobs(cells: tuple[Cell, ...], folder: Path, contents: Mapping[tuple[Path, ...], str]) -> list[Job]:
    """Jobs by what comes first: features, then trainings, then one evaluation for each cell, named by its label.

    `contents`: hash of what the benchmarks at these roots hold. A shared job is named by a hash of what it depends on,
    so that an edited ablation finds the trainings that still fit, and changed data leads to new ones.
    """
    features: dict[str, Job] = {}
    trainings: dict[str, Job] = {}
    evaluations = []
    for cell in cells:
        needs: tuple[str, ...] = ()
        if cell.config.machine.cache is not None:
            name = f"features-{json_digest(_features_depend_on(cell.config))[:12]}"
            features.setdefault(name, Job(name, "features", folder / SHARED / name, cell.config))
            needs = (name,)
        name = f"training-{json_digest(_training_depends_on(cell.config, contents[cell.config.data.roots]))[:12]}"
        training = Job(name, "train", folder / SHARED / name, cell.config, needs)
        training = trainings.setdefault(name, training)
        evaluations.append(
            Job(cell.label, "evaluate", folder / cell.label, cell.config, (*needs, name), training.folder)
        )
    return [*features.values(), *trainings.values(), *evaluations]


def _features_depend_on(config: ExperimentConfig) -> Any:
    data, model = config.data, config.model
    initial_weights = str(config.initial_weights)  # these may bring an encoder
    options = [model.semantic_map, model.position_debias, model.pretrained]
    encoder = [model.image_encoder, *options, initial_weights]
    roots = [str(root) for root in data.roots]
    return [roots, str(config.machine.cache), data.short_side, data.max_long_side, *encoder]


def _training_depends_on(config: ExperimentConfig, content: str) -> Any:
    # Validations change no weights, but cells that share a training share its choice of the best checkpoint too.
    best = plain(config.learner) if config.evaluate.checkpoint == "best" else None  # validations adapt with it
    validation = [config.train.validate_every, config.train.validation_episodes, best]
    return [training_values(plain(config)), content, validation]
