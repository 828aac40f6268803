"""The plan of one video: its objects with their looks, paths and sentences. Nothing is painted here."""

from dataclasses import dataclass

from episodes.glyphs.appearance import Appearance, appearance, value_pair
from episodes.glyphs.config import GlyphsConfig
from episodes.glyphs.draws import Draws
from episodes.glyphs.movement import Mover, Pose, paths
from episodes.glyphs.outlines import outlines
from episodes.glyphs.schedule import NAME, Assignment
from episodes.glyphs.words import sentences


@dataclass(frozen=True)
class PlannedObject:
    """`value` is the attribute's value that the sentences name ("" in name-only videos). `id` is its mask value."""

    id: int
    category: str
    value: str
    look: Appearance
    poses: tuple[Pose, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """`order` lists object ids from the rearmost to the foremost."""

    assignment: Assignment
    objects: tuple[PlannedObject, ...]
    order: tuple[int, ...]


def plan(assignment: Assignment, config: GlyphsConfig, draws: Draws) -> Scene:
    """Each class with each of two values (2 x 2), or in a name-only video each class once; ids in random order."""
    attribute = assignment.attribute
    values = ("",) if attribute == NAME else value_pair(attribute, draws)
    kinds = draws.shuffled([(category, value) for category in assignment.classes for value in values])
    looks = [appearance(attribute, value, draws) for _, value in kinds]
    movers = [
        Mover(outlines()[category], look.size, attribute, value)
        for (category, value), look in zip(kinds, looks, strict=True)
    ]
    ways = paths(movers, config.frames, config.leaving, draws)
    objects = tuple(
        PlannedObject(
            id=number,
            category=category,
            value=value,
            look=look,
            poses=way,
            texts=sentences(category, attribute, value, config.expressions_per_object, draws),
        )
        for number, ((category, value), look, way) in enumerate(zip(kinds, looks, ways, strict=True), start=1)
    )
    return Scene(assignment, objects, tuple(i + 1 for i in draws.order(len(objects))))
