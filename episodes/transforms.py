"""Augmentation of training clips: drawn once for a clip, the same for all of its frames and masks.

Parameters are drawn first, from an explicit generator, and applied by torchvision's functional operations afterwards:
torchvision's own random transforms draw from a global generator, which would make episodes depend on the worker.
"""

import re
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from episodes.config import AugmentConfig

# Words that a mirror changes, as whole words. "left-hand" holds the whole word "left"; "leftover" does not.
_MIRRORED = {
    "left": "right",
    "leftmost": "rightmost",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "lefthand": "righthand",
    "clockwise": "counterclockwise",
}
MIRROR = {**_MIRRORED, **{there: here for here, there in _MIRRORED.items()}, "anticlockwise": "clockwise"}
_WORDS = re.compile(rf"(?<!\w)(?:counter-clockwise|anti-clockwise|{'|'.join(MIRROR)})(?!\w)", re.IGNORECASE)
_COLOUR = (vision.adjust_brightness, vision.adjust_contrast, vision.adjust_saturation, vision.adjust_hue)


def mirror_sentence(text: str) -> str:
    """The sentence that is true after a horizontal flip: left and right swapped as whole words, in their case.

    Not understood: "right" in another sense ("right behind the car") is swapped too.
    """
    return _WORDS.sub(_mirrored, text)


def _mirrored(match: re.Match[str]) -> str:
    word = match.group()
    other = MIRROR[word.lower().replace("-", "")]
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other


@dataclass(frozen=True)
class ClipChange:
    """The parameters of one clip's augmentation; `colour` is brightness, contrast, saturation factors and hue shift."""

    short_side: int
    flip: bool
    colour: tuple[float, float, float, float]
    order: tuple[int, ...]  # in which the four colour changes are applied

    def change(self, frames: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (T, 3, H, W) uint8 and object ids (T, H, W), already resized to `short_side`."""
        if self.flip:
            frames, ids = frames.flip(-1), ids.flip(-1)
        neutral = (1.0, 1.0, 1.0, 0.0)
        for position in self.order:
            if self.colour[position] != neutral[position]:
                frames = _COLOUR[position](frames, self.colour[position])
        return frames, ids

    def sentence(self, text: str) -> str:
        return mirror_sentence(text) if self.flip else text


def draw_change(config: AugmentConfig, rng: np.random.Generator, short_side: int) -> ClipChange:
    """The change of one clip. Always the same number of draws, so that one switched off leaves the others alone."""
    scale = rng.uniform(*config.scale)
    flip = bool(rng.random() < config.flip)
    spread = np.array([config.brightness, config.contrast, config.saturation, config.hue])
    colour = np.array([1.0, 1.0, 1.0, 0.0]) + spread * rng.uniform(-1, 1, size=4)
    order = tuple(int(position) for position in rng.permutation(4))
    brightness, contrast, saturation, hue = map(float, colour)
    return ClipChange(max(1, round(short_side * scale)), flip, (brightness, contrast, saturation, hue), order)
