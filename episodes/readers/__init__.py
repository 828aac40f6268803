"""Benchmark folders: which layout a folder has, and its catalog. One file for each published layout."""

from __future__ import annotations

from pathlib import Path

from episodes.catalog import Problem, VideoCatalog
from episodes.errors import LayoutError
from episodes.readers.index import Layout, index_layout, read_layout
from episodes.readers.sailvos import SAIL_FOLDERS, sailvos_layout
from episodes.readers.ytvos import YTVOS_FOLDERS, ytvos_layout

__all__ = ["find_layout", "index_benchmark", "read_benchmark"]


def read_benchmark(root: Path) -> VideoCatalog:
    """The catalog of a folder of any known layout; LayoutError if it is of none, or its index cannot be trusted."""
    return read_layout(find_layout(root))


def index_benchmark(root: Path) -> tuple[VideoCatalog, list[Problem]]:
    """The catalog without ids that leave the root, and those ids; for checks that list all problems."""
    return index_layout(find_layout(root))


def find_layout(root: Path) -> Layout:
    """The layout of the folder, or of a release's folder directly in it."""
    root = Path(root)
    if not root.is_dir():
        raise LayoutError(f"{root}: no such folder; give the benchmark's root, the folder that holds train/ or Images/")
    for base in (root, *(root / name for name in (*YTVOS_FOLDERS, *SAIL_FOLDERS))):
        if (base / "Images").is_dir() or ((base / "train").is_dir() and "sail" in base.resolve().name.lower()):
            return sailvos_layout(base)
        if (base / "train").is_dir():
            return ytvos_layout(base)
    raise LayoutError(
        f"{root}: neither Mini-Ref-YouTube-VOS nor Mini-Ref-SAIL-VOS. Looked for train/ and Images/ in it and in its "
        f"folders {', '.join((*YTVOS_FOLDERS, *SAIL_FOLDERS))}; give a benchmark's root, or write one with "
        "`run.py data glyphs`"
    )
