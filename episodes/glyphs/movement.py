"""Where each object is in each frame: poses, and the search for paths that occlude only in part.

Positions are shares of the frame (0 left or top, 1 right or bottom); time u runs from 0 to 1 over the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from episodes.generated.draws import Draws
from episodes.glyphs.outlines import Outline

_SPREAD, _CROWDED = 0.27, 0.33  # distance of the quarters' middles from the border; crowded ones occlude more
_MIDDLE_GAP = 0.07  # a named side keeps its objects' centres this far from the middle line
_TRIES = 40
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Pose:
    """One object in one frame: centre and size as shares of the frame's side, and how its outline is bent and tilted.
    `turn` is the tangent of half the angle: rotation then needs no sine, whose last bit differs between machines."""

    x: float
    y: float
    size: float
    turn: float
    shear: float
    aspect: float
    tilt_x: float
    tilt_y: float
    bend: float


@dataclass(frozen=True)
class Mover:
    """What the search for a path must respect: the object's shape and size, and the attribute its words name."""

    outline: Outline
    size: float
    attribute: str
    value: str

    def half_extents(self, grow: float) -> tuple[float, float]:
        return self.outline.half_width * self.size * grow, self.outline.half_height * self.size * grow


def paths(movers: Sequence[Mover], frames: int, leaving: float, draws: Draws) -> list[tuple[Pose, ...]]:
    """One path for each object; of several random layouts the first one in which no object hides another for long."""
    crowded = draws.chance(0.35)
    inset, allowed = (_CROWDED, 0.45) if crowded else (_SPREAD, 0.15)
    best: list[tuple[Pose, ...]] = []
    least = float("inf")
    leaves = [draws.chance(leaving) for _ in movers]
    for _ in range(_TRIES):
        cells = _cells(movers, inset, draws)
        layout = [_path(*plan, frames, draws) for plan in zip(movers, cells, leaves, strict=True)]
        worst = max(_overlap(movers, poses) for poses in zip(*layout, strict=True))
        if worst < least:
            best, least = layout, worst
        if least <= allowed:
            break
    return best


def _cells(movers: Sequence[Mover], inset: float, draws: Draws) -> list[tuple[float, float]]:
    """The middle of a quarter for each object; where a side is named, of one of the quarters on that side."""
    low, high = inset, 1 - inset
    free = draws.shuffled([(low, low), (high, low), (low, high), (high, high)])
    sides = {"left": (0, low), "right": (0, high), "top": (1, low), "bottom": (1, high)}
    chosen = []
    for mover in movers:
        axis, place = sides[mover.value] if mover.attribute == "position" else (0, None)
        cell = next(cell for cell in free if place is None or cell[axis] == place)
        free.remove(cell)
        chosen.append(cell)
    return chosen


def _path(mover: Mover, cell: tuple[float, float], leave: bool, frames: int, draws: Draws) -> tuple[Pose, ...]:
    times = [frame / max(1, frames - 1) for frame in range(frames)]
    start = [middle + draws.uniform(-0.06, 0.06) for middle in cell]
    step = [draws.uniform(-0.10, 0.10), draws.uniform(-0.10, 0.10)]
    bow = [draws.uniform(-0.05, 0.05), draws.uniform(-0.05, 0.05)]
    if mover.attribute == "motion":
        direction = _STEPS[mover.value]
        travel = draws.uniform(0.20, 0.27)
        step = [d * travel if d else s * 0.3 for d, s in zip(direction, step, strict=True)]
        bow = [0.0 if d else b * 0.4 for d, b in zip(direction, bow, strict=True)]
    centres = [
        [c + s * (u - 0.5) + b * 4 * u * (1 - u) for c, s, b in zip(start, step, bow, strict=True)] for u in times
    ]
    exit_path = _exit(mover, cell, start, frames, draws) if leave and frames >= 3 else None
    centres = exit_path or [_kept_inside(mover, cell, centre) for centre in centres]
    return _poses(mover, centres, times, draws)


