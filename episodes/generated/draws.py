"""Random choices that are the same on every machine and with every numpy.

Only `Generator.random` of PCG64 is used: the other methods may change their streams between numpy versions.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Draws:
    """A stream of choices, decided by (seed, index) alone."""

    def __init__(self, seed: int, index: int) -> None:
        self._generator = np.random.default_rng([seed, index])

    def uniform(self, low: float, high: float) -> float:
        """In [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def chance(self, probability: float) -> bool:
        return float(self._generator.random()) < probability

    def below(self, count: int) -> int:
        """One of 0..count-1."""
        return int(float(self._generator.random()) * count)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def order(self, count: int) -> list[int]:
        """A permutation of 0..count-1."""
        return [int(i) for i in np.argsort(self._generator.random(count), kind="stable")]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return [items[i] for i in self.order(len(items))]

    def noise(self, *shape: int) -> np.ndarray:
        """float64 in [0, 1)."""
        return self._generator.random(shape)
