"""Where things are in each frame: the camera's window on a photograph, and the poses of objects.

Positions are pixels of the frame; time u runs from 0 to 1 over the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from episodes.generated.draws import Draws

_TRIES = 30
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_SIDES = {"left": (0, 0), "right": (0, 1), "top": (1, 0), "bottom": (1, 1)}  # axis, half
Box = tuple[float, float, float, float]  # x0, y0, x1, y1


@dataclass(frozen=True)
class Pose:
    """An object in one frame: middle and sqrt(width * height) in pixels, angle in radians, the rest relative."""

    x: float
    y: float
    size: float
    angle: float
    shear: float
    stretch: float
    tilt_x: float
    tilt_y: float
    bend: float


@dataclass(frozen=True)
class Mover:
    """An object that wants a path: `aspect` is width / height, `size` as in Pose; `grounded` moves with the camera."""

    aspect: float
    size: float
    attribute: str
    value: str
    grounded: bool

    @property
    def half(self) -> tuple[float, float]:
        root = self.aspect**0.5
        return self.size * root / 2, self.size / root / 2


@dataclass(frozen=True)
class Window:
    """The camera in one frame: the point of the photograph in the frame's middle, photograph pixels for each pixel of
    the frame, and the turn in radians."""

    x: float
    y: float
    scale: float
    angle: float
    tilt_x: float
    tilt_y: float


def times(frames: int) -> list[float]:
    return [frame / max(1, frames - 1) for frame in range(frames)]


def camera(
    photograph: tuple[int, int], frame: tuple[int, int], target: Box | None, frames: int, draws: Draws
) -> list[Window]:
    """A window that pans, zooms and turns a little within a photograph (width, height); `target` stays mostly in it."""
    (wide, high), (width, height) = photograph, frame
    most = min(wide / width, high / height)
    scale = most * draws.uniform(0.55, 0.92)
    if target is not None:
        needed = max((target[2] - target[0]) / width, (target[3] - target[1]) / height)
        scale = most * draws.uniform(min(0.92, max(0.6, needed / most)), 0.98)
    zoom = draws.uniform(-0.1, 0.1)
    turn, spin = draws.uniform(-0.05, 0.05), draws.uniform(-0.03, 0.03)
    tilt = [draws.uniform(-0.06, 0.06), draws.uniform(-0.06, 0.06)]
    strength = draws.pick((0.15, 0.5, 1.0))
    windows = []
    start, step = [], []
    for axis, (side, window) in enumerate(((wide, width), (high, height))):
        half = window * scale / 2
        low, high_end = half, max(half, side - half)
        if target is not None:  # its middle within the window's middle part
            middle = (target[axis] + target[axis + 2]) / 2
            low, high_end = _meet((low, high_end), (middle - 0.35 * half, middle + 0.35 * half))
        start.append(draws.uniform(low, high_end))
        step.append(draws.uniform(-0.22, 0.22) * window * scale * strength)
    shake = [draws.uniform(-1, 1) * 1.5 * scale for _ in range(2 * frames)]
    for index, u in enumerate(times(frames)):
        part = scale * (1 + zoom * (u - 0.5) * strength)
        place = []
        for axis, (side, window) in enumerate(((wide, width), (high, height))):
            half = min(window * part / 2, side / 2)
            value = start[axis] + step[axis] * (u - 0.5) + shake[2 * index + axis]
            place.append(min(max(value, half), side - half))
        angle = (turn + spin * (u - 0.5)) * strength
        windows.append(Window(place[0], place[1], part, angle, tilt[0] * u * strength, tilt[1] * u * strength))
    return windows


def _meet(allowed: tuple[float, float], wanted: tuple[float, float]) -> tuple[float, float]:
    """The part of `wanted` that is allowed, or else the allowed value next to it."""
    low, high = max(allowed[0], wanted[0]), min(allowed[1], wanted[1])
    if low <= high:
        return low, high
    nearest = allowed[0] if wanted[1] < allowed[0] else allowed[1]
    return nearest, nearest


def paths(
    movers: Sequence[Mover],
    windows: Sequence[Window],
    frame: tuple[int, int],
    obstacles: Sequence[Sequence[Box]],
    leaving: float,
    draws: Draws,
) -> list[list[Pose]]:
    """One path for each object; of several random layouts the first in which no object hides another for long.

    `obstacles` are boxes, one for each frame, of what is in the photograph already.
    """
    allowed = 0.45 if draws.chance(0.4) else 0.2
    leaves = [draws.chance(leaving) for _ in movers]
    best: list[list[Pose]] = []
    least = float("inf")
    for _ in range(_TRIES):
        layout = [_path(mover, windows, frame, leave, draws) for mover, leave in zip(movers, leaves, strict=True)]
        boxes = [[_box(mover, pose) for pose in way] for mover, way in zip(movers, layout, strict=True)]
        worst = max((_overlap(at) for at in zip(*boxes, *obstacles, strict=True)), default=0.0)
        if worst < least:
            best, least = layout, worst
        if least <= allowed:
            break
    return best


def _path(mover: Mover, windows: Sequence[Window], frame: tuple[int, int], leave: bool, draws: Draws) -> list[Pose]:
    clock = times(len(windows))
    start, step, bow = [], [], []
    for axis, side in enumerate(frame):
        low, high = min(0.8 * mover.half[axis], 0.5 * side), max(side - 0.8 * mover.half[axis], 0.5 * side)
        calm = 1.0
        if mover.attribute == "position":
            named, half = _SIDES.get(mover.value, (-1, 0))  # no value: whatever side it is on is measured later
            calm = 0.4
            if named == axis:
                low, high = (low, 0.45 * side) if half == 0 else (0.55 * side, high)
                low, high = min(low, high), max(low, high)
        start.append(draws.uniform(low, high))
        step.append(draws.uniform(-0.28, 0.28) * side * calm * draws.pick((0.1, 0.5, 1.0)))
        bow.append(draws.uniform(-0.08, 0.08) * side * calm)
    if mover.attribute == "motion":
        for axis, direction in enumerate(_STEPS[mover.value]):
            if direction:
                step[axis] = direction * draws.uniform(0.16, 0.36) * frame[axis]
                start[axis] -= 0.3 * step[axis] * (1 if draws.chance(0.5) else 0)
            bow[axis] *= 0.0 if direction else 0.5
    if leave and mover.attribute != "position":
        axis = draws.below(2)
        if mover.attribute != "motion":
            way = 1 if start[axis] > frame[axis] / 2 else -1
            edge = frame[axis] if way > 0 else 0
            step[axis] = 2 * (edge + way * mover.half[axis] * 1.3 - start[axis]) * draws.uniform(0.8, 1.2)
    turn, spin = draws.uniform(-0.3, 0.3), draws.uniform(-0.25, 0.25)
    growth = draws.uniform(-0.18, 0.18) * (0.3 if mover.attribute == "size" else 1)
    shear, shear_step = draws.uniform(-0.15, 0.15), draws.uniform(-0.1, 0.1)
    stretch, stretch_step = draws.uniform(-0.12, 0.12), draws.uniform(-0.08, 0.08)
    tilt = [draws.uniform(-0.2, 0.2) for _ in range(4)]
    bend, bend_step = draws.uniform(-0.05, 0.05), draws.uniform(-0.05, 0.05)
    poses = []
    for u, window in zip(clock, windows, strict=True):
        v = u - 0.5
        drift = [0.0, 0.0]
        if mover.grounded:  # what stands on the ground moves against the camera
            drift = [(windows[0].x - window.x) / window.scale, (windows[0].y - window.y) / window.scale]
        place = [start[a] + step[a] * v + bow[a] * (1 - 4 * v * v) + drift[a] for a in range(2)]
        poses.append(
            Pose(
                x=place[0],
                y=place[1],
                size=mover.size * (1 + growth * v * 2),
                angle=turn + spin * v * 2,
                shear=shear + shear_step * v * 2,
                stretch=1 + stretch + stretch_step * v * 2,
                tilt_x=tilt[0] + tilt[1] * v,
                tilt_y=tilt[2] + tilt[3] * v,
                bend=bend + bend_step * v * 2,
            )
        )
    return poses


def _box(mover: Mover, pose: Pose) -> Box:
    wide, high = (0.95 * half * pose.size / mover.size for half in mover.half)
    return pose.x - wide, pose.y - high, pose.x + wide, pose.y + high


def _overlap(boxes: Sequence[Box]) -> float:
    """The largest share of any box that lies under another one."""
    worst = 0.0
    for a, b in combinations(boxes, 2):
        wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if wide > 0 and high > 0:
            smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
            worst = max(worst, wide * high / max(smaller, 1e-6))
    return worst


def window_matrix(window: Window, frame: tuple[int, int]) -> np.ndarray:
    """(3, 3): pixels of the frame -> pixels of the photograph."""
    width, height = frame
    cos, sin = np.cos(window.angle) * window.scale, np.sin(window.angle) * window.scale
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    bent = np.array([[1, 0, 0], [0, 1, 0], [window.tilt_x / width, window.tilt_y / height, 1]])
    turned = np.array([[cos, -sin, window.x], [sin, cos, window.y], [0, 0, 1]])
    return np.asarray(turned @ bent @ centre)


def pose_matrix(pose: Pose, width: int, height: int) -> np.ndarray:
    """(3, 3): pixels of a sprite of that size -> pixels of the frame."""
    scale = pose.size / (width * height) ** 0.5
    root = pose.stretch**0.5
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    sheared = np.array([[scale * root, scale * pose.shear, 0], [0, scale / root, 0], [0, 0, 1]])
    tilted = np.array([[1, 0, 0], [0, 1, 0], [pose.tilt_x / pose.size, pose.tilt_y / pose.size, 1]])
    turned = np.array([[cos, -sin, pose.x], [sin, cos, pose.y], [0, 0, 1]])
    return np.asarray(turned @ tilted @ sheared @ centre)
