"""What an evaluation runs on: tasks, drawn or from a file, of the training's benchmark or of another (transfer)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from episodes.catalog import VideoCatalog, split_by_name
from episodes.check import require_visible
from episodes.errors import SamplingError
from episodes.evaluation_tasks import EvaluationTask, evaluation_tasks
from episodes.pair_tasks import pair_tasks
from episodes.task_file import read_task_file, read_tasks
from fewshot.config.experiment import ExperimentConfig
from fewshot.runs.build import open_benchmark, open_benchmarks
from fewshot.runs.origin import Origin

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSet:
    """`facts` go into the summary: the benchmark's name and content; of a transfer, which classes were trained on."""

    catalog: VideoCatalog
    tasks: list[EvaluationTask]
    facts: dict[str, Any]


def open_evaluation_set(config: ExperimentConfig, origin: Origin, *, allow_changed_data: bool = False) -> EvaluationSet:
    """The tasks of all seeds for weights of this origin, none of a class that they were trained on, except where
    `evaluate.transfer.seen` is "keep". Of the files, only masks are read, enough to see that each object is visible.

    Raises SamplingError if the benchmark or the file cannot supply the tasks, or they ask for classes that the weights
    have seen; without transfer, SamplingError if no class is novel (`data.group` null), and CheckpointError if the
    benchmark is another than that of the training.
    """
    group, transfer = config.data.group, config.evaluate.transfer
    if origin.unknown_of is not None:
        log.warning(
            "%s does not say which classes its weights were trained on: scores are those of novel classes only if it "
            "was trained for data.group=%s of this benchmark",
            *(origin.unknown_of, group),
        )
    facts: dict[str, Any] = {"training_content": origin.benchmark.hash}
    if transfer is None:
        if group is None:
            raise SamplingError(
                "data.group is null: every class is trained on, and none is novel. Set evaluate.transfer.root to a "
                "benchmark of other classes, or only train"
            )
        data = open_benchmarks(config)
        whole = data.first
        if changes := origin.data_changes(data, allowed=allow_changed_data):
            facts["changed_data"] = "; ".join(changes)
        catalog = whole.part(group, "test")
        tasks = _tasks(config, catalog, catalog.novel_classes(group), config.episodes.small_classes)
    else:
        whole = open_benchmark(transfer.root, "evaluate.transfer.root", transfer.unnamed)
        catalog = whole.of_all_categories()
        present = [name for name in catalog.classes if catalog.videos_of(name)]
        seen, unseen = split_by_name(present, origin.classes)
        if config.evaluate.tasks is None and seen and transfer.seen != "reject":
            kept = "kept" if transfer.seen == "keep" else "left out"
            log.warning("%s: seen in training and %s: %s", transfer.root, kept, ", ".join(seen))
        tasks = _tasks(config, catalog, unseen if unseen and transfer.seen == "skip" else present, "skip")
        facts["transfer"] = {
            "root": str(transfer.root),
            "seen": transfer.seen,
            "seen_in_training": list(seen),
            "unseen": list(unseen),
            "evaluated": list(dict.fromkeys(task.category for task in tasks)),
        }
    if transfer is None or transfer.seen != "keep":
        _reject_seen(config, tasks, origin)
    clips = [clip for task in tasks for clip in (*task.support, *task.queries)]
    require_visible(catalog, ((clip.video, clip.object_id) for clip in clips))
    return EvaluationSet(catalog, tasks, {"benchmark": whole.name, "benchmark_content": whole.content.hash, **facts})


def _reject_seen(config: ExperimentConfig, tasks: Sequence[EvaluationTask], origin: Origin) -> None:
    """SamplingError if any task, drawn or of a file, is of a class that the weights have seen, in any spelling."""
    seen, _ = split_by_name(dict.fromkeys(task.category for task in tasks), origin.classes)
    if not seen:
        return
    transfer, file = config.evaluate.transfer, config.evaluate.tasks
    place: Path | str
    if transfer is not None:
        place = file or transfer.root
        leave_out = "Name a file without them" if file else "Set evaluate.transfer.seen=skip to leave them out"
        remedy = f"{leave_out}, or evaluate.transfer.seen=keep to evaluate them anyway"
    elif file is not None:
        place, remedy = file, "Name the file of the group that they were trained for"
    else:
        place = f"data.group={config.data.group}"
        remedy = f"Evaluate the group that they were trained for, or train for {place}, initial_weights included"
    raise SamplingError(
        f"{place} asks for classes that the weights of {origin.weights} were trained on: {', '.join(seen)}. {remedy}"
    )


def warn_if_unpaired(evaluated: EvaluationSet, known: Path) -> None:
    """Results on other queries than those of the file `known` cannot be paired with its own."""
    try:
        tasks = read_task_file(known).tasks
    except SamplingError:  # absent, or damaged and about to be overwritten
        return
    before, now = ({(t.category, t.seed, query) for t in of for query in t.queries} for of in (tasks, evaluated.tasks))
    if not before & now:
        log.warning("no query is one of %s: the new results cannot be compared with those query by query", known)


def _tasks(
    config: ExperimentConfig,
    catalog: VideoCatalog,
    classes: Sequence[str],
    small_classes: Literal["reject", "skip"],
) -> list[EvaluationTask]:
    """The tasks of the file that the config names, or drawn ones of `classes`."""
    if config.evaluate.tasks is not None:
        return _of_file(config.evaluate.tasks, catalog, config)
    support_videos = config.evaluate.support_videos or config.evaluate.largest_shots
    if config.evaluate.draw == "pairs":
        tasks = pair_tasks(
            catalog,
            classes,
            support_videos=support_videos,
            support_frames=config.evaluate.support_frames,
            max_queries_per_class=config.evaluate.max_queries_per_class,
            small_classes=small_classes,
        )
    else:
        tasks = [
            task
            for seed in config.evaluate.seeds
            for task in evaluation_tasks(
                catalog,
                classes,
                seed=seed,
                support_videos=support_videos,
                support_frames=config.evaluate.support_frames,
                max_queries_per_class=config.evaluate.max_queries_per_class,
                small_classes=small_classes,
            )
        ]
    small = [name for name in classes if name not in {task.category for task in tasks}]
    if small:
        log.info("%s: left out, too few videos for the shots: %s", catalog.root, ", ".join(small))
    return tasks


def _of_file(path: Path, catalog: VideoCatalog, config: ExperimentConfig) -> list[EvaluationTask]:
    tasks = read_tasks(path, catalog)
    shots = config.evaluate.largest_shots
    for task in tasks:
        place = f"{path}: the task of class {task.category!r}, seed {task.seed} holds"
        if len(task.support) < shots and config.evaluate.draw == "seeds":
            raise SamplingError(
                f"{place} {len(task.support)} support clip(s), {shots} needed. Lower evaluate.shots and "
                "evaluate.control_shots, name a file with more, or set evaluate.draw=pairs if it was written so"
            )
        if config.holds_out_a_frame and len(task.support[0].frames) < 2:
            raise SamplingError(
                f"{place} a first support clip of one frame, and learner.early_stop holds out the last frame of a "
                "single clip. Name a file with at least two frames a clip, or set learner.early_stop=false"
            )
    log.info("%d tasks of %s; its seeds and queries are used instead of the config's", len(tasks), path)
    return tasks
