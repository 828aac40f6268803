"""Small networks around one shared frozen trunk, and random clips, for the tests of models and learners."""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from episodes.types import ClipBatch
from models.config import AffinityConfig, MaskConfig, ModelConfig
from models.network import FewShotRVOS, Trunk

SENTENCES = ("a red disc on the left", "the blue ring", "a square", "the yellow cross that moves slowly to the right")


def small_config(**changes: Any) -> ModelConfig:
    """A model that runs in milliseconds; `affinity` and `mask` may be dicts that change those sections alone."""
    affinity = AffinityConfig(prior_dim=8, prior_hidden=16, **changes.pop("affinity", {}))
    mask = MaskConfig(**{"fine_width": 16, "mask_dim": 16, "vl_strides": (16, 32), **changes.pop("mask", {})})
    small: dict[str, Any] = {
        "hidden": 64,
        "heads": 4,
        "ffn": 32,
        "dropout": 0.0,
        "levels": (16, 32, 64),
        "points": 2,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "queries": 2,
    }
    return ModelConfig(affinity=affinity, mask=mask, **{**small, **changes})


@cache
def shared_trunk() -> Trunk:
    """The packaged encoders, loaded once for all tests: they are frozen, so no test can change them for another."""
    return Trunk(small_config())


def small_network(seed: int = 0, *, stirred: bool = True, **changes: Any) -> FewShotRVOS:
    """A network in eval mode; `stirred` moves every weight away from its start value.

    Some parts start at zero on purpose (the queries' residual, the box refinement) and would hide what lies behind.
    """
    with torch.random.fork_rng(), patch("models.network.Trunk", return_value=shared_trunk()):
        torch.manual_seed(seed)
        network = FewShotRVOS(small_config(**changes))
        with torch.no_grad():
            for parameter in network.head.parameters():
                parameter.add_(0.1 * stirred * torch.randn_like(parameter))
    return network.eval()


def random_clips(
    count: int, frames: int = 2, size: tuple[int, int] = (64, 64), *, seed: int = 0, texts: tuple[str, ...] = SENTENCES
) -> ClipBatch:
    """`count` clips of noise with a brighter box as object; the class has a second box. Sentences in turn."""
    height, width = size
    rng = np.random.default_rng([seed, count, frames])
    pictures = rng.integers(0, 160, size=(count, frames, 3, height, width), dtype=np.uint8)
    masks = np.zeros((count, frames, height, width), bool)
    others = masks.copy()
    for clip in range(count):
        top, left = (int(rng.integers(0, side // 2)) for side in size)
        masks[clip, :, top : top + height // 2, left : left + width // 2] = True
        others[clip, :, height - 16 :, :16] = True
    pictures = np.where(masks[:, :, None], pictures + 90, pictures).astype(np.uint8)
    return ClipBatch(
        frames=torch.from_numpy(pictures),
        masks=torch.from_numpy(masks),
        class_masks=torch.from_numpy(masks | others),
        valid=torch.ones(count, height, width, dtype=torch.bool),
        times=torch.linspace(0, 1, frames).expand(count, frames).clone(),
        texts=tuple(texts[clip % len(texts)] for clip in range(count)),
    )
