"""One numbered list of episodes from those of several benchmarks."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

Item = TypeVar("Item", covariant=True)
_GOLDEN = (5**0.5 - 1) / 2


class Numbered(Protocol[Item]):
    """Episodes, or their specs, numbered from 0 without end."""

    def __getitem__(self, index: int, /) -> Item: ...


class Mixture(Numbered[Item]):
    """`mixture[index]` is item `index` of one of its parts, and so a function of the index alone.

    The shares decide which part: multiples of the golden ratio fall evenly into intervals of these lengths, so that any
    few items in a row hold the parts by their shares, in no short cycle.

    shares: one above 0 for each part, whatever their sum.
    """

    def __init__(self, parts: Sequence[Numbered[Item]], shares: Sequence[float]) -> None:
        if len(parts) != len(shares) or not parts or min(shares) <= 0:
            raise ValueError(f"a mixture needs a share above 0 for each of its {len(parts)} parts, found {shares}")
        self.parts = tuple(parts)
        self._ends = [end / sum(shares) for end in accumulate(shares)]

    def __getitem__(self, index: int, /) -> Item:
        return self.parts[self.part(index)][index]

    def part(self, index: int) -> int:
        """The position of the part that item `index` comes from."""
        place = (index + 0.5) * _GOLDEN % 1
        return next((number for number, end in enumerate(self._ends) if place < end), len(self._ends) - 1)
