"""Learners, and how a config chooses one."""

from __future__ import annotations

from fewshot.config import LearnerConfig
from fewshot.learners.base import Learner, Predictor, Trajectory
from fewshot.learners.conditioning import Conditioning
from fewshot.learners.finetune import Finetune
from models.network import FewShotRVOS

__all__ = ["Conditioning", "Finetune", "Learner", "Predictor", "Trajectory", "build_learner"]


def build_learner(
    config: LearnerConfig, network: FewShotRVOS, chunk_frames: int, trajectory: Trajectory = "linked"
) -> Learner:
    """The learner that the config names, around this network."""
    if config.name == "finetune":
        return Finetune(
            network,
            chunk_frames,
            trajectory,
            steps=config.steps,
            learning_rate=config.learning_rate,
            scope=config.scope,
        )
    return Conditioning(network, chunk_frames, trajectory)
