"""Command line: reads arguments, calls one function of the project, makes exit codes.

Exit codes: 0 done; 1 `data check` found what would stop training; 2 the input is wrong or the disk is full (one
paragraph on stderr); 130 interrupted. Handlers import what they need, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from episodes.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from episodes.glyphs.config import GlyphsConfig
    from fewshot.config import DataConfig, ExperimentConfig

Handler = Callable[[argparse.Namespace], int]
_PROGRAM = "python run.py"

_DISK_ERRORS = {
    errno.ENOSPC: "The disk is full. Free some space, then give the same command again: it goes on from what is saved.",
    errno.EDQUOT: "The disk quota is used up. Free some space, then give the same command again: it goes on.",
    errno.EFBIG: "A file would grow over the allowed size. Raise the limit (ulimit -f) and try again.",
    errno.EACCES: "Permission denied. Change the permissions, or name another folder.",
    errno.EROFS: "The file system is read-only. Name another folder.",
}


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code of the process."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if any(text.startswith("-") or "=" not in text for text in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse stops collecting positionals at the first option: `train EXP --out F seed=1` leaves seed=1 over
        options.overrides = [*options.overrides, *rest]
    handler: Handler = options.handler
    threading.excepthook = _quiet_disk_errors
    try:
        return handler(options)
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        place = error.filename or getattr(options, "out", None) or getattr(options, "run", None) or Path.cwd()
        return _fail(f"{place}: {_DISK_ERRORS[error.errno]}")
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from the last checkpoint.", file=sys.stderr)
        return 130


# --------------------------------------------------------------------------- commands


def _run(options: argparse.Namespace) -> int:
    from fewshot.evaluator import draw_tasks
    from fewshot.setup_run import open_catalog

    config, folder = _training_inputs(options)
    _write_data_if_absent(config.data)
    draw_tasks(config, open_catalog(config))  # an impossible evaluation is refused before the training, not after it
    _train_in(config, folder)
    _evaluate_in(config, folder, again=False)
    _print_results(folder)
    return 0


def _train(options: argparse.Namespace) -> int:
    config, folder = _training_inputs(options)
    _write_data_if_absent(config.data)
    checkpoint = _train_in(config, folder)
    print(f"Checkpoint: {checkpoint}\nNext: {_PROGRAM} evaluate {folder}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from fewshot.run_folder import read_run

    folder: Path = options.run
    config = read_run(folder, options.overrides)
    _start_logging()
    _write_data_if_absent(config.data)
    _evaluate_in(config, folder, again=True)
    _print_results(folder)
    return 0


def _ablate(options: argparse.Namespace) -> int:
    from fewshot.ablation.cells import load_ablation

    ablation = load_ablation(options.ablation, options.overrides)
    ablation.refuse_many(allowed=options.yes)
    folder: Path = options.out or Path("runs/ablations") / ablation.config.name
    options.out = folder
    _start_logging()
    for data in dict.fromkeys(cell.config.data for cell in ablation.cells):
        _write_data_if_absent(data)
    from fewshot.ablation.run import run_ablation

    print(run_ablation(ablation, folder, jobs=options.jobs, memory=options.memory, retry=options.retry))
    for name, meaning in (("table.md", "this table"), ("table.csv", "all its numbers"), ("plot.png", "its picture")):
        print(f"{folder / name!s:40} {meaning}")
    return 0


def _features(options: argparse.Namespace) -> int:
    from fewshot.config import load_config
    from fewshot.setup_run import fill_cache

    config = load_config(options.experiment, options.overrides)
    _start_logging()
    _write_data_if_absent(config.data)
    store = fill_cache(config)
    print("data.cache is null: nothing is kept" if store is None else f"Trunk features lie in {store.folder}")
    return 0


def _data_glyphs(options: argparse.Namespace) -> int:
    from episodes.glyphs.config import GlyphsConfig
    from fewshot.config import check_section
    from fewshot.config_yaml import Document, merge, parse_override

    document = Document({}, {})
    for text in options.overrides:
        document = merge(document, parse_override(text))
    config = check_section(GlyphsConfig, document, "The generator's config")
    _start_logging()
    _write_glyphs(options.out, config, options.workers)
    print(f"Mini-Ref-Glyphs lies in {options.out}")
    return 0


def _data_check(options: argparse.Namespace) -> int:
    from episodes.check import check_benchmark

    report = check_benchmark(options.root)
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_table())
    return 1 if report.stops_training else 0


def _episodes(options: argparse.Namespace) -> int:
    from episodes.readers.ytvos import read_ytvos
    from episodes.sampling import EpisodeSampler, manifest, manifest_hash
    from fewshot.config import load_config

    config = load_config(options.experiment, options.overrides)
    _write_data_if_absent(config.data)
    drawing = config.episodes.model_dump(exclude={"augment"})
    catalog = read_ytvos(config.data.root)
    sampler = EpisodeSampler(catalog, group=config.data.group, split=options.split, seed=config.seed, **drawing)
    items = manifest([sampler[index] for index in range(options.count)])
    for item in items[: options.show]:
        print(json.dumps(item))
    print(f"{options.split}: {len(items)} episodes, manifest sha256 {manifest_hash(items)}")
    return 0


def _config(options: argparse.Namespace) -> int:
    from fewshot.config import load_config, to_yaml

    print(to_yaml(load_config(options.experiment, options.overrides)), end="")
    return 0


# --------------------------------------------------------------------------- steps that commands share


def _training_inputs(options: argparse.Namespace) -> tuple[ExperimentConfig, Path]:
    from fewshot.config import load_config
    from fewshot.run_folder import open_run

    config = load_config(options.experiment, options.overrides)
    folder: Path = options.out or Path("runs") / config.name
    options.out = folder
    open_run(config, folder)
    _start_logging()
    return config, folder


def _train_in(config: ExperimentConfig, folder: Path) -> Path:
    from fewshot.trainer import train

    return train(config, folder)


def _evaluate_in(config: ExperimentConfig, folder: Path, *, again: bool) -> None:
    from fewshot.evaluator import chosen_checkpoint, evaluate_run
    from fewshot.report import write_report
    from fewshot.run_folder import is_evaluated, mark_evaluated

    checkpoint = chosen_checkpoint(folder, config)
    if checkpoint is None:
        command = f"{_PROGRAM} train {folder / 'config.yaml'} --out {folder}"
        raise CheckpointError(f"{folder} holds no checkpoint yet. Train first: {command}")
    if again or not is_evaluated(folder, config, checkpoint.name):
        evaluate_run(folder, config)
        write_report(folder)
        mark_evaluated(folder, config, checkpoint.name)


def _write_data_if_absent(data: DataConfig) -> None:
    """The embedded benchmark writes itself; any other data must be there (the reader says what it misses)."""
    if data.glyphs is not None:
        _write_glyphs(data.root, data.glyphs, os.cpu_count() or 1)


def _write_glyphs(root: Path, config: GlyphsConfig, workers: int) -> None:
    from episodes.glyphs import write_glyphs
    from fewshot.progress import Progress

    with contextlib.ExitStack() as stack:
        shown: list[Progress] = []

        def progress(done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(Progress("write the benchmark", total, unit="video")))
            shown[0].update(done)

        write_glyphs(root, config=config, workers=workers, progress=progress)


def _print_results(folder: Path) -> None:
    from fewshot.report import results_table

    print(results_table(folder))
    for name, meaning in (
        ("report.md", "report"),
        ("summary.json", "all rows of the table"),
        ("records.csv", "one row for each seed, class, video, expression"),
        ("overlays", "support with mask, query frames, truth, prediction"),
        ("metrics.jsonl", "losses and validation"),
        ("config.yaml", "the resolved experiment"),
    ):
        print(f"{folder / name!s:40} {meaning}")
    print(f"TensorBoard: {Path(sys.executable).parent / 'tensorboard'} --logdir {folder / 'tb'}")


def _start_logging() -> None:
    from fewshot.progress import start_logging

    start_logging()


def _quiet_disk_errors(failed: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own; a full disk there is raised again, and reported, in the main one."""
    if not (isinstance(failed.exc_value, OSError) and failed.exc_value.errno in _DISK_ERRORS):
        threading.__excepthook__(failed)


