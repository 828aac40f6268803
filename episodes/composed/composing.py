"""An assignment -> frames, masks and sentences.

A video is one part, or (a mosaic) two parts side by side. A part is a photograph seen by a moving camera, objects in
front of it, and cut out pieces of other photographs, so that a pasted edge alone never means an object.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from episodes.composed.config import ComposedConfig, ComposedError
from episodes.composed.layers import Layer, layers, view
from episodes.composed.light import Shot, draw_shot, lit, taken
from episodes.composed.movement import Box, Mover, Pose, Window, camera, paths
from episodes.composed.pictures import Library
from episodes.composed.planning import Assignment, Role, scene_roles, still_roles, stills
from episodes.composed.sprites import Photograph, Sprite, annotated, background, sprite
from episodes.composed.truth import all_true, measured_places, measured_size
from episodes.composed.words import NAME, sentence
from episodes.generated.draws import Draws

_NAMED_TRIES, _TRIES = 12, 120  # layouts in which the attribute may be true; then the class name has to do


@dataclass(frozen=True)
class Composed:
    """frames (T, H, W, 3) uint8 RGB; masks (T, H, W) uint8; object i has id i + 1, roles[i], texts[i], and whole[i][t]
    pixels in frame t if nothing stood before it."""

    frames: np.ndarray
    masks: np.ndarray
    roles: tuple[Role, ...]
    texts: tuple[str, ...]
    whole: tuple[tuple[int, ...], ...]
    attribute: str
    shot: Shot


@dataclass(frozen=True)
class Part:
    """frames: T of (h, w, 3) float32 in [0, 1]; masks (T, h, w) uint8 with ids from 1; roles and whole as above."""

    frames: list[np.ndarray]
    masks: np.ndarray
    roles: list[Role]
    whole: list[list[int]]


def compose(assignment: Assignment, library: Library, config: ComposedConfig, draws: Draws) -> Composed:
    """Layouts are drawn until all sentences are true of what can be seen; ComposedError if none is found."""
    for attempt in range(_TRIES):
        wanted = assignment if attempt < _NAMED_TRIES else replace(assignment, attribute=NAME)
        parts = _parts(wanted, library, config, draws)
        if parts is None:
            continue
        shot = draw_shot(wanted.attribute == "colour", draws)
        frames = [np.concatenate(halves, axis=1) for halves in zip(*(part.frames for part in parts), strict=True)]
        masks, roles, whole = _joined(parts)
        pictures = taken(frames, shot, draws)
        if all_true(roles, masks, whole, pictures):
            texts = [sentence(role.category, role.picture.caption, role.attribute, role.value, draws) for role in roles]
            return Composed(
                pictures, masks, tuple(roles), tuple(texts), tuple(map(tuple, whole)), wanted.attribute, shot
            )
    names = " and ".join(assignment.classes)
    raise ComposedError(
        f"video {assignment.video}: no layout of {names} shows every object at {config.width} x {config.height}; "
        "raise width, height or smallest, or lower leaving"
    )


def _joined(parts: Sequence[Part]) -> tuple[np.ndarray, list[Role], list[list[int]]]:
    masks: list[np.ndarray] = []
    roles: list[Role] = []
    whole: list[list[int]] = []
    for part in parts:
        masks.append(np.where(part.masks > 0, part.masks + len(roles), 0).astype(np.uint8))
        roles += part.roles
        whole += part.whole
    return np.concatenate(masks, axis=2), roles, whole


def _parts(assignment: Assignment, library: Library, config: ComposedConfig, draws: Draws) -> list[Part] | None:
    frame = (config.width, config.height)
    if assignment.kind == "mosaic":
        widths = (config.width // 2, config.width - config.width // 2)
        halves = zip(draws.shuffled(assignment.classes), widths, strict=True)
        return [_half(name, (width, config.height), library, config, draws) for name, width in halves]
    if assignment.kind == "scene":
        roles = scene_roles(assignment, library, draws)
        return [_part(frame, background(draws.pick(library.backgrounds)), None, roles, library, config, draws)]
    own, roles = still_roles(assignment, library, draws)
    part = _part(frame, annotated(own.picture), own, roles, library, config, draws)
    named = part if own.attribute == NAME else _measured(part, own.attribute)
    return None if named is None else [named]


def _half(name: str, frame: tuple[int, int], library: Library, config: ComposedConfig, draws: Draws) -> Part:
    """One side of a mosaic: a photograph of the class where there is one (mostly), else a cut-out on a background."""
    photographed = stills(library.classes[name])
    if photographed and draws.chance(0.75):
        role = Role(draws.pick(photographed), NAME)
        return _part(frame, annotated(role.picture), role, [], library, config, draws)
    role = Role(draws.pick(library.classes[name]), NAME)
    return _part(frame, background(draws.pick(library.backgrounds)), None, [role], library, config, draws)


def _measured(part: Part, attribute: str) -> Part | None:
    """The part with the values of its first two objects, the photograph's own and its twin; None if they do not differ
    clearly."""
    if attribute == "size":
        values = measured_size(np.stack([(part.masks == number).sum(axis=(1, 2)) for number in (1, 2)]))
    else:
        values = measured_places(part.masks, (1, 2), 0) or measured_places(part.masks, (1, 2), 1)
    if values is None:
        return None
    valued = [replace(role, value=value) for role, value in zip(part.roles[:2], values, strict=True)]
    return replace(part, roles=[*valued, *part.roles[2:]])


def _part(
    frame: tuple[int, int],
    photograph: Photograph,
    own: Role | None,
    roles: list[Role],
    library: Library,
    config: ComposedConfig,
    draws: Draws,
) -> Part:
    if draws.chance(0.5):
        photograph = Photograph(photograph.rgb[:, ::-1], photograph.mask[:, ::-1])
    photograph = Photograph(np.ascontiguousarray(photograph.rgb), np.ascontiguousarray(photograph.mask))
    target = _box(photograph.mask)
    height, width = photograph.mask.shape
    windows = camera((width, height), frame, target, config.frames, draws)
    views = [view(photograph, window, frame) for window in windows]
    frames = [rgb for rgb, _ in views]
    if own is None and draws.chance(0.35):
        sigma = draws.uniform(0.5, 2.5)
        frames = [cv2.GaussianBlur(rgb, (0, 0), sigma) for rgb in frames]
    masks = np.stack([mask for _, mask in views]).astype(np.uint8)
    whole = [[int(mask.sum()) for mask in masks]] if own is not None else []
    boxes = [_box(mask) for mask in masks]
    obstacles = [[box for box in boxes if box is not None]] if all(boxes) else []

    sprites = [_sprite(role, frames[0], draws) for role in roles]
    movers = [
        _mover(picture, role, size, draws)
        for picture, role, size in zip(sprites, roles, _sizes(roles, frame, config, draws), strict=True)
    ]
    ways = paths(movers, windows, frame, obstacles, config.leaving if own is None else 0.0, draws)
    stacks = [_stack(picture, way, frame, draws) for picture, way in zip(sprites, ways, strict=True)]
    first = 1 if own is None else 2
    ordered: list[tuple[int, list[Layer | None]]] = list(enumerate(stacks, start=first))
    shown = {role.category for role in (*([own] if own else []), *roles)}
    ordered += [(0, stack) for stack in _distractors(windows, frame, shown, library, draws)]
    counts = {number: [0] * len(frames) for number, _ in ordered}
    for number, stack in draws.shuffled(ordered):
        for index, layer in enumerate(stack):
            if layer is not None:
                counts[number][index] = _paste(frames[index], masks[index], layer, number)
    whole += [counts[number] for number in range(first, first + len(roles))]
    return Part(frames, masks, [*([own] if own else []), *roles], whole)


def _paste(rgb: np.ndarray, ids: np.ndarray, layer: Layer, number: int) -> int:
    """Draws a layer into a frame in place; returns its pixels in the frame."""
    alpha = layer.rgba[..., 3:]
    rgb[layer.area] *= 1 - alpha
    rgb[layer.area] += layer.rgba[..., :3]
    solid = alpha[..., 0] > 0.5
    ids[layer.area][solid] = number
    return int(solid.sum())


def _sprite(role: Role, surroundings: np.ndarray, draws: Draws) -> Sprite:
    return lit(sprite(role.picture), surroundings, role.value if role.attribute == "colour" else None, draws)


def _mover(picture: Sprite, role: Role, size: float, draws: Draws) -> Mover:
    height, width = picture.rgba.shape[:2]
    grounded = role.attribute not in ("motion", "position") and draws.chance(0.5)
    return Mover(width / height, size, role.attribute, role.value, grounded)


def _sizes(roles: Sequence[Role], frame: tuple[int, int], config: ComposedConfig, draws: Draws) -> list[float]:
    """sqrt(width * height) in pixels: large and small alike; one object alone is larger, four are smaller."""
    side = min(frame[1], 1.1 * frame[0])
    if not roles:
        return []
    low = config.smallest * (1.8 if len(roles) == 1 else 1.0)
    high = max(2 * low, config.largest * (1.0, 0.9, 0.75, 0.65)[min(len(roles), 4) - 1])
    shared = low * (high / low) ** draws.uniform(0, 1)
    sizes = []
    for role in roles:
        size = low * (high / low) ** draws.uniform(0, 1)
        if role.attribute in ("position", "motion", "colour"):  # size must not give the answer away
            size = shared * draws.uniform(0.8, 1.25)
        if role.attribute == "size" and role.value:
            middle = (low * high) ** 0.5
            size = draws.uniform(low, middle / 1.2) if role.value == "small" else draws.uniform(middle * 1.2, high)
        sizes.append(side * min(max(size, low), high))
    return sizes


def _stack(picture: Sprite, way: Sequence[Pose], frame: tuple[int, int], draws: Draws) -> list[Layer | None]:
    blur = draws.uniform(0.3, 0.8) if draws.chance(0.7) else draws.uniform(0.8, 1.6)
    return layers(picture, way, frame, blur, draws.uniform(0.1, 0.5) if draws.chance(0.3) else 0.0)


def _distractors(
    windows: Sequence[Window], frame: tuple[int, int], shown: set[str], library: Library, draws: Draws
) -> list[list[Layer | None]]:
    """Pieces of other backgrounds, as blobs or in the outline of an object of a class that is not `shown`: as sharply
    cut as the objects, and never annotated."""
    outlines = [members for name, members in library.classes.items() if name not in shown]
    stacks = []
    for _ in range(draws.pick((0, 0, 1, 1, 2))):
        rgb = background(draws.pick(library.backgrounds)).rgb
        alpha = sprite(draws.pick(draws.pick(outlines))).rgba[..., 3] if draws.chance(0.5) else _blob(draws)
        piece = _cut(rgb, alpha, draws)
        mover = Mover(alpha.shape[1] / alpha.shape[0], frame[1] * draws.uniform(0.1, 0.35), NAME, "", draws.chance(0.5))
        (way,) = paths([mover], windows, frame, [], 0.1, draws)
        stacks.append(_stack(piece, way, frame, draws))
    return stacks


def _cut(rgb: np.ndarray, alpha: np.ndarray, draws: Draws) -> Sprite:
    """A random piece of a photograph in the shape of `alpha`, which is reduced to what fits."""
    factor = min(1.0, *(side / needed for side, needed in zip(rgb.shape, alpha.shape, strict=False)))
    if factor < 1:
        size = (max(1, int(alpha.shape[1] * factor)), max(1, int(alpha.shape[0] * factor)))
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    height, width = alpha.shape
    top, left = draws.below(rgb.shape[0] - height + 1), draws.below(rgb.shape[1] - width + 1)
    return Sprite(np.dstack([rgb[top : top + height, left : left + width], alpha]))


def _blob(draws: Draws) -> np.ndarray:
    """(150, 150) uint8: a random smooth outline, filled."""
    side = 150
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = 1 + sum(
        draws.uniform(-0.3, 0.3) / k * np.cos(k * angles + draws.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)
    )
    wide, high = draws.uniform(0.5, 1), draws.uniform(0.5, 1)
    points = np.stack([wide * radius * np.cos(angles), high * radius * np.sin(angles)], axis=1)
    points = (points / np.abs(points).max() * 0.48 + 0.5) * side
    alpha = np.zeros((side, side), np.uint8)
    cv2.fillPoly(alpha, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha


def _box(mask: np.ndarray) -> Box | None:
    x, y, width, height = cv2.boundingRect(mask)
    return (x, y, x + width, y + height) if width else None
