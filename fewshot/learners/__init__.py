"""Learners, and how a config chooses one."""

from collections.abc import Callable
from functools import partial

from fewshot.config.learner import LearnerConfig
from fewshot.learners.adaptation import Finetune, InnerLoop
from fewshot.learners.base import Conditioning, Learner
from fewshot.learners.gradient import MAML, MetaSGD, Reptile
from fewshot.learners.predictor import Decoding, Predictor, Predicts
from models.network import FewShotRVOS

__all__ = [
    "MAML",
    "Conditioning",
    "Decoding",
    "Finetune",
    "InnerLoop",
    "Learner",
    "MetaSGD",
    "Predictor",
    "Predicts",
    "Reptile",
    "build_learner",
]


def build_learner(config: LearnerConfig, network: FewShotRVOS) -> Learner:
    """The learner that the config names, around this network."""
    inner = InnerLoop(
        config.steps,
        config.learning_rate,
        config.scope,
        early_stop=config.early_stop,
        min_shots=config.min_shots,
        adapt=config.adapt,
        steps_of_one=config.steps_of_one,
    )
    kinds: dict[str, Callable[..., Learner]] = {
        "conditioning": Conditioning,
        "finetune": partial(Finetune, inner=inner, optimizer=config.optimizer),
        "maml": partial(MAML, inner=inner, train_steps=config.train_steps, order=config.order),
        "metasgd": partial(MetaSGD, inner=inner, train_steps=config.train_steps, order=config.order),
        "reptile": partial(Reptile, inner=inner, train_steps=config.train_steps),
    }
    return kinds[config.name](network)