def _fail(message: str) -> int:
    print("Error: " + " ".join(message.split()), file=sys.stderr)
    return 2


# --------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Few-shot referring video object segmentation: meta-train, adapt, evaluate.",
        epilog="Each command has its own --help with an example. Exit codes: 0 done, 1 `data check` found what "
        "would stop training, 2 wrong input or full disk, 130 interrupted.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _command(commands, "run", _run, "write data if absent, train, evaluate, report", "run experiments/demo.yaml")
    _experiment_arguments(run)
    _out_argument(run)

    train = _command(commands, "train", _train, "meta-train on the base classes", "train experiments/demo.yaml seed=1")
    _experiment_arguments(train)
    _out_argument(train)

    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "score a trained run on novel classes",
        "evaluate runs/demo evaluate.shots=[1,5]",
    )
    evaluate.add_argument("run", type=Path, metavar="RUN", help="run folder of an earlier `train` or `run`")
    _override_argument(evaluate)

    ablate = _command(
        commands,
        "ablate",
        _ablate,
        "run variants of an experiment beside each other, in one table",
        "ablate experiments/ablations/affinity_loss.yaml --jobs 2",
    )
    ablate.add_argument("ablation", type=Path, metavar="FILE", help="e.g. experiments/ablations/affinity_loss.yaml")
    _override_argument(ablate)
    ablate.add_argument("--out", type=Path, metavar="FOLDER", help="default: runs/ablations/<name of the ablation>")
    ablate.add_argument("--jobs", type=int, help="cells at a time (default: CPU cores / train.threads; on Slurm all)")
    ablate.add_argument("--memory", type=float, metavar="GB", help="memory for all cells together (default: all)")
    ablate.add_argument("--retry", action="store_true", help="try cells again that failed")
    ablate.add_argument("--yes", action="store_true", help="run more than 64 cells")

    features = _command(
        commands,
        "features",
        _features,
        "compute and keep the trunk features that runs of an experiment read",
        "features experiments/demo.yaml",
    )
    _experiment_arguments(features)

    data = commands.add_parser("data", help="write or check a benchmark", description="Write or check a benchmark.")
    kinds = data.add_subparsers(title="commands", metavar="COMMAND", required=True)
    glyphs = _command(kinds, "glyphs", _data_glyphs, "write the embedded benchmark", "data glyphs data/glyphs seed=1")
    glyphs.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist yet")
    glyphs.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    _override_argument(glyphs)
    check = _command(kinds, "check", _data_check, "list every problem of a benchmark", "data check data/glyphs --json")
    check.add_argument("root", type=Path, metavar="ROOT", help="benchmark folder (Mini-Ref-YouTube-VOS layout)")
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")

    episodes = _command(
        commands, "episodes", _episodes, "show which episodes are drawn", "episodes experiments/demo.yaml --split val"
    )
    _experiment_arguments(episodes)
    episodes.add_argument("--split", choices=("train", "val"), default="train", help="default: train")
    episodes.add_argument("--count", type=int, default=1000, help="episodes in the manifest (default: 1000)")
    episodes.add_argument("--show", type=int, default=3, help="episodes to print (default: 3)")

    config = _command(
        commands, "config", _config, "print the resolved experiment", "config experiments/demo.yaml seed=3"
    )
    _experiment_arguments(config)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    handler: Handler,
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=textwrap.dedent(f"example:\n  {_PROGRAM} {example}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    return parser


def _experiment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, metavar="EXP", help="experiment file, e.g. experiments/demo.yaml")
    _override_argument(parser)


def _override_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="change a value (YAML), e.g. train.steps=500")


def _out_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="run folder (default: runs/<name of the experiment>)"
    )
