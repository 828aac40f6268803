"""ExperimentConfig: all values of a run, checked once when they are loaded. Importable without torch.

Values are read from YAML (`document`), replaced by `key=value` overrides, and checked strictly: `"10"` or `true` is not
a number. The resolved config is written into the run folder and is itself a valid experiment.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from episodes.config import Section
from episodes.errors import ConfigError
from episodes.files import json_digest
from fewshot.config.data import DataConfig, EpisodesConfig
from fewshot.config.document import Document, load_document, merge, parse_override
from fewshot.config.evaluation import TRAINING_FREE, EvaluateConfig
from fewshot.config.learner import LearnerConfig, LearnerName
from fewshot.config.machine import MachineConfig
from fewshot.config.messages import explain
from fewshot.config.training import TrainConfig
from fewshot.config.weights import named_weights
from fewshot.config.yaml_text import dump
from models.config import ModelConfig

SectionT = TypeVar("SectionT", bound=BaseModel)


class ExperimentConfig(Section):
    """One experiment; the file `experiments/NAME.yaml` after `extends` and overrides."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run; its folder is runs/NAME.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the initial weights and of all training episodes.")
    data: DataConfig = Field(description="The benchmark.")
    episodes: EpisodesConfig = Field(EpisodesConfig(), description="Training episodes.")
    model: ModelConfig = Field(ModelConfig(), description="The network.")
    initial_weights: Path | None = Field(
        None,
        description="Run folder (last checkpoint), name of weights that come with the project, or folder that "
        "`convert` wrote; null draws them from the seed.",
    )
    learner: LearnerConfig = Field(LearnerConfig(), description="Adaptation to a new class.")
    train: TrainConfig = Field(TrainConfig(), description="Meta-training.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Evaluation on the novel classes.")
    machine: MachineConfig = Field(MachineConfig(), description="How the run works on this machine.")

    @property
    def initial_folder(self) -> Path | None:
        """The folder that `initial_weights` means."""
        return None if self.initial_weights is None else named_weights(self.initial_weights)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the results table, in its order."""
        return self.evaluate.methods or ("prototype", "conditioning", self._adaptation)

    @property
    def _adaptation(self) -> LearnerName:
        return "finetune" if self.learner.name == "conditioning" else self.learner.name

    @model_validator(mode="after")
    def _methods_are_those_of_the_learner(self) -> Self:
        known = (*TRAINING_FREE, "conditioning", self._adaptation)
        for method in self.methods:
            if method not in known:
                raise ValueError(
                    f"evaluate.methods names {method}, but learner holds the values of {self.learner.name}: choose "
                    f"from {', '.join(known)}, or set learner.name={method} with its own values"
                )
        return self

    @property
    def holds_out_a_frame(self) -> bool:
        """Whether an evaluation holds out a frame of a single support clip. Curves take steps whatever min_shots is."""
        steps = self.learner.min_shots < 2 or bool(self.evaluate.curve_steps)
        return self.learner.early_stop and steps and 1 in self.evaluate.shots

    @model_validator(mode="after")
    def _something_can_be_held_out(self) -> Self:
        in_training = self.learner.early_stop and self.learner.min_shots < 2 and self.episodes.shots == 1
        sections = {"episodes": in_training, "evaluate": self.holds_out_a_frame and self.evaluate.tasks is None}
        for section, holds_out in sections.items():
            frames = getattr(self, section).support_frames
            if holds_out and frames < 2:
                raise ValueError(
                    "learner.early_stop holds out the last frame of a single support clip, but "
                    f"{section}.support_frames is {frames}; give at least 2"
                    + (", or leave out evaluate.curve_steps" if self.learner.min_shots >= 2 else "")
                )
        return self

    @model_validator(mode="after")
    def _familiarity_can_be_measured(self) -> Self:
        if self.learner.adapt == "unfamiliar" and self.model.affinity.stages != ("match",):
            raise ValueError(
                "learner.adapt unfamiliar needs model.affinity.stages [match], found "
                f"{list(self.model.affinity.stages)}: set learner.adapt=always, and learner.scope=head where it "
                "names a part of `matching`"
            )
        return self


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The experiment in file `path` with `key=value` overrides, checked. Raises ConfigError."""
    document = load_document(Path(path))
    if "base" in document.values:
        raise ConfigError(f"{path} is an ablation, not an experiment. To run it: `ablate {path}`")
    for text in overrides:
        document = merge(document, parse_override(text))
    if "name" not in document.values and document.values.keys() <= ExperimentConfig.model_fields.keys():
        raise ConfigError(
            f"{path} has no key `name`. If it is a part of an experiment, name it in `extends` of one, as "
            "experiments/demo.yaml does; if it is an experiment, add a name, which is that of its run folder"
        )
    return check_section(ExperimentConfig, document, str(path))


def check_section(model: type[SectionT], document: Document, source: str) -> SectionT:
    """`document` as a checked value of the pydantic class `model`; every fault is named in one ConfigError."""
    try:
        # JSON mode is pydantic's strict mode for plain files: "10" is not a number, but a string is a path.
        return model.model_validate_json(json.dumps(document.values), strict=True)
    except ValidationError as error:
        raise ConfigError(explain(error, model, document, source)) from error


def section_of(model: type[SectionT], overrides: Sequence[str], source: str) -> SectionT:
    """The class's defaults with `key=value` overrides, checked. Raises ConfigError."""
    document = Document({}, {})
    for text in overrides:
        document = merge(document, parse_override(text))
    return check_section(model, document, source)


def plain(config: BaseModel) -> dict[str, Any]:
    """The config as plain YAML values, by the names that files use."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values


def to_yaml(config: BaseModel) -> str:
    """YAML text; `load_config` of it gives an equal config."""
    return dump(plain(config))


def config_hash(config: BaseModel) -> str:
    """SHA-256 (hex) of all values: equal configs have equal hashes."""
    return json_digest(plain(config))
