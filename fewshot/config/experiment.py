"""ExperimentConfig: everything that decides a run, checked once at load. Importable without torch.

A value is read from YAML (`config_yaml`), laid over by `key=value` overrides, and checked strictly: `"10"` or `true` is
no number. The resolved config is written into the run folder and is itself a valid experiment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from episodes.config import AugmentConfig
from episodes.errors import ConfigError
from episodes.glyphs.config import GlyphsConfig
from fewshot.config.document import Document, dump, load_document, merge, parse_override
from fewshot.config.messages import explain
from models.config import ModelConfig

SectionT = TypeVar("SectionT", bound=BaseModel)
Shots = Annotated[int, Field(ge=1, le=64)]


class Section(BaseModel):
    """A part of an experiment: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """Which benchmark, and how its pictures are prepared."""

    root: Path = Field(
        description="Folder of the benchmark, relative to the working folder; docs/data.md lists the known layouts."
    )
    group: int = Field(
        1, ge=1, le=4, description="Group whose classes are novel: class ids with (id - 1) mod 4 = group - 1."
    )
    short_side: int = Field(
        256, ge=32, le=2048, description="Length in pixels to which the shorter picture side is scaled."
    )
    max_long_side: int | None = Field(
        None,
        ge=32,
        description="Scale no picture's longer side beyond so many pixels (published: 640); null = no limit.",
    )
    glyphs: GlyphsConfig | None = Field(
        None,
        description="Write the embedded benchmark with these values to `root` if it is absent; null for other data.",
    )
    cache: Path | None = Field(
        Path("cache"),
        description="Folder that keeps trunk features of unchanged frames between runs; null computes them each time.",
    )


class EpisodesConfig(Section):
    """What one training episode consists of."""

    shots: Shots = Field(1, description="K, support clips of a training episode; each comes from a video of its own.")
    support_frames: int = Field(5, ge=1, le=64, description="S, frames of a support clip.")
    query_frames: int = Field(
        5, ge=1, le=64, description="T, frames of a query clip in training; evaluation takes all frames."
    )
    name_shuffle: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of training episodes whose sentences call the class by another base class's name.",
    )
    validation_videos: int = Field(
        1, ge=0, description="Videos of each base class that training never sees and validation takes its queries from."
    )
    small_classes: Literal["refuse", "skip"] = Field(
        "refuse",
        description="A class with fewer videos than an episode needs: stop with the numbers, or leave the class out.",
    )
    augment: AugmentConfig | None = Field(
        None,
        description="How training clips are changed; null keeps them as they are, so that trunk features can be kept.",
    )


LearnerName = Literal["conditioning", "finetune", "maml", "metasgd", "reptile"]
# Values that a learner does not read; those of finetune belong to the table's fine-tuned row of conditioning too.
_UNREAD: dict[LearnerName, tuple[str, ...]] = {
    "conditioning": ("train_steps", "order"),
    "finetune": ("train_steps", "order"),
    "maml": ("optimizer",),
    "metasgd": ("optimizer",),
    "reptile": ("optimizer", "order"),
}


class LearnerConfig(Section):
    """How a trained model takes in the support set of a new class, and how it is meta-trained for that."""

    name: LearnerName = Field(
        "conditioning",
        description="`conditioning`: support is an input; `finetune`: then gradient steps on the support set; `maml`, "
        "`metasgd` (learned step sizes), `reptile`: meta-trained for such steps too.",
    )
    steps: int = Field(10, ge=0, le=10_000, description="Gradient steps on the support set at test time.")
    learning_rate: float = Field(
        1e-4, gt=0, description="Size of a gradient step on the support set; where metasgd's step sizes begin."
    )
    scope: str = Field("head", description="Part of the head that these steps change: `head` is all of it.")
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="Rule of the steps of finetune; the others keep the plain step that they were trained with."
    )
    min_shots: int = Field(
        2,
        ge=1,
        description="With fewer support clips no step is taken: a single clip cannot be asked about by another, and "
        "steps on it lost J&F on novel classes (experiments/LOG.md). 1 always takes steps.",
    )
    early_stop: bool = Field(
        False,
        description="Hold out a part of the support (a shot, or the last frame of a single one), and keep the weights "
        "with the lowest loss on it after 0, 1, 2, 5, 10, ... steps.",
    )
    train_steps: int = Field(
        1, ge=1, le=1000, description="Gradient steps on the support set in meta-training (maml, metasgd, reptile)."
    )
    order: Literal[1, 2] = Field(
        1,
        description="Derivatives of the meta-gradient (maml, metasgd): 2 leads through the steps, 1 passes them over.",
    )

    @model_validator(mode="after")
    def _every_value_is_read(self) -> LearnerConfig:
        for key in _UNREAD[self.name]:
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(f"learner.{key} = {value!r} has no effect on learner.name {self.name}; leave it out")
        return self

    def of_training(self) -> dict[str, Any]:
        """The values on which meta-trained weights depend: finetune is trained as conditioning is."""
        if self.name in ("conditioning", "finetune"):
            return {"name": "conditioning"}
        return self.model_dump(include={"name", "learning_rate", "scope", "train_steps", "order"})


