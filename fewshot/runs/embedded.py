"""The embedded benchmark, written where an experiment wants it."""

import os
from pathlib import Path

from episodes.glyphs import write_glyphs
from episodes.glyphs.config import GlyphsConfig
from fewshot.config.data import DataConfig
from fewshot.runs.progress import Progress


def write_data_if_absent(data: DataConfig) -> None:
    """The embedded benchmark writes itself; any other data must be there (the reader names what it lacks)."""
    if data.glyphs is not None:
        write_benchmark(data.root, data.glyphs, os.cpu_count() or 1)


def write_benchmark(root: Path, config: GlyphsConfig, workers: int) -> None:
    """Write the embedded benchmark with so many processes, with a progress display; kept if it is there already."""
    with Progress(f"write Mini-Ref-Glyphs to {root}", 0, unit="video") as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done)

        write_glyphs(root, config=config, workers=workers, progress=progress)
