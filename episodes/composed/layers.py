"""One object in one frame as a layer of colours and alpha, and photographs as the camera's window shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from episodes.composed.movement import Pose, Window, pose_matrix, window_matrix
from episodes.composed.sprites import Photograph, Sprite, premultiplied


@dataclass(frozen=True)
class Layer:
    """rgba (h, w, 4) float32 in [0, 1], colours times alpha; its corner is at (top, left) of the frame."""

    top: int
    left: int
    rgba: np.ndarray

    @property
    def area(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.rgba.shape[0]), slice(self.left, self.left + self.rgba.shape[1])


def layers(
    sprite: Sprite, poses: Sequence[Pose], frame: tuple[int, int], blur: float, speed_blur: float
) -> list[Layer | None]:
    """A layer for each frame; None where nothing of the object is in the frame. `blur` is a sigma in pixels;
    `speed_blur` is the part of the way between two frames over which the object is smeared."""
    rgba = premultiplied(sprite.rgba)
    factor = 1.25 * max(pose.size for pose in poses) / sprite.extent
    if factor < 1:  # reduce once by averaging, so that warping does not skip pixels
        size = (max(4, round(rgba.shape[1] * factor)), max(4, round(rgba.shape[0] * factor)))
        rgba = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA)
    result = []
    for index, pose in enumerate(poses):
        other = poses[index + 1] if index + 1 < len(poses) else poses[max(0, index - 1)]
        smear = (speed_blur * abs(other.x - pose.x), speed_blur * abs(other.y - pose.y))
        result.append(_layer(_bent(rgba, pose.bend), pose, frame, blur, smear))
    return result


def _layer(
    rgba: np.ndarray, pose: Pose, frame: tuple[int, int], blur: float, smear: tuple[float, float]
) -> Layer | None:
    height, width = rgba.shape[:2]
    matrix = pose_matrix(pose, width, height)
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix.T
    corners = corners[:, :2] / corners[:, 2:]
    margin = 3 * blur + max(smear) / 2 + 1
    low = np.maximum(np.floor(corners.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + margin), frame).astype(int)
    if (high <= low).any():
        return None
    left, top = int(low[0]), int(low[1])
    matrix = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ matrix
    size = (int(high[0]) - left, int(high[1]) - top)
    warped = cv2.warpPerspective(rgba, matrix, size, flags=cv2.INTER_LINEAR)
    if blur > 0.25:
        warped = cv2.GaussianBlur(warped, (0, 0), blur, borderType=cv2.BORDER_CONSTANT)
    across, down = (min(2 * int(part / 2) + 1, 31) for part in smear)
    if max(across, down) > 1:
        warped = cv2.blur(warped, (across, down), borderType=cv2.BORDER_CONSTANT)
    return Layer(top, left, warped)


def _bent(rgba: np.ndarray, bend: float) -> np.ndarray:
    """The sprite with its columns moved along half a sine wave."""
    if abs(bend) < 0.01:
        return rgba
    height, width = rgba.shape[:2]
    shift = bend * width * np.sin(np.linspace(0, np.pi, height, dtype=np.float32))
    x = np.arange(width, dtype=np.float32)[None] + shift[:, None]
    y = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    return np.asarray(cv2.remap(rgba, x, y, cv2.INTER_LINEAR))


def view(photograph: Photograph, window: Window, frame: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What the camera sees: colours (H, W, 3) float32 in [0, 1] and the mask of the photograph's object (H, W) bool."""
    matrix = window_matrix(window, frame)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rgb = cv2.warpPerspective(photograph.rgb, matrix, frame, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    mask = cv2.warpPerspective(photograph.mask, matrix, frame, flags=flags)  # outside the photograph there is none
    return rgb.astype(np.float32) / 255, mask > 127
