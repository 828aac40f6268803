"""Small networks around one shared frozen trunk, and random clips, for the tests of models and learners."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from episodes.dataset import join_clips, join_truths
from episodes.padding import pad, padded_size, valid_area
from episodes.types import ClipRef, Clips, Episode, EpisodeSpec, Support, Truth
from models.config import ModelConfig
from models.network import FewShotRVOS, build_head
from models.trunk import Trunk
from tests.tiny_runs import TINY_MODEL

SENTENCES = ("a red disc on the left", "the blue ring", "a square", "the yellow cross that moves slowly to the right")


def small_config(**changes: Any) -> ModelConfig:
    """`TINY_MODEL` with changes; `affinity` and `mask` may be dicts that change those sections alone."""
    sections = {name: {**TINY_MODEL[name], **changes.pop(name, {})} for name in ("affinity", "mask")}
    return ModelConfig(**{**TINY_MODEL, **sections, **changes})


@cache
def shared_trunk() -> Trunk:
    """The packaged encoders, loaded once for all tests: they are frozen, so no test can change them for another."""
    return Trunk(small_config())


def small_network(seed: int = 0, *, stirred: float = 1.0, **changes: Any) -> FewShotRVOS:
    """A network in eval mode; `stirred` is how far every weight is moved from its start value.

    Some parts start at zero on purpose (the queries' residual, the box refinement) and would hide what lies behind.
    """
    config, trunk = small_config(**changes), shared_trunk()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = FewShotRVOS(config, trunk, build_head(config, trunk.image.channels, trunk.text.dim))
        with torch.no_grad():
            for parameter in network.head.parameters():
                parameter.add_(0.1 * stirred * torch.randn_like(parameter))
    return network.eval()


def annotated_clips(
    count: int,
    frames: int = 2,
    size: tuple[int, int] = (64, 64),
    *,
    seed: int = 0,
    sentences: tuple[str, ...] = SENTENCES,
) -> tuple[Clips, Truth]:
    """`count` clips of noise with a brighter box as object; the class has a second box. Sentences in turn.

    Pictures of `size` (height, width), padded to multiples of 32.
    """
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
    padded = padded_size(height, width)
    clips = Clips(
        valid=valid_area(size, padded).expand(count, *padded).clone(),
        times=torch.linspace(0, 1, frames).expand(count, frames).clone(),
        sentences=tuple(sentences[clip % len(sentences)] for clip in range(count)),
        frames=pad(torch.from_numpy(pictures), padded),
    )
    return clips, Truth(pad(torch.from_numpy(masks), padded), pad(torch.from_numpy(masks | others), padded))


def random_clips(count: int, frames: int = 2, size: tuple[int, int] = (64, 64), **how: Any) -> Clips:
    """The clips of `annotated_clips`: queries whose answers are of no interest."""
    return annotated_clips(count, frames, size, **how)[0]


def random_support(count: int, frames: int = 2, size: tuple[int, int] = (64, 64), **how: Any) -> Support:
    """The clips of `annotated_clips` with the masks of their objects."""
    clips, truth = annotated_clips(count, frames, size, **how)
    return Support(clips, truth.masks)


def mixed_clips(sizes: Sequence[tuple[int, int]], frames: int = 2, *, seed: int = 0) -> tuple[Clips, Truth]:
    """One clip of each size in one batch, hence padded to the largest."""
    parts = [annotated_clips(1, frames, size, seed=seed + 100 * number) for number, size in enumerate(sizes)]
    return join_clips([clips for clips, _ in parts]), join_truths([truth for _, truth in parts])


def mixed_support(sizes: Sequence[tuple[int, int]], frames: int = 2, *, seed: int = 0) -> Support:
    """One shot of each size."""
    clips, truth = mixed_clips(sizes, frames, seed=seed)
    return Support(clips, truth.masks)


def random_episodes(
    count: int = 1, shots: int = 2, size: tuple[int, int] = (64, 64), *, support: Support | None = None
) -> Episode:
    """A batch of `count` episodes; `size` is that of the query pictures."""
    clip = ClipRef("video", "1", "1", ("00000", "00005"))
    spec = EpisodeSpec(0, "train", 0, "disc", "disc", (clip,) * shots, clip)
    query, truth = annotated_clips(count, size=size, seed=1)
    return Episode((spec,) * count, support or random_support(count * shots), query, truth)


def single_episode(batch: Episode, number: int) -> Episode:
    """Episode `number` of a batch."""
    own = list(range(number * batch.shots, (number + 1) * batch.shots))
    query = batch.query.select([number])
    specs = batch.specs[number : number + 1]
    return Episode(specs, batch.support.select(own), query, batch.truth.select([number], query.size))


def in_features(trunk: Trunk, clips: Clips) -> Clips:
    """The clips as a feature store would hand them out, in place of their frames."""
    return replace(clips, frames=None, features=trunk.pyramid(clips))
