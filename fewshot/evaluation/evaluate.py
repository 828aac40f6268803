"""The evaluation of a run: tasks, their records in this process or in several, and the files that it leaves."""

import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from episodes.catalog import VideoCatalog
from episodes.evaluation_tasks import EvaluationTask
from episodes.files import json_digest
from episodes.task_file import task_file_text
from fewshot.config.experiment import ExperimentConfig, plain
from fewshot.evaluation.evaluator import Evaluator
from fewshot.evaluation.tasks import EvaluationSet, open_evaluation_set
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import CurvePoint, Record
from fewshot.results.summary import summarise
from fewshot.runs.build import cached_features, restored_network
from fewshot.runs.checkpoint import load_checkpoint, read_state
from fewshot.runs.features import FeatureStore
from fewshot.runs.interruption import children_shielded
from fewshot.runs.origin import read_origin
from fewshot.runs.run import Run, evaluation_of

log = logging.getLogger(__name__)
TaskScores = tuple[list[Record], list[CurvePoint]]


def evaluate_run(run_folder: Path, config: ExperimentConfig, evaluated: EvaluationSet | None = None) -> EvaluatedRun:
    """Evaluates the checkpoint that the config chooses; its results replace those of the run folder as one unit.

    `evaluated`: what to evaluate on, where that was opened already. CheckpointError if it is opened here, and the
    benchmark is another than that of the training.
    """
    if config.machine.threads:
        torch.set_num_threads(config.machine.threads)
    run = Run(run_folder)
    checkpoint = run.required_checkpoint(config.evaluate.checkpoint)
    evaluated = evaluated or open_evaluation_set(config, read_origin(checkpoint))
    tasks = evaluated.tasks
    evaluation = evaluation_of(config, checkpoint)
    root, group = evaluated.catalog.root, config.data.group
    novel = "all classes trained on" if group is None else f"group {group}"
    log.info("evaluating %s (%s) on %d tasks of %s", checkpoint, novel, len(tasks), root)
    evaluator = _open_evaluator(config, evaluated.catalog, checkpoint)
    step = int(read_state(checkpoint)["step"])
    reached = int(read_state(run.latest() or checkpoint)["step"])
    if reached < config.train.steps:
        log.warning("%s: its training is unfinished, step %d of %d", run_folder, reached, config.train.steps)
    began = time.perf_counter()
    records: list[Record] = []
    curve: list[CurvePoint] = []
    several = config.machine.evaluation_workers > 1
    found = _side_by_side(evaluator, checkpoint, tasks) if several else (_evaluate(evaluator, task) for task in tasks)
    for number, (of_task, curve_of_task) in enumerate(found, start=1):
        records += of_task
        curve += curve_of_task
        if number % max(1, len(tasks) // 10) == 0:
            log.info("%d of %d tasks, %.0f s", number, len(tasks), time.perf_counter() - began)
    with run.new_results() as results:
        log.info("drawing overlays")
        drawn = evaluator.draw(tasks, records, results.overlays)
        log.info("computing intervals and writing the report")
        summary = summarise(
            records,
            resamples=config.evaluate.bootstrap_samples,
            experiment=config.name,
            checkpoint=checkpoint.name,
            manifest=json_digest(tasks),
            wall_seconds=time.perf_counter() - began,
            config=plain(config),
            evaluation=evaluation,
            **evaluated.facts,
        )
        text = task_file_text(tasks, evaluated.catalog.name)
        results.write(summary, records, text, curve if config.evaluate.curve_steps else None, drawn)
        results.write_report(run.evaluated(results=results))
        run.log_evaluation(step, config, summary)
    return run.evaluated()


def _open_evaluator(
    config: ExperimentConfig, catalog: VideoCatalog, checkpoint: Path, features: FeatureStore | None = None
) -> Evaluator:
    """`features`: the catalog's, where another process has looked through them already; None does so here."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = restored_network(config, checkpoint).to(device)
    features = features or cached_features(config, [catalog], network, device)
    evaluator = Evaluator(config, catalog, network, features, device)
    learner = evaluator.learners.get(config.learner.name)
    load_checkpoint(checkpoint, model=network.head, learner=None if learner is None else learner.own)
    return evaluator


def _evaluate(evaluator: Evaluator, task: EvaluationTask) -> TaskScores:
    return evaluator.evaluate(task), evaluator.curve(task)


# --------------------------------------------------------------------------- several processes

_evaluator: Evaluator  # of this worker process


def _side_by_side(evaluator: Evaluator, checkpoint: Path, tasks: Sequence[EvaluationTask]) -> Iterator[TaskScores]:
    """The scores of each task, in the order of the tasks. Each worker has a network of its own."""
    # Not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    opened = (evaluator.config, evaluator.catalog, checkpoint, evaluator.features)
    with ProcessPoolExecutor(evaluator.config.machine.evaluation_workers, context, _start_worker, opened) as pool:
        try:
            with children_shielded():  # Ctrl-C reaches the whole group; the parent ends its workers
                found = pool.map(_evaluate_in_worker, tasks)
            yield from found
        except BaseException:
            for worker in multiprocessing.active_children():
                worker.terminate()  # a task takes seconds, and nobody wants its scores now
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker(
    config: ExperimentConfig, catalog: VideoCatalog, checkpoint: Path, features: FeatureStore | None
) -> None:
    global _evaluator
    threads = config.machine.threads or torch.get_num_threads()
    torch.set_num_threads(max(1, threads // config.machine.evaluation_workers))
    _evaluator = _open_evaluator(config, catalog, checkpoint, features)


def _evaluate_in_worker(task: EvaluationTask) -> TaskScores:
    return _evaluate(_evaluator, task)
