"""The project as functions: what the commands `run`, `train` and `evaluate` do, without a command line."""

import json
from collections.abc import Sequence
from pathlib import Path

from episodes.errors import ConfigError
from fewshot.config.experiment import ExperimentConfig
from fewshot.config.weights import comes_with_the_project, named_weights
from fewshot.evaluation.evaluate import evaluate_run
from fewshot.evaluation.tasks import EvaluationSet, open_evaluation_set, warn_if_unpaired
from fewshot.results.evaluated import EvaluatedRun
from fewshot.runs.build import open_benchmarks
from fewshot.runs.embedded import write_data_if_absent
from fewshot.runs.origin import read_origin, run_origin, training_origin
from fewshot.runs.run import Run
from fewshot.training import trainer


def train(config: ExperimentConfig, folder: Path, *, allow_changed_data: bool = False) -> Run:
    """Meta-train on the base classes, from where an earlier start of the same training in `folder` stopped.

    allow_changed_data: resume although the benchmark's files have changed. Raises UserError for bad input.
    """
    with Run.start(config, folder) as run:
        write_data_if_absent(config.data)
        trainer.train(config, folder, allow_changed_data=allow_changed_data)
    return run


def run(config: ExperimentConfig, folder: Path, *, allow_changed_data: bool = False) -> EvaluatedRun:
    """`train`, then `evaluate`; an evaluation of exactly this config and checkpoint is read, not repeated, unless
    `allow_changed_data`."""
    with Run.start(config, folder) as started:
        write_data_if_absent(config.data)
        # An impossible evaluation is rejected before the training, not after it.
        open_evaluation_set(config, training_origin(config, open_benchmarks(config), run_origin(folder)))
        trainer.train(config, folder, allow_changed_data=allow_changed_data)
    checkpoint = started.required_checkpoint(config.evaluate.checkpoint)
    if not allow_changed_data and started.is_evaluated(config, checkpoint):
        return started.evaluated()
    evaluated = open_evaluation_set(config, read_origin(checkpoint), allow_changed_data=allow_changed_data)
    return evaluate_run(folder, config, evaluated)


def evaluate(
    folder: Path, overrides: Sequence[str] = (), *, out: Path | None = None, allow_changed_data: bool = False
) -> EvaluatedRun:
    """Evaluate a trained run on the novel classes, with `key=value` overrides of its config.

    `folder` may be the name of weights that come with the project. The results replace those of the run, or go into the
    folder `out`. Raises UserError where the run is not trained, or the overrides change what only a training reads or
    ask for classes that the weights have seen.
    """
    trained = Run(named_weights(folder))
    if out is None and comes_with_the_project(trained.folder):
        raise ConfigError(f"{folder} comes with the project: name a folder for its results with --out")
    return _evaluate(trained, Run(out or folder), *_opened(trained, overrides, allow_changed_data))


def evaluate_transfers(
    folder: Path,
    roots: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    out: Path,
    allow_changed_data: bool = False,
) -> dict[str, EvaluatedRun]:
    """`evaluate` by transfer to each benchmark of `roots`, into `out`/NAME, where NAME is the benchmark's folder name;
    NAME -> results. All are opened before the first is evaluated. ConfigError if two have the same name.
    """
    names = [root.resolve().name for root in roots]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"{len(repeated)} benchmarks lie in folders of the name {repeated[0]}, and the results of each go to "
            f"{out / repeated[0]}: give them different names, or evaluate them by commands of their own"
        )
    trained = Run(named_weights(folder))
    places = [f"evaluate.transfer.root={json.dumps(str(root))}" for root in roots]
    opened = [_opened(trained, [*overrides, place], allow_changed_data) for place in places]
    return {name: _evaluate(trained, Run(out / name), *each) for name, each in zip(names, opened, strict=True)}


def _opened(trained: Run, overrides: Sequence[str], allow_changed_data: bool) -> tuple[ExperimentConfig, EvaluationSet]:
    """What is evaluated; an impossible evaluation is rejected here, before a folder is made."""
    config = trained.evaluation_config(overrides)
    origin = read_origin(trained.required_checkpoint(config.evaluate.checkpoint))
    if config.evaluate.transfer is None:
        write_data_if_absent(config.data)
    return config, open_evaluation_set(config, origin, allow_changed_data=allow_changed_data)


def _evaluate(trained: Run, shown: Run, config: ExperimentConfig, evaluated: EvaluationSet) -> EvaluatedRun:
    warn_if_unpaired(evaluated, trained.results.tasks)
    if shown.folder.resolve() != trained.folder.resolve():
        shown.show(config, trained)
    return evaluate_run(shown.folder, config, evaluated)
