"""Evaluation on the novel classes, or on another benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from episodes.config import Section
from episodes.controls import Control
from fewshot.config.data import Shots
from fewshot.config.learner import LearnerName


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
    label: str = Field(
        "cma",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="How the table calls the trained model, e.g. cma, base, self, cma-published; a word of letters, "
        "digits, `.`, `_` and `-`.",
    )
    methods: tuple[Literal["prototype", LearnerName], ...] | None = Field(
        None,
        min_length=1,
        description="Rows: `prototype` (training-free), `conditioning` (the model fed forward, named by `label`), and "
        "the learner's adaptation (`label+maml`), which is `finetune` for conditioning; null = these three.",
    )
    controls: tuple[Control, ...] = Field(
        tuple(Control),
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
    bootstrap_samples: int = Field(1000, ge=1, description="Resamples of classes and videos behind each 95 % interval.")

    @field_validator("seeds", "shots", "scoring", "methods", "controls", "control_shots", "curve_steps")
    @classmethod
    def _different(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        twice = sorted({value for value in values or () if (values or ()).count(value) > 1}, key=str)
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} is listed more than once; name each value once")
        return values

    @field_validator("label")
    @classmethod
    def _label_is_its_own(cls, label: str) -> str:
        if label == "prototype":
            raise ValueError("the table has a row of this name already, the training-free one; choose another label")
        return label

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
