"""Evaluated run folders, written without training: records, summary and tasks as an evaluation leaves them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from episodes.evaluation_tasks import EvaluationTask
from episodes.files import json_digest
from episodes.task_file import task_file_text
from episodes.types import ClipRef
from fewshot.config.experiment import load_config, plain
from fewshot.results.records import Item, Record
from fewshot.results.row import NO_GROUP, Row
from fewshot.results.summary import summarise
from fewshot.runs.run import Run

FRAMES = ("00000", "00005")
Score = Callable[[int, int, int], float]  # class, video, seed -> mean J of a clip


def task(category: str, seed: int, videos: int, support: Sequence[str]) -> EvaluationTask:
    clips = tuple(ClipRef(f"{category}-{video}", "1", "0", FRAMES) for video in support)
    queries = tuple(ClipRef(f"{category}-{video}", "1", "0", FRAMES) for video in range(videos))
    return EvaluationTask(category, seed, clips, queries)


def write_run(
    folder: Path,
    score: Score,
    *,
    overrides: Sequence[str] = (),
    methods: Sequence[str] = ("cma", "prototype"),
    shots: Sequence[int] = (1, 5),
    support: str = "a",
    seeds: Sequence[int] = (0, 1),
    benchmark: str = "tiny",
    content: str = "c" * 64,
    classes: int = 3,
    videos: int = 4,
) -> Path:
    """A run folder. Every method but the first scores half; F is J; `support` marks the names of support videos;
    `benchmark` is the name of its folder, `content` the hash of what it holds."""
    folder.mkdir(parents=True)
    (folder / "written.yaml").write_text(f"name: {folder.name}\ndata: {{root: data}}\n")
    config = load_config(folder / "written.yaml", overrides)
    group = config.data.group or NO_GROUP
    names = [f"g{group}c{number}" for number in range(classes)]
    records = [
        Record.of_clip(
            Row(method, count, None, scoring, group),
            Item(seed, name, f"{name}-{video}", "1", "0"),
            *[np.full(len(FRAMES), score(number, video, seed) / (1 if method == methods[0] else 2))] * 2,
            seconds=0.1,
        )
        for scoring in ("paper", "davis")
        for method in methods
        for count in shots
        for seed in seeds
        for number, name in enumerate(names)
        for video in range(videos)
    ]
    supports = [f"{support}{shot}" for shot in range(max(shots))]
    tasks = [task(name, seed, videos, supports) for seed in seeds for name in names]
    facts = {"manifest": json_digest(tasks), "config": plain(config), "benchmark": benchmark}
    facts["benchmark_content"] = content
    with Run(folder).new_results() as results:
        results.write(summarise(records, resamples=50, **facts), records, task_file_text(tasks, benchmark), None, ())
    return folder
