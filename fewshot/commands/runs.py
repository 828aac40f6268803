"""Commands that make runs, and commands that read their results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from episodes.errors import ConfigError
from fewshot.arguments import PROGRAM

if TYPE_CHECKING:
    from fewshot.config.experiment import ExperimentConfig
    from fewshot.results.evaluated import EvaluatedRun


def _run(options: argparse.Namespace) -> int:
    config, folder = _training_inputs(options)
    from fewshot.api import run

    _print_results(folder, run(config, folder, allow_changed_data=options.allow_changed_data))
    return 0


def _train(options: argparse.Namespace) -> int:
    config, folder = _training_inputs(options)
    from fewshot.api import train

    run = train(config, folder, allow_changed_data=options.allow_changed_data)
    transfer = " evaluate.transfer.root=ROOT" if config.data.group is None and config.evaluate.transfer is None else ""
    print(f"Checkpoint: {run.latest()}\nNext: {PROGRAM} evaluate {folder}{transfer}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from fewshot.api import evaluate

    if options.transfer:
        return _evaluate_transfers(options)
    how = {"out": options.out, "allow_changed_data": options.allow_changed_data}
    _print_results(options.out or options.run, evaluate(options.run, options.overrides, **how))
    return 0


def _evaluate_transfers(options: argparse.Namespace) -> int:
    from fewshot.api import evaluate_transfers
    from fewshot.results.transfers import transfers_table
    from fewshot.runs.run import Run

    if options.out is None:
        raise ConfigError("--transfer writes a folder for each benchmark: name the folder for all of them with --out")
    how = {"out": options.out, "allow_changed_data": options.allow_changed_data}
    runs = evaluate_transfers(options.run, options.transfer, options.overrides, **how)
    print(transfers_table({name: run.summary for name, run in runs.items()}))
    for name in runs:
        print(f"{Run(options.out / name).results.report!s:40} report on {name}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from fewshot.results.compare import comparison_table
    from fewshot.runs.run import Run

    chosen = {name: getattr(options, name) for name in ("method_a", "method_b", "shots", "scoring")}
    print(comparison_table(Run(options.run_a).evaluated(), Run(options.run_b).evaluated(), **chosen))
    return 0


def _groups(options: argparse.Namespace) -> int:
    from episodes.files import write_whole
    from fewshot.results.groups import groups_table
    from fewshot.results.tables import markdown_table, text_table
    from fewshot.runs.run import evaluated_runs

    runs = evaluated_runs(options.runs)
    print(groups_table(runs, text_table))
    if options.out:
        write_whole(options.out, (groups_table(runs, markdown_table) + "\n").encode())
    return 0


def _report(options: argparse.Namespace) -> int:
    from fewshot.results.page.report import build_page, write_page
    from fewshot.runs.run import evaluated_runs

    page = build_page(evaluated_runs(options.runs))
    write_page(page, html=options.out, markdown=options.markdown, latex=options.latex)
    for path in filter(None, (options.out, options.markdown, options.latex)):
        print(path)
    return 0


def _ablate(options: argparse.Namespace) -> int:
    from fewshot.ablation.cells import load_ablation
    from fewshot.runs.embedded import write_data_if_absent

    ablation = load_ablation(options.ablation, options.overrides)
    ablation.reject_many(allowed=options.yes)
    folder: Path = options.out or Path("runs/ablations") / ablation.config.name
    options.out = folder
    for data in dict.fromkeys(cell.config.data for cell in ablation.cells):
        write_data_if_absent(data)
    from fewshot.ablation.run import run_ablation

    print(run_ablation(ablation, folder, jobs=options.jobs, memory=options.memory, retry=options.retry))
    for name, meaning in (("table.md", "this table"), ("table.csv", "all its numbers"), ("plot.png", "its picture")):
        print(f"{folder / name!s:40} {meaning}")
    return 0


def _training_inputs(options: argparse.Namespace) -> tuple[ExperimentConfig, Path]:
    from fewshot.config.experiment import load_config

    config = load_config(options.experiment, options.overrides)
    folder: Path = options.out or Path("runs") / config.name
    options.out = folder
    return config, folder


def _print_results(folder: Path, evaluated: EvaluatedRun) -> None:
    from fewshot.results.tables import results_table
    from fewshot.runs.run import Run

    run = Run(folder)
    print(results_table(evaluated.summary))
    for path, meaning in run.listed():
        print(f"{path!s:40} {meaning}")
    print(f"TensorBoard: {Path(sys.executable).parent / 'tensorboard'} --logdir {run.board}")


HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "train": _train,
    "evaluate": _evaluate,
    "compare": _compare,
    "groups": _groups,
    "report": _report,
    "ablate": _ablate,
}
