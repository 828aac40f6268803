"""Command line: reads arguments, calls one function of the project, makes exit codes.

Exit codes: 0 done; 1 `data check` found what would stop training; 2 an error that the user can fix, such as wrong input
or a full disk (one paragraph on stderr); 130 interrupted. Handlers import what they need: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from episodes.errors import ConfigError, UserError
from fewshot.arguments import PROGRAM, build_parser
from fewshot.runs.interruption import sigterm_interrupts

if TYPE_CHECKING:
    from fewshot.config.experiment import ExperimentConfig
    from fewshot.results.evaluated import EvaluatedRun

_REPEAT = "Free some space, then repeat the command: a training resumes, other commands start over."
_DISK_ERRORS = {
    errno.ENOSPC: f"The disk is full. {_REPEAT}",
    errno.EDQUOT: f"The disk quota is used up. {_REPEAT}",
    errno.EFBIG: "A file would grow over the allowed size. Raise the limit (ulimit -f) and try again.",
    errno.EACCES: "Permission denied. Change the permissions, or name another folder.",
    errno.EROFS: "The file system is read-only. Name another folder.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, that of the process unless `arguments` are given; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    options, rest = parser.parse_known_args(arguments)
    if any(text.startswith("-") or "=" not in text for text in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse stops collecting positionals at the first option: `train EXP --out F seed=1` leaves seed=1 over
        options.overrides = [*options.overrides, *rest]
    handler = _HANDLERS[options.command]
    threading.excepthook = _quiet_disk_errors
    try:
        from fewshot.runs.progress import start_logging

        start_logging()
        with sigterm_interrupts():
            return handler(options)
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in ("episodes", "models", "fewshot"):
            raise
        return _fail(
            f"The package {error.name} is missing. Install the project with what it requires: `make install` in its "
            "folder (then use .venv/bin/python), or `pip install FOLDER`"
        )
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        place = error.filename or getattr(options, "out", None) or getattr(options, "run", None) or Path.cwd()
        return _fail(f"{place}: {_DISK_ERRORS[error.errno]}")
    except KeyboardInterrupt:
        print(
            "Interrupted. Given again, a training resumes from what is saved; an evaluation starts over.",
            file=sys.stderr,
        )
        return 130


# --------------------------------------------------------------------------- commands


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


def _features(options: argparse.Namespace) -> int:
    from fewshot.config.experiment import load_config
    from fewshot.runs.build import fill_cache
    from fewshot.runs.embedded import write_data_if_absent

    config = load_config(options.experiment, options.overrides)
    write_data_if_absent(config.data)
    store = fill_cache(config)
    print("machine.cache is null: nothing is kept" if store is None else f"Image features are in {store.folder}")
    return 0


def _data_glyphs(options: argparse.Namespace) -> int:
    from episodes.glyphs.config import GlyphsConfig
    from fewshot.config.document import Document, merge, parse_override
    from fewshot.config.experiment import check_section
    from fewshot.runs.embedded import write_benchmark

    document = Document({}, {})
    for text in options.overrides:
        document = merge(document, parse_override(text))
    config = check_section(GlyphsConfig, document, "The generator's config")
    write_benchmark(options.out, config, options.workers)
    print(f"Mini-Ref-Glyphs is in {options.out}; {options.out / 'contact_sheet.png'} shows it")
    return 0


def _data_compose(options: argparse.Namespace) -> int:
    from episodes.composed.config import FOLDERS, ComposedConfig
    from fewshot.config.document import Document, merge, parse_override
    from fewshot.config.experiment import check_section
    from fewshot.runs.embedded import write_benchmark

    document = Document({}, {})
    for text in options.overrides:
        document = merge(document, parse_override(text))
    values = check_section(ComposedConfig, document, "The generator's config")
    given = {name: getattr(options, name) for name in FOLDERS if getattr(options, name)}
    without = tuple(name.strip() for name in options.without.split(",") if name.strip())
    config = values.model_copy(update={**given, **({"without": without} if without else {})})
    write_benchmark(options.out, config, options.workers)
    print(f"Composed clips are in {options.out}; {options.out / 'contact_sheet.png'} shows them")
    return 0


def _data_cutouts(options: argparse.Namespace) -> int:
    from episodes.composed.sources import write_cutouts

    count = write_cutouts(options.kind, options.source, options.out)
    print(f"{count} cut-outs are in {options.out}: give it to `data compose` as --objects")
    return 0


def _data_mosaic(options: argparse.Namespace) -> int:
    from episodes.mosaic import write_mosaics

    plan = write_mosaics(options.source, options.out, seed=options.seed)
    for video, reason in plan.left_out.items():
        print(f"left out: {video}: {reason}")
    print(f"{len(plan.mosaics)} mosaics of {options.source} are in {options.out}")
    return 0


def _data_check(options: argparse.Namespace) -> int:
    from episodes.check import check_benchmark

    report = check_benchmark(options.root)
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_table())
    return 1 if report.stops_training else 0


def _episodes(options: argparse.Namespace) -> int:
    from episodes.files import json_digest
    from episodes.mixture import Mixture
    from fewshot.config.experiment import load_config
    from fewshot.runs.build import open_benchmarks
    from fewshot.runs.embedded import write_data_if_absent
    from fewshot.training.trainer import build_samplers

    config = load_config(options.experiment, options.overrides)
    write_data_if_absent(config.data)
    drawn = Mixture(build_samplers(config, open_benchmarks(config), options.split), config.data.shares)
    specs = [drawn[index] for index in range(options.count)]
    for spec in specs[: options.show]:
        print(json.dumps(asdict(spec)))
    print(f"{options.split}: {len(specs)} episodes, manifest sha256 {json_digest(specs)}")
    return 0


def _config(options: argparse.Namespace) -> int:
    from fewshot.config.experiment import load_config, to_yaml

    print(to_yaml(load_config(options.experiment, options.overrides)), end="")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from fewshot.config.experiment import load_config
    from fewshot.published.conversion import MODEL, convert, table

    if options.experiment is None and options.overrides:
        raise ConfigError(f"{' '.join(options.overrides)} changes an experiment; name it with --experiment EXP.")
    model = None if options.experiment is None else load_config(options.experiment, options.overrides).model
    conversion = convert(options.source, options.out, model, options.reinitialise)
    print(table(conversion))
    if (options.out / "text_encoder").is_dir():
        print(f"Its RoBERTa has a size of its own: copy its tokenizer's files into {options.out / 'text_encoder'}")
    print(f"Next: an experiment with {options.out / MODEL} in `extends` and initial_weights: {options.out}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from fewshot.published.export import export, table

    print(table(export(options.source, options.out)))
    return 0


def _pack(options: argparse.Namespace) -> int:
    from fewshot.runs.packing import CARD, pack
    from fewshot.runs.run import Run

    pack(Run(options.run), options.out, notes=options.notes, evaluations=[Run(folder) for folder in options.evaluation])
    print(f"The weights are in {options.out}; {options.out / CARD} says what they are")
    return 0


# --------------------------------------------------------------------------- steps that commands share


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


def _quiet_disk_errors(failed: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own; a full disk there is raised again, and reported, in the main one."""
    if not (isinstance(failed.exc_value, OSError) and failed.exc_value.errno in _DISK_ERRORS):
        threading.__excepthook__(failed)


def _fail(message: str) -> int:
    print("Error: " + " ".join(message.split()), file=sys.stderr)
    return 2


_HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "train": _train,
    "evaluate": _evaluate,
    "compare": _compare,
    "groups": _groups,
    "report": _report,
    "ablate": _ablate,
    "features": _features,
    "data glyphs": _data_glyphs,
    "data compose": _data_compose,
    "data cutouts": _data_cutouts,
    "data mosaic": _data_mosaic,
    "data check": _data_check,
    "episodes": _episodes,
    "config": _config,
    "convert": _convert,
    "export": _export,
    "pack": _pack,
}