class TrainConfig(Section):
    """Meta-training on the base classes."""

    steps: int = Field(1000, ge=0, description="Optimiser steps; 0 keeps the initial weights, to evaluate them.")
    batch_episodes: int = Field(8, ge=1, description="Episodes of one step, over all processes together.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay of AdamW; biases and norms have none.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the whole gradient.")
    warmup_steps: int = Field(50, ge=0, description="Steps in which the learning rate rises linearly from 0.")
    schedule: Literal["cosine", "constant", "step"] = Field(
        "cosine", description="After the warm-up: cosine to 0, constant, or x 0.1 at each of `milestones`."
    )
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Steps after which the learning rate falls to a tenth (schedule `step`)."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="Number format of the forward pass; weights stay fp32."
    )
    workers: int = Field(0, ge=0, le=256, description="Processes that load episodes; 0 loads in the training process.")
    threads: int = Field(2, ge=0, le=1024, description="CPU threads of torch; 0 leaves torch's own choice.")
    validate_every: int = Field(
        200, ge=0, description="Steps between validations on held-out base-class videos; 0 = never."
    )
    validation_episodes: int = Field(48, ge=1, description="Episodes of one validation; always the same ones.")
    checkpoint_every: int = Field(200, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="Newest checkpoints kept; the best one stays besides.")
    log_every: int = Field(10, ge=1, description="Steps between lines of metrics.jsonl and the progress display.")

    @model_validator(mode="after")
    def _milestones_belong_to_the_step_schedule(self) -> TrainConfig:
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError(
                f"schedule {self.schedule} and milestones {list(self.milestones)}: give milestones with schedule step, "
                "and only there"
            )
        return self


class TransferConfig(Section):
    """Evaluation on another benchmark than that of the training."""

    root: Path = Field(
        description="Folder of the other benchmark; all of its classes are asked for, whatever the group."
    )
    seen: Literal["refuse", "skip", "keep"] = Field(
        "skip",
        description="Classes of it that are base classes of the training, by name: stop, leave them out, or keep them.",
    )


class EvaluateConfig(Section):
    """Which rows the results table has, and on which draws they stand."""

    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1, description="Seeds of the support draws.")
    shots: tuple[Shots, ...] = Field(
        (1, 5), min_length=1, description="Numbers of support clips, each a part of the table."
    )
    scoring: tuple[Literal["paper", "davis"], ...] = Field(
        ("paper", "davis"),
        min_length=1,
        description="`paper`: pooled frames, pictures of data.short_side (published: 360); `davis`: by sequence, "
        "at the size of the files.",
    )
    checkpoint: Literal["last", "best"] = Field(
        "last",
        description="Weights after the last step, or of the best validation (a short one chooses by chance).",
    )
    label: str = Field("cma", description="How the table calls the trained model, e.g. cma, base, self, cma-published.")
    methods: tuple[Literal["prototype", LearnerName], ...] | None = Field(
        None,
        min_length=1,
        description="Rows: `prototype` (training-free), `conditioning` (the model fed forward, named by `label`), and "
        "the learner's adaptation (`label+maml`), which is `finetune` for conditioning; null = these three.",
    )
    controls: tuple[Literal["support_wrong_class", "support_none", "text_wrong_object"], ...] = Field(
        ("support_wrong_class", "support_none", "text_wrong_object"),
        description="Controls of the model fed forward; [] for none.",
    )
    control_shots: tuple[Shots, ...] = Field(
        (1,), description="Numbers of support clips for which the controls are run."
    )
    curve_steps: tuple[Annotated[int, Field(ge=0, le=10_000)], ...] = Field(
        (),
        description="Score adaptation after each of these numbers of gradient steps too (adaptation_curve.csv).",
    )
    support_videos: int | None = Field(
        None,
        ge=1,
        description="Videos of a class that its support clips come from; queries come from the others, whatever "
        "evaluate.shots asks for. null = as many as the largest of the shots, so that other shots mean other queries.",
    )
    support_frames: int = Field(5, ge=1, le=64, description="S, frames of a support clip in evaluation.")
    max_queries_per_class: int | None = Field(
        None, ge=1, description="Queries of each class and seed, drawn deterministically; null = all of them."
    )
    tasks: Path | None = Field(
        None,
        description="tasks.json whose support clips and queries are evaluated, with its seeds; null draws them.",
    )
    transfer: TransferConfig | None = Field(
        None, description="Evaluate on another benchmark; null = on the novel classes of data.group."
    )
    chunk_frames: int = Field(10, ge=1, description="Query frames that pass the network together.")
    trajectory: Literal["linked", "chunk"] = Field(
        "linked",
        description="Longer clips follow the query with the best mean score over the whole clip (`linked`), or that "
        "with the best one in each chunk (`chunk`, published).",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that evaluate tasks side by side, each with a network of its own; they share the CPU "
        "threads of train.threads.",
    )
    save_overlays: int = Field(
        8, ge=0, description="Queries drawn as overlays: median, worst and best, then as the tasks come."
    )
    bootstrap_samples: int = Field(1000, ge=1, description="Resamples of classes and videos behind each 95 % interval.")

    @field_validator("seeds", "shots", "scoring", "methods", "controls", "control_shots", "curve_steps")
    @classmethod
    def _different(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        twice = sorted({value for value in values or () if (values or ()).count(value) > 1}, key=str)
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} is listed more than once; name each value once")
        return values

    @property
    def largest_shots(self) -> int:
        """The most support clips that a row of the table asks for."""
        return max((*self.shots, *(self.control_shots if self.controls else ())))

    @model_validator(mode="after")
    def _support_videos_are_enough(self) -> EvaluateConfig:
        if self.support_videos is not None and self.support_videos < self.largest_shots:
            raise ValueError(
                f"support_videos = {self.support_videos}, but shots or control_shots ask for {self.largest_shots}; "
                f"give evaluate.support_videos={self.largest_shots} too (fewer videos are left to ask about)"
            )
        return self

    @model_validator(mode="after")
    def _curves_are_scored_as_paper(self) -> EvaluateConfig:
        if self.curve_steps and "paper" not in self.scoring:
            raise ValueError("curve_steps are scored as `paper`: add it to evaluate.scoring")
        return self


