"""Light, colour, blur and noise, so that pasted objects do not stand out and no two clips look alike."""

from dataclasses import dataclass

import cv2
import numpy as np

from episodes.composed.sprites import Sprite
from episodes.composed.words import HUES
from episodes.generated.draws import Draws

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Shot:
    """How a clip was taken: applied to whole frames."""

    gain: float
    gamma: float
    cast: tuple[float, float, float]
    drift: float  # of the gain over the clip
    blur: float
    noise: float
    grey: bool
    quality: int  # of JPEG


def draw_shot(coloured: bool, draws: Draws) -> Shot:
    """`coloured`: the sentences name colours, so that the light keeps close to white."""
    width = 0.04 if coloured else 0.14
    return Shot(
        gain=draws.uniform(0.8, 1.12),
        gamma=draws.uniform(0.82, 1.22),
        cast=(draws.uniform(1 - width, 1 + width), 1.0, draws.uniform(1 - width, 1 + width)),
        drift=draws.uniform(-0.12, 0.12),
        blur=draws.uniform(0.4, 1.3) if draws.chance(0.25) else 0.0,
        noise=draws.uniform(0.0, 0.035) * draws.pick((0.2, 0.5, 1.0)),
        grey=not coloured and draws.chance(0.05),
        quality=int(draws.uniform(55, 95)),
    )


def taken(frames: list[np.ndarray], shot: Shot, draws: Draws) -> np.ndarray:
    """frames of (H, W, 3) float32 in [0, 1] -> (T, H, W, 3) uint8."""
    height, width = frames[0].shape[:2]
    grain = (draws.noise(height, width, 1) + draws.noise(height, width, 1) - 1).astype(np.float32) * 2 * shot.noise
    result = []
    for index, frame in enumerate(frames):
        level = shot.gain * (1 + shot.drift * (index / max(1, len(frames) - 1) - 0.5))
        picture = np.clip(frame, 0, 1) ** np.float32(shot.gamma) * np.array(shot.cast, np.float32) * np.float32(level)
        if shot.blur:
            picture = cv2.GaussianBlur(picture, (0, 0), shot.blur)
        picture = picture + np.roll(grain, (37 * index, 61 * index), (0, 1))
        if shot.grey:
            picture = np.repeat((picture @ _LUMA)[..., None], 3, axis=2)
        result.append(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return np.stack(result)


def lit(sprite: Sprite, surroundings: np.ndarray, colour: str | None, draws: Draws) -> Sprite:
    """The sprite in other light, mirrored or not, partly matched in brightness to `surroundings` (H, W, 3) in [0, 1].

    `colour` is a name of HUES that it is tinted in.
    """
    rgb = sprite.rgba[..., :3].astype(np.float32) / 255
    inside = sprite.rgba[..., 3] > 127
    if colour is not None:
        rgb = _tinted(rgb, inside, HUES[colour], draws)
    own, other = float((rgb[inside] @ _LUMA).mean()), float((surroundings @ _LUMA).mean())
    match = draws.uniform(0, 0.6)
    gain = (max(other, 0.05) / max(own, 0.05)) ** match * draws.uniform(0.85, 1.15)
    width = 0.03 if colour else 0.08
    cast = np.array([draws.uniform(1 - width, 1 + width) for _ in range(3)], np.float32)
    contrast = draws.uniform(0.8, 1.1)
    rgb = ((rgb - own) * contrast + own) * min(max(gain, 0.5), 1.6) * cast
    rgba = np.dstack([np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8), sprite.rgba[..., 3]])
    return Sprite(np.ascontiguousarray(rgba[:, ::-1]) if draws.chance(0.5) else rgba)


def _tinted(rgb: np.ndarray, inside: np.ndarray, hue: int, draws: Draws) -> np.ndarray:
    """The picture's brightness in shades of one hue."""
    grey = rgb @ _LUMA
    low, high = np.quantile(grey[inside], (0.02, 0.98))
    grey = np.clip((grey - low) / max(high - low, 0.1), 0, 1)
    hsv = np.empty(rgb.shape, np.float32)
    hsv[..., 0] = (2 * hue + draws.uniform(-6, 6)) % 360
    hsv[..., 1] = draws.uniform(0.65, 0.9) * (1 - 0.45 * grey)
    hsv[..., 2] = draws.uniform(0.3, 0.45) + 0.55 * grey
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
