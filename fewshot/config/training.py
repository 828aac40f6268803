"""The section `train`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from episodes.config import Section


class TrainConfig(Section):
    """Meta-training on the base classes."""

    steps: int = Field(1000, ge=0, description="Optimiser steps; 0 keeps the initial weights, to evaluate them.")
    batch_episodes: int = Field(8, ge=1, description="Episodes of one step, over all processes together.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay of AdamW; biases and norms have none.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the whole gradient.")
    warmup_steps: int = Field(50, ge=0, description="Steps over which the learning rate rises linearly from 0.")
    schedule: Literal["cosine", "constant", "step"] = Field(
        "cosine", description="After the warm-up: cosine to 0, constant, or x 0.1 at each of `milestones`."
    )
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Steps after which the learning rate falls to a tenth (schedule `step`)."
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Number format of the forward pass; weights stay fp32."
    )
    validate_every: int = Field(
        200, ge=0, description="Steps between validations on held-out base-class videos; 0 = never."
    )
    validation_episodes: int = Field(
        48,
        ge=1,
        description="Episodes of one validation, always the same ones; as many support clips tell what is familiar.",
    )

    @model_validator(mode="after")
    def _milestones_belong_to_the_step_schedule(self) -> Self:
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError(
                f"schedule {self.schedule} and milestones {list(self.milestones)}: give milestones if and only if the "
                "schedule is step"
            )
        return self
