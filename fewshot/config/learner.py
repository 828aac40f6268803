"""How a trained model adapts to a new class."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from episodes.config import Section

LearnerName = Literal["conditioning", "finetune", "maml", "metasgd", "reptile"]
# Values that a learner ignores. `conditioning` has those of `finetune`, for the fine-tuned row of its table.
_UNREAD: dict[LearnerName, tuple[str, ...]] = {
    "conditioning": ("train_steps", "order"),
    "finetune": ("train_steps", "order"),
    "maml": ("optimizer",),
    "metasgd": ("optimizer",),
    "reptile": ("optimizer", "order"),
}


class LearnerConfig(Section):
    """How a trained model adapts to the support set of a new class, and how it is meta-trained to do so."""

    name: LearnerName = Field(
        "conditioning",
        description="`conditioning`: the support set is an input; `finetune`: gradient steps on it as well; `maml`, "
        "`metasgd` (learned step sizes), `reptile`: also meta-trained for such steps.",
    )
    steps: int = Field(10, ge=0, le=10_000, description="Gradient steps on the support set at test time.")
    steps_of_one: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="The same where the support is a single clip, which only its own frames can ask, so that "
        "steps go too far sooner; null = `steps`.",
    )
    learning_rate: float = Field(
        1e-4,
        gt=0,
        description="Size of a gradient step on the support set; metasgd's learned sizes start from it.",
    )
    scope: str = Field("head", description="Part of the head that these steps change: `head` is all of it.")
    optimizer: Literal["adam", "sgd"] = Field(
        "adam",
        description="Optimiser of finetune's steps; other learners take plain gradient steps, as in training.",
    )
    min_shots: int = Field(
        2,
        ge=1,
        description="With fewer support clips no step is taken: a single clip cannot be queried with another one as "
        "support, and steps of the whole head lowered J&F on novel classes (experiments/LOG.md).",
    )
    adapt: Literal["always", "unfamiliar"] = Field(
        "always",
        description="Whether steps are taken on every support, or only where the loss on its clips is more than "
        "twice that on 95 % of the training's (affinity `match`; clips of one frame do not tell).",
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
        description="Order of the meta-gradient (maml, metasgd): 2 differentiates through the steps, 1 does not.",
    )

    @model_validator(mode="after")
    def _every_value_is_read(self) -> Self:
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