def _exit(
    mover: Mover, cell: tuple[float, float], start: list[float], frames: int, draws: Draws
) -> list[list[float]] | None:
    """A straight way out over the nearest border (or in, played backwards); None if the words forbid that direction."""
    outward = [-1 if middle < 0.5 else 1 for middle in cell]
    axis = draws.below(2)
    backwards = draws.chance(0.4)
    absent = 1 + draws.below(max(1, frames // 2 - 2))  # frames surely without the object; the next may be, too
    if mover.attribute == "motion":
        direction = _STEPS[mover.value]
        axis = 0 if direction[0] else 1
        backwards = direction[axis] != outward[axis]  # an object that moves inwards comes in
    reach = 0.75 * mover.size * max(1.0, 2 * mover.outline.half_width, 2 * mover.outline.half_height) + 0.03
    outside = -reach if outward[axis] < 0 else 1 + reach
    seen = frames - absent
    way = [start[axis] + (outside - start[axis]) * frame / seen for frame in range(frames)]
    centres = [[start[0], place] if axis else [place, start[1]] for place in way]
    return centres[::-1] if backwards else centres


def _kept_inside(mover: Mover, cell: tuple[float, float], centre: list[float]) -> list[float]:
    """Moves a centre so that most of the object is in the frame, and on the side that its words name."""
    kept = []
    for axis, (value, half) in enumerate(zip(centre, mover.half_extents(0.85), strict=True)):
        low, high = min(half, 0.5), max(1 - half, 0.5)
        if mover.attribute == "position" and axis == (0 if mover.value in ("left", "right") else 1):
            low, high = (low, 0.5 - _MIDDLE_GAP) if cell[axis] < 0.5 else (0.5 + _MIDDLE_GAP, high)
        if mover.attribute == "motion" and _STEPS[mover.value][axis]:
            low, high = 0.0, 1.0  # clamping would stop the motion; a part may be cut off instead
        kept.append(min(max(value, low), high))
    return kept


def _poses(mover: Mover, centres: list[list[float]], times: list[float], draws: Draws) -> tuple[Pose, ...]:
    turn, spin = draws.uniform(-0.17, 0.17), draws.uniform(-0.06, 0.06)  # about +-20 degrees, then +-7 over the video
    shear, shear_step = draws.uniform(-0.22, 0.22), draws.uniform(-0.06, 0.06)
    aspect, aspect_step = draws.uniform(0.9, 1.11), draws.uniform(-0.04, 0.04)
    growth = draws.uniform(-0.04, 0.04)
    tilt_x, tilt_y = draws.uniform(-0.22, 0.22), draws.uniform(-0.22, 0.22)
    bend, bend_step = draws.uniform(-0.08, 0.08), draws.uniform(-0.06, 0.06)
    return tuple(
        Pose(
            x=x,
            y=y,
            size=mover.size * (1 + growth * v),
            turn=turn + spin * v,
            shear=shear + shear_step * v,
            aspect=aspect + aspect_step * v,
            tilt_x=tilt_x,
            tilt_y=tilt_y,
            bend=bend + bend_step * v,
        )
        for (x, y), v in zip(centres, (2 * u - 1 for u in times), strict=True)
    )


def _overlap(movers: Sequence[Mover], poses: Sequence[Pose]) -> float:
    """The largest share of any object's box that lies under another object's box in one frame."""
    worst = 0.0
    for (first, a), (second, b) in combinations(zip(movers, poses, strict=True), 2):
        (aw, ah), (bw, bh) = first.half_extents(0.95), second.half_extents(0.95)
        wide = min(a.x + aw, b.x + bw) - max(a.x - aw, b.x - bw)
        high = min(a.y + ah, b.y + bh) - max(a.y - ah, b.y - bh)
        if wide > 0 and high > 0:
            worst = max(worst, wide * high / (4 * min(aw * ah, bw * bh)))
    return worst
