"""Class names of different benchmarks: when two spellings mean the same class."""

import re
from collections.abc import Iterable


def normal_name(name: str) -> str:
    """The name without what spellings differ in: "Giant-Panda", "giant_panda" and "giant  panda" are alike."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def split_by_name(names: Iterable[str], known: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those of `names` that are in `known` in any spelling, the others), both in the order of `names`."""
    normal = {normal_name(name) for name in known}
    listed = list(names)
    shared = tuple(name for name in listed if normal_name(name) in normal)
    return shared, tuple(name for name in listed if name not in shared)
