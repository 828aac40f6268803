"""Optimiser groups and the learning rate of each step."""

import math

import torch
from torch import nn

from fewshot.config.training import TrainConfig


def build_optimizer(trained: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over every trainable parameter, each in exactly one group: matrices decay, vectors and scalars do not."""
    trainable = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate of optimiser step `step` (from 0): linear warm-up, then the schedule. Pure, so it resumes by itself."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * 0.1 ** sum(step >= milestone for milestone in config.milestones)
