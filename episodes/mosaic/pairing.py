"""Which videos of a benchmark stand side by side: each in one mosaic at most, classes paired as differently as can be.

A video in one mosaic alone is never in support and query at once, neither as what is meant nor as what stands beside
it. The price: if the number of videos is odd, one of them is left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from episodes.catalog import VideoCatalog
from episodes.errors import UserError
from episodes.generated.draws import Draws


class MosaicError(UserError):
    """A benchmark has no videos for mosaics, or the folder to write holds something else."""


@dataclass(frozen=True)
class Half:
    """A video with a single annotated object, which is of class `category`."""

    video: str
    category: str
    object_id: str


@dataclass(frozen=True)
class Mosaic:
    """Two videos of different classes side by side."""

    left: Half
    right: Half

    @property
    def name(self) -> str:
        return f"{self.left.video}+{self.right.video}"


@dataclass(frozen=True)
class Plan:
    """The mosaics in the order of their names, and why each video that is in none was left out."""

    mosaics: tuple[Mosaic, ...]
    left_out: Mapping[str, str]


def plan_mosaics(catalog: VideoCatalog, seed: int) -> Plan:
    """Mosaics of all videos with one annotated object whose class has two such videos or more.

    Left out are other videos, one of the largest class where the number is odd, and as many of a class as it has more
    videos than all others together. MosaicError if there are no two classes with two videos.
    """
    draws = Draws(seed, 0)
    left_out: dict[str, str] = {}
    halves: dict[str, list[Half]] = {}
    for name, video in catalog.videos.items():
        shown = [record for record in video.objects if record.frames]
        if len(shown) != 1:
            left_out[name] = f"{len(shown)} annotated objects; a half of a mosaic has one"
        else:
            halves.setdefault(shown[0].category, []).append(Half(name, shown[0].category, shown[0].id))
    for category in sorted(halves):
        if len(halves[category]) == 1:
            left_out[halves.pop(category)[0].video] = f"the only video of class {category!r} with a single object"
    if len(halves) < 2:
        counts = ", ".join(f"{category}: {len(held)}" for category, held in sorted(halves.items())) or "none"
        raise MosaicError(
            f"{catalog.root}: mosaics need two classes with two videos of a single annotated object each; found "
            f"{counts}"
        )
    free = {category: draws.shuffled(halves[category]) for category in sorted(halves)}
    _make_even(free, left_out)
    couples = _couples(free, draws)
    return Plan(tuple(sorted(_sides(couples, draws), key=lambda mosaic: mosaic.name)), dict(sorted(left_out.items())))


def _make_even(free: Mapping[str, list[Half]], left_out: dict[str, str]) -> None:
    """Takes out drawn videos of the largest class until all can be paired. It keeps two: the others have as many."""
    while True:
        total = sum(map(len, free.values()))
        category, held = max(free.items(), key=lambda item: len(item[1]))
        if total % 2 == 0 and 2 * len(held) <= total:
            return
        left_out[held.pop().video] = f"no partner is left for a further video of class {category!r}"


def _couples(free: Mapping[str, list[Half]], draws: Draws) -> list[tuple[Half, Half]]:
    """All videos in couples of different classes: always one of the class with most videos left, with one of the class
    that it was coupled with least often, of these the one with most videos left."""
    together: Counter[frozenset[str]] = Counter()
    couples = []
    while any(free.values()):
        order = draws.shuffled(sorted(category for category, held in free.items() if held))
        first = max(order, key=lambda category: len(free[category]))
        others = [category for category in order if category != first]
        second = min(others, key=lambda category: (together[frozenset((first, category))], -len(free[category])))
        together[frozenset((first, second))] += 1
        couples.append((free[first].pop(), free[second].pop()))
    return couples


def _sides(couples: Sequence[tuple[Half, Half]], draws: Draws) -> list[Mosaic]:
    """Left and right are drawn, except where a class would be on one side more often than on the other: a place never
    gives the class away."""
    lean: Counter[str] = Counter()  # times on the left minus times on the right
    mosaics = []
    for first, second in couples:
        tendency = lean[first.category] - lean[second.category]
        if tendency > 0 or (tendency == 0 and draws.chance(0.5)):
            first, second = second, first
        lean[first.category] += 1
        lean[second.category] -= 1
        mosaics.append(Mosaic(first, second))
    return mosaics
