"""Which classes, which kind of clip and which attribute each video has, and which pictures play in it.

All classes of a video are of one group, so that a video is either base or novel for any choice of the novel group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import Literal, TypeVar

from episodes.composed.config import ComposedConfig
from episodes.composed.pictures import Library, Picture
from episodes.composed.words import CAPTION, NAME, value_pair
from episodes.generated.draws import Draws
from episodes.generated.pairing import pairs

T = TypeVar("T")
Kind = Literal["scene", "still", "mosaic"]
_FOUR = 0.6  # share of scenes that are 2 x 2; the others have two objects of one class and one of the other
_THIRD_CLASS = 0.25  # share of scenes of two or three objects that get one of a third class
_SAME_PICTURE = 0.3  # share of pairs of one class that show one picture twice: only the attribute tells them apart


@dataclass(frozen=True)
class Assignment:
    """The content of one video before anything is drawn; `group` is 1..4, `attribute` that of its sentences."""

    index: int
    group: int
    classes: tuple[str, str]
    kind: Kind
    attribute: str

    @property
    def video(self) -> str:
        return f"{self.index:05d}"


@dataclass(frozen=True)
class Role:
    """An object that a video shows: its picture, and the attribute and value by which its sentence identifies it."""

    picture: Picture
    attribute: str
    value: str = ""

    @property
    def category(self) -> str:
        return self.picture.category


def assignments(config: ComposedConfig, library: Library) -> tuple[Assignment, ...]:
    """All videos in order; the groups take turns, so that any prefix holds all of them."""
    draws = Draws(config.seed, 1 << 30)  # an index that no video has
    columns = []
    for group, classes in enumerate(library.groups, start=1):
        paired = pairs(classes, config.videos_per_class, draws)
        columns.append([(group, couple, *_kind(couple, config, library, draws)) for couple in paired])
    in_turn = [content for row in zip_longest(*columns) for content in row if content is not None]
    return tuple(Assignment(index, *content) for index, content in enumerate(in_turn))


def _kind(couple: tuple[str, str], config: ComposedConfig, library: Library, draws: Draws) -> tuple[Kind, str]:
    """A kind and an attribute that the pictures of these classes allow."""
    photographed = any(stills(library.classes[name]) for name in couple)
    kinds: list[tuple[Kind, float]] = [
        ("scene", config.scene),
        ("still", config.still if photographed else 0.0),
        ("mosaic", config.mosaic),
    ]
    if not sum(weight for _, weight in kinds):  # stills alone were asked for, and there are none of these classes
        kinds = [("scene", 1.0)]
    kind = _weighted(kinds, draws)
    if kind == "mosaic" or draws.chance(config.name_only):
        return kind, NAME
    weights = [
        (name, 0.0 if name == CAPTION and not any(_described(library.classes[c]) for c in couple) else weight)
        for name, weight in config.attribute_weights
    ]
    if kind == "still":  # a photograph's own object has no colour or motion to choose
        weights = [(name, weight) for name, weight in weights if name in ("position", "size")]
    return kind, _weighted(weights, draws) if sum(weight for _, weight in weights) else NAME


def _weighted(choices: Sequence[tuple[T, float]], draws: Draws) -> T:
    place = draws.uniform(0, sum(weight for _, weight in choices))
    for choice, weight in choices:
        place -= weight
        if place < 0:
            return choice
    return next(choice for choice, weight in reversed(choices) if weight)


def stills(pictures: Sequence[Picture]) -> list[Picture]:
    return [picture for picture in pictures if picture.mask is not None]


def _described(pictures: Sequence[Picture]) -> bool:
    """Whether captions tell two members of the class apart."""
    return any(_apart(first, second) for first, second in combinations(pictures, 2))


def _apart(first: Picture, second: Picture) -> bool:
    """Whether each caption says something that the other one does not; one that repeats the class says nothing."""
    first_words, second_words = (
        set(picture.caption.lower().split()) - set(picture.category.split()) for picture in (first, second)
    )
    return bool(first_words - second_words) and bool(second_words - first_words)


def scene_roles(assignment: Assignment, library: Library, draws: Draws) -> list[Role]:
    """Two to four objects of a scene. Except where the class name is enough, one class has two objects at least."""
    roles = _roles_of_two_classes(assignment, library, draws)
    third = [name for name in library.groups[assignment.group - 1] if name not in assignment.classes]
    if len(roles) < 4 and third and draws.chance(_THIRD_CLASS):
        roles.append(Role(draws.pick(library.classes[draws.pick(third)]), NAME))
    return roles


def _roles_of_two_classes(assignment: Assignment, library: Library, draws: Draws) -> list[Role]:
    first, second = draws.shuffled([library.classes[name] for name in assignment.classes])
    if assignment.attribute == NAME:
        return [Role(draws.pick(members), NAME) for members in (first, second)]
    if assignment.attribute == CAPTION:
        return [role for members in (first, second) for role in _captioned(members, draws)]
    values = value_pair(assignment.attribute, draws)
    roles = [Role(p, assignment.attribute, v) for p, v in zip(_two(first, draws), values, strict=True)]
    if draws.chance(_FOUR):
        return roles + [Role(p, assignment.attribute, v) for p, v in zip(_two(second, draws), values, strict=True)]
    return [*roles, Role(draws.pick(second), NAME)]


def _two(members: Sequence[Picture], draws: Draws) -> tuple[Picture, Picture]:
    first = draws.pick(members)
    others = [picture for picture in members if picture != first]
    return first, first if not others or draws.chance(_SAME_PICTURE) else draws.pick(others)


def _captioned(members: Sequence[Picture], draws: Draws) -> list[Role]:
    """Two members whose captions differ; one that is called by its class where there are no two."""
    if not _described(members):
        return [Role(draws.pick(members), NAME)]
    first = draws.pick([picture for picture in members if any(_apart(picture, other) for other in members)])
    second = draws.pick([picture for picture in members if _apart(first, picture)])
    return [Role(first, CAPTION), Role(second, CAPTION)]


def still_roles(assignment: Assignment, library: Library, draws: Draws) -> tuple[Role, list[Role]]:
    """The photograph's own object, and those put in front of it: none, one of the other class, or (where an attribute
    is named) another one of its own class too. Values of attributes are measured later."""
    names = [name for name in draws.shuffled(assignment.classes) if stills(library.classes[name])]
    (other,) = (name for name in assignment.classes if name != names[0])
    members = library.classes[names[0]]
    own = draws.pick(stills(members))
    pasted = [] if assignment.attribute == NAME and draws.chance(0.4) else [draws.pick(library.classes[other])]
    roles = [Role(picture, NAME) for picture in pasted]
    twins = [picture for picture in members if picture != own]
    if assignment.attribute == NAME or not twins:
        return Role(own, NAME), roles
    twin = Role(draws.pick(twins), assignment.attribute)
    return Role(own, assignment.attribute), [twin, *(roles if draws.chance(0.6) else [])]
