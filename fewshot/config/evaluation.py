"""Evaluation on the novel classes, or on another benchmark."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from episodes.config import Section
from episodes.controls import Control
from fewshot.config.data import Shots
from fewshot.config.learner import LearnerName

# Rows without training, in the order of the paragraphs on them in docs/results.md; the files of fewshot/evaluation.
TrainingFree = Literal["prototype", "nearest", "forward_backward", "support_free"]
TRAINING_FREE: tuple[str, ...] = get_args(TrainingFree)


class TransferConfig(Section):
    """Evaluation on a benchmark other than that of the training."""

    root: Path = Field(
        description="Folder of the other benchmark; all of its classes are evaluated, whatever the group."
    )
    seen: Literal["reject", "skip", "keep"] = Field(
        "skip",
        description="Its classes that the weights were trained on, by name: stop, skip them, or keep them.",
    )
    unnamed: Literal["skip", "class"] = Field(
        "class",
        description='Its objects without a sentence: never asked for, or referred to as "the <category>".',
    )


class EvaluateConfig(Section):
    """Which rows the results table has, and which support clips and queries they are evaluated on."""

    draw: Literal["seeds", "pairs"] = Field(
        "seeds",
        description="`seeds`: support clips drawn by `seeds`, the same for all queries of a class; `pairs`: every "
        "ordered pair (support video, query video) of a class, for small benchmarks. With more shots, further "
        "videos follow in the order of their ids, as many as there are.",
    )
    seeds: tuple[int, ...] = Field(
        (0, 1, 2, 3, 4), min_length=1, description="Seeds of the support draws; not read with draw=pairs."
    )
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
        description="Weights after the last step, or with the best validation score (of few episodes: by chance).",
    )
    label: str = Field(
        "cma",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the trained model in tables, e.g. cma, base, self, cma-published; a word of letters, "
        "digits, `.`, `_` and `-`.",
    )
    methods: tuple[TrainingFree | LearnerName, ...] | None = Field(
        None,
        min_length=1,
        description="Rows: `prototype`, `nearest`, `forward_backward` (training-free), `support_free` (never sees the "
        "support: how much is saliency), `conditioning` (no gradient steps; named by `label`), and the learner's "
        "adaptation (`label+maml`), which is `finetune` for conditioning; null = `prototype` and the last two.",
    )
    controls: tuple[Control, ...] = Field(
        tuple(Control),
        description="Controls, of the model without gradient steps; [] for none.",
    )
    control_shots: tuple[Shots, ...] = Field(
        (1,), description="Numbers of support clips with which the controls are run."
    )
    curve_steps: tuple[Annotated[int, Field(ge=0, le=10_000)], ...] = Field(
        (),
        description="Numbers of gradient steps after which adaptation is scored as well (adaptation_curve.csv).",
    )
    support_videos: int | None = Field(
        None,
        ge=1,
        description="Number of videos of a class that support clips are drawn from; queries come from the others, "
        "whatever the shots. null = the largest of the shots, so that other shots mean other queries.",
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
    chunk_frames: int = Field(10, ge=1, description="Query frames that pass through the network together.")
    threshold: float = Field(
        0.5, gt=0, lt=1, description="Probability above which a pixel belongs to the answer; published: 0.5."
    )
    regions: float | None = Field(
        None,
        ge=0,
        description="Keep only the connected regions of an answer whose mean evidence of `match` is at most this many "
        "log-odds below that of the frame's best region; null keeps all.",
    )
    trajectory: Literal["linked", "chunk"] = Field(
        "linked",
        description="Object query that answers for a clip of several chunks: the one with the best mean score over the "
        "whole clip (`linked`), or the best of each chunk (`chunk`, released code).",
    )
    bootstrap_samples: int = Field(1000, ge=1, description="Resamples of classes and videos behind each 95 % interval.")

    @field_validator("seeds", "shots", "scoring", "methods", "controls", "control_shots", "curve_steps")
    @classmethod
    def _different(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        repeated = sorted({value for value in values or () if (values or ()).count(value) > 1}, key=str)
        if repeated:
            raise ValueError(f"{', '.join(map(str, repeated))} is listed more than once; name each value once")
        return values

    @field_validator("label")
    @classmethod
    def _label_is_not_that_of_another_row(cls, label: str) -> str:
        if label in TRAINING_FREE:
            raise ValueError("this is the name of a training-free row; choose another label")
        return label

    @property
    def largest_shots(self) -> int:
        """The most support clips that a row of the table asks for."""
        return max((*self.shots, *(self.control_shots if self.controls else ())))

    @model_validator(mode="after")
    def _support_videos_are_enough(self) -> Self:
        if self.support_videos is not None and self.support_videos < self.largest_shots:
            raise ValueError(
                f"support_videos = {self.support_videos}, but shots or control_shots need {self.largest_shots}; "
                f"also set evaluate.support_videos={self.largest_shots} (fewer videos are then left for queries)"
            )
        return self

    @model_validator(mode="after")
    def _curves_are_scored_as_paper(self) -> Self:
        if self.curve_steps and "paper" not in self.scoring:
            raise ValueError("curve_steps are scored as `paper`: add it to evaluate.scoring")
        return self
