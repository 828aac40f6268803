"""Benchmark folders: which layout a folder has, and its catalog."""

from collections.abc import Sequence
from pathlib import Path

from episodes.catalog import VideoCatalog
from episodes.errors import LayoutError
from episodes.readers.index import LEAVES_ROOT, Layout, Unnamed, read_index
from episodes.readers.layouts import SAIL_FOLDERS, YTVOS_FOLDERS, is_sailvos, sailvos_layout, ytvos_layout


def read_benchmark(root: Path, unnamed: Unnamed = "skip") -> VideoCatalog:
    """The catalog of a folder of any known layout; LayoutError if it is of none, or its index cannot be trusted.

    unnamed: objects without a sentence are in no episode ("skip"), or referred to as "the <category>" ("class").
    """
    catalog = read_index(find_layout(root), unnamed)
    for problem in catalog.problems:
        if problem.kind == LEAVES_ROOT:
            raise LayoutError(f"{problem.file}: {problem.detail}. Ids must be plain file names; correct the file")
    return catalog


def index_benchmark(root: Path) -> VideoCatalog:
    """The catalog without ids that leave the root, which are among its problems; for checks that list all of them."""
    return read_index(find_layout(root))


def find_layout(root: Path) -> Layout:
    """The layout of the folder, or of the one release's folder directly in it."""
    root = Path(root)
    if not root.is_dir():
        raise LayoutError(
            f"{root}: no such folder; give the benchmark's root, the folder that holds train/ or Images/ "
            "(docs/data.md shows the layouts)"
        )
    if layout := _layout_of(root):
        return layout
    releases = {name.lower() for name in (*YTVOS_FOLDERS, *SAIL_FOLDERS)}
    held = sorted(root.iterdir())
    within = [entry for entry in held if entry.name.lower() in releases and entry.is_dir()]
    found = [layout for folder in within if (layout := _layout_of(folder))]
    if len(found) > 1:
        names = ", ".join(str(layout.root) for layout in found)
        raise LayoutError(f"{root}: holds {len(found)} benchmarks, {names}; give the root of one of them")
    if not found:
        raise LayoutError(
            f"{root}: neither Mini-Ref-YouTube-VOS nor Mini-Ref-SAIL-VOS. Looked for train/ and Images/ in it and in "
            f"its folders {', '.join((*YTVOS_FOLDERS, *SAIL_FOLDERS))}; found {_listed(held)}. "
            "Give a benchmark's root, or write one with `data glyphs`"
        )
    return found[0]


def _listed(entries: Sequence[Path]) -> str:
    """The folders among the entries of a folder, a few of them by name; hidden ones say nothing about a benchmark."""
    folders = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    more = f" and {len(folders) - 5} more" if len(folders) > 5 else ""
    return (", ".join(f"{name}/" for name in folders[:5]) or "no folder") + more


def _layout_of(folder: Path) -> Layout | None:
    if is_sailvos(folder):
        return sailvos_layout(folder)
    return ytvos_layout(folder) if (folder / "train").is_dir() else None