class ExperimentConfig(Section):
    """One experiment; the file `experiments/NAME.yaml` after `extends` and overrides."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run; its folder is runs/NAME.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the initial weights and of all training episodes.")
    data: DataConfig = Field(description="The benchmark.")
    episodes: EpisodesConfig = Field(EpisodesConfig(), description="Training episodes.")
    model: ModelConfig = Field(ModelConfig(), description="The network.")
    initial_weights: Path | None = Field(
        None,
        description="Folder that `run.py convert` wrote, or a run folder (last checkpoint); null draws them by seed.",
    )
    learner: LearnerConfig = Field(LearnerConfig(), description="Adaptation to a new class.")
    train: TrainConfig = Field(TrainConfig(), description="Meta-training.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Evaluation on the novel classes.")

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the results table, in its order."""
        return self.evaluate.methods or ("prototype", "conditioning", self._adaptation)

    @property
    def _adaptation(self) -> LearnerName:
        return "finetune" if self.learner.name == "conditioning" else self.learner.name

    @model_validator(mode="after")
    def _methods_are_those_of_the_learner(self) -> ExperimentConfig:
        known = ("prototype", "conditioning", self._adaptation)
        for method in self.methods:
            if method not in known:
                raise ValueError(
                    f"evaluate.methods names {method}, but the values of learner are those of {self.learner.name}: "
                    f"choose from {', '.join(known)}, or give learner.name={method} with values of its own"
                )
        return self

    @model_validator(mode="after")
    def _something_can_be_held_out(self) -> ExperimentConfig:
        frames = {"episodes": self.episodes.support_frames, "evaluate": self.evaluate.support_frames}
        for section, count in frames.items():
            if self.learner.early_stop and self.learner.min_shots < 2 and count < 2:
                raise ValueError(
                    f"learner.early_stop holds out the last frame of a single support clip, but "
                    f"{section}.support_frames is {count}; give at least 2"
                )
        return self


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The experiment in file `path` with `key=value` overrides, checked. Raises ConfigError."""
    document = load_document(Path(path))
    if "base" in document.values:
        raise ConfigError(f"{path} is an ablation, not an experiment. To run it: python run.py ablate {path}")
    for text in overrides:
        document = merge(document, parse_override(text))
    if not document.values.keys() & {"name", "data"} and document.values.keys() <= ExperimentConfig.model_fields.keys():
        raise ConfigError(
            f"{path} is a part of an experiment (it has no name and no data): name it in `extends` of one, as "
            "experiments/demo.yaml does"
        )
    return check_section(ExperimentConfig, document, str(path))


def check_section(model: type[SectionT], document: Document, source: str) -> SectionT:
    """`document` as a checked value of the pydantic class `model`; every fault is named in one ConfigError."""
    try:
        # JSON mode is pydantic's strict mode for plain files: "10" is no number, but a string is a path.
        return model.model_validate_json(json.dumps(document.values), strict=True)
    except ValidationError as error:
        raise ConfigError(explain(error, model, document, source)) from error


def plain(config: BaseModel) -> dict[str, Any]:
    """The config as plain YAML values, by the names that files use."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values


def to_yaml(config: BaseModel) -> str:
    """YAML text; `load_config` of it gives an equal config."""
    return dump(plain(config))


def config_hash(config: BaseModel) -> str:
    """SHA-256 (hex) of the canonical JSON of all values: equal configs have equal hashes."""
    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
