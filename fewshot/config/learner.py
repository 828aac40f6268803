"""How a trained model adapts to a new class."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from episodes.config import Section

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
