"""Generated benchmarks, written where an experiment wants them."""

import os
from pathlib import Path

from episodes.composed import ComposedConfig, write_composed
from episodes.glyphs import GlyphsConfig, write_glyphs
from fewshot.config.data import DataConfig
from fewshot.runs.progress import Progress


def write_data_if_absent(data: DataConfig) -> None:
    """Generated benchmarks write themselves; any other data must be there (the reader names what it lacks)."""
    for benchmark in data.benchmarks:
        config = benchmark.glyphs or benchmark.composed
        if config is not None:
            write_benchmark(benchmark.root, config, os.cpu_count() or 1)


def write_benchmark(root: Path, config: GlyphsConfig | ComposedConfig, workers: int) -> None:
    """Write a generated benchmark with so many processes, with a progress display; kept if it is there already."""
    title = "Mini-Ref-Glyphs" if isinstance(config, GlyphsConfig) else "composed clips"
    with Progress(f"write {title} to {root}", 0, unit="video") as shown:

        def progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done)

        if isinstance(config, GlyphsConfig):
            write_glyphs(root, config=config, workers=workers, progress=progress)
        else:
            write_composed(root, config=config, workers=workers, progress=progress)
