"""What an evaluation runs on: tasks, drawn or from a file, of the training's benchmark or of another (transfer)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from episodes.catalog import VideoCatalog
from episodes.class_names import split_by_name
from episodes.errors import SamplingError
from episodes.evaluation_tasks import EvaluationTask, evaluation_tasks
from episodes.task_file import read_task_file, read_tasks
from fewshot.config.evaluation import TransferConfig
from fewshot.config.experiment import ExperimentConfig
from fewshot.runs.build import open_benchmark, open_catalog

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSet:
    """`facts` go into summary.json: the benchmark's name and content; of a transfer, which classes were trained on."""

    catalog: VideoCatalog
    tasks: list[EvaluationTask]
    facts: dict[str, Any]


def open_evaluation_set(config: ExperimentConfig) -> EvaluationSet:
    """The tasks of all seeds; SamplingError if the benchmark or the file cannot supply them. Nothing is decoded."""
    trained_on = open_catalog(config)
    base, transfer = trained_on.base_classes(config.data.group), config.evaluate.transfer
    if transfer is None:
        tested = trained_on.part(config.data.group, "test")
        novel = tested.novel_classes(config.data.group)
        tasks = _tasks(config, tested, novel, base, config.episodes.small_classes)
        return EvaluationSet(tested, tasks, _benchmark_facts(trained_on))
    catalog = open_benchmark(transfer.root, "evaluate.transfer.root")
    present = [name for name in catalog.classes if catalog.videos_of(name)]
    seen, unseen = split_by_name(present, base)
    if config.evaluate.tasks is None:
        _apply_policy(transfer, seen, unseen)
    classes, refused = (present, ()) if transfer.seen == "keep" else (unseen, seen)
    tasks = _tasks(config, catalog, classes, refused, "skip")
    relation = {
        "root": str(transfer.root),
        "seen": transfer.seen,
        "seen_in_training": list(seen),
        "unseen": list(unseen),
        "evaluated": list(dict.fromkeys(task.category for task in tasks)),
    }
    return EvaluationSet(catalog, tasks, {**_benchmark_facts(catalog), "transfer": relation})


def _benchmark_facts(catalog: VideoCatalog) -> dict[str, Any]:
    return {"benchmark": catalog.name, "benchmark_content": catalog.content_hash()}


def warn_if_unpaired(evaluated: EvaluationSet, known: Path) -> None:
    """Results on other support clips or queries than those of the file `known` are not to be compared with its own."""
    try:
        tasks = {(task.category, task.seed): task for task in read_task_file(known).tasks}
    except SamplingError:  # absent, or damaged and about to be written anew
        return
    if not any(tasks.get((task.category, task.seed)) == task for task in evaluated.tasks):
        log.warning("other support clips or queries than in %s: its results and the new ones are not paired", known)


def _tasks(
    config: ExperimentConfig,
    catalog: VideoCatalog,
    classes: Sequence[str],
    refused: Sequence[str],
    small_classes: Literal["refuse", "skip"],
) -> list[EvaluationTask]:
    """The tasks of the file that the config names, none of them of a `refused` class, or drawn ones of `classes`."""
    if config.evaluate.tasks is not None:
        return _of_file(config.evaluate.tasks, catalog, refused, config.evaluate.largest_shots)
    tasks = [
        task
        for seed in config.evaluate.seeds
        for task in evaluation_tasks(
            catalog,
            classes,
            seed=seed,
            support_videos=config.evaluate.support_videos or config.evaluate.largest_shots,
            support_frames=config.evaluate.support_frames,
            max_queries_per_class=config.evaluate.max_queries_per_class,
            small_classes=small_classes,
        )
    ]
    small = [name for name in classes if name not in {task.category for task in tasks}]
    if small:
        log.info("%s: left out, too few videos for the shots: %s", catalog.root, ", ".join(small))
    return tasks


def _of_file(path: Path, catalog: VideoCatalog, refused: Sequence[str], shots: int) -> list[EvaluationTask]:
    tasks = read_tasks(path, catalog)
    # The file says what to evaluate, so none of its classes is left out silently.
    seen = sorted({task.category for task in tasks} & set(refused))
    if seen:
        raise SamplingError(
            f"{path}: holds tasks of base classes of the training: {', '.join(seen)}. Name the file of this run's "
            "data.group, or (another benchmark) set evaluate.transfer.seen=keep"
        )
    least = min(tasks, key=lambda task: len(task.support))
    if len(least.support) < shots:
        raise SamplingError(
            f"{path}: the task of class {least.category!r}, seed {least.seed} holds {len(least.support)} support "
            f"clip(s), {shots} needed. Lower evaluate.shots and evaluate.control_shots, or name a file with more"
        )
    log.info("%d tasks of %s; its seeds and queries stand in place of the config's", len(tasks), path)
    return tasks


def _apply_policy(transfer: TransferConfig, seen: Sequence[str], unseen: Sequence[str]) -> None:
    """Says what happens to classes that the training has seen; SamplingError if they are to be refused."""
    if not seen:
        return
    if transfer.seen == "refuse":
        raise SamplingError(
            f"{transfer.root}: base classes of the training: {', '.join(seen)}. Set evaluate.transfer.seen=skip to "
            "leave them out, or keep to evaluate them all the same"
        )
    if transfer.seen == "skip" and not unseen:
        raise SamplingError(
            f"{transfer.root}: every class is a base class of the training: {', '.join(seen)}. Set "
            "evaluate.transfer.seen=keep to evaluate them all the same, or evaluate a run of another group"
        )
    kept = "kept" if transfer.seen == "keep" else "left out"
    log.warning("%s: seen in training and %s: %s", transfer.root, kept, ", ".join(seen))
