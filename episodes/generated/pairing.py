"""Which classes share a video."""

from collections import Counter
from collections.abc import Sequence

from episodes.generated.draws import Draws


def pairs(classes: Sequence[str], rounds: int, draws: Draws) -> list[tuple[str, str]]:
    """Pairs of classes, in random order: `rounds` rounds of a round robin, each of which pairs every class once.

    So each class gets exactly `rounds` videos, with partners as different as can be. If the number of classes is odd,
    one class sits out each round, in turn; those that did are paired with each other at the end, so that no class has
    fewer videos (one may have more).
    """
    wanted = rounds
    seats_taken: list[str | None] = [*classes, *([None] if len(classes) % 2 else [])]
    paired: list[tuple[str, str]] = []
    while rounds > 0:
        fixed, *ring = draws.shuffled(seats_taken)
        for _ in range(min(rounds, len(ring))):
            seats = [fixed, *ring]
            couples = [(seats[i], seats[-1 - i]) for i in range(len(seats) // 2)]
            paired += [(first, second) for first, second in couples if first is not None and second is not None]
            ring = ring[1:] + ring[:1]
        rounds -= len(ring)
    held = Counter(name for couple in paired for name in couple)
    short = [name for name in classes for _ in range(wanted - held[name])]
    while short:
        first = short.pop()
        others = [name for name in short if name != first] or [name for name in classes if name != first]
        second = draws.pick(others)
        if second in short:
            short.remove(second)
        paired.append((first, second))
    return draws.shuffled(paired)
