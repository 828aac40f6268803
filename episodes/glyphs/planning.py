"""Which two classes and which attribute each video has, and its objects with their looks, paths and sentences.

Within a group of 12 classes the pairs follow a round robin (`episodes.generated.pairing`).
"""

from dataclasses import dataclass

from episodes.generated.draws import Draws
from episodes.generated.pairing import pairs as pair_up
from episodes.glyphs.appearance import Appearance, appearance, value_pair
from episodes.glyphs.classes import CLASS_NAMES, GROUPS
from episodes.glyphs.config import GlyphsConfig
from episodes.glyphs.movement import Mover, Pose, paths
from episodes.glyphs.outlines import outlines
from episodes.glyphs.words import NAME, sentences


@dataclass(frozen=True)
class Assignment:
    """The content of one video before anything is drawn; `group` is 1..4."""

    index: int
    group: int
    classes: tuple[str, str]
    attribute: str

    @property
    def video(self) -> str:
        return f"{self.index:05d}"


def assignments(config: GlyphsConfig) -> tuple[Assignment, ...]:
    """All videos in order; the groups take turns, so that any prefix holds all of them."""
    total = config.videos_per_class * len(CLASS_NAMES) // 2
    draws = Draws(config.seed, total)  # the first index that no video has
    columns = []
    for classes in GROUPS:
        pairs = pair_up(classes, config.videos_per_class, draws)
        columns.append(list(zip(pairs, _attributes(pairs, config, draws), strict=True)))
    in_turn = [(group, *content) for row in zip(*columns, strict=True) for group, content in enumerate(row, start=1)]
    return tuple(Assignment(index, *content) for index, content in enumerate(in_turn))


def _attributes(pairs: list[tuple[str, str]], config: GlyphsConfig, draws: Draws) -> list[str]:
    """An attribute for each pair: the wanted proportions (largest remainder), in random order.

    Texture goes first, to pairs of classes on which a texture can be seen, as far as there are such pairs.
    """
    total = sum(weight for _, weight in config.attribute_weights)
    shares = [(NAME, config.name_only)]
    if total > 0:
        shares += [(name, (1 - config.name_only) * weight / total) for name, weight in config.attribute_weights]
    exact = [share * len(pairs) for _, share in shares]
    counts = [int(value) for value in exact]
    for i in sorted(range(len(shares)), key=lambda i: (counts[i] - exact[i], i))[: len(pairs) - sum(counts)]:
        counts[i] += 1
    others = draws.shuffled(
        [name for (name, _), times in zip(shares, counts, strict=True) for _ in range(times) if name != "texture"]
    )
    textured = len(pairs) - len(others)
    chosen = sorted(range(len(pairs)), key=lambda i: not all(shows_texture(name) for name in pairs[i]))[:textured]
    return ["texture" if i in chosen else others.pop() for i in range(len(pairs))]


def shows_texture(category: str) -> bool:
    """Broad enough, and without dots of its own."""
    return outlines()[category].roomy and category not in ("dice", "domino")


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
