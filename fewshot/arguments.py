"""The arguments of every command: their names, help and examples. What a command does is in `fewshot.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from fewshot import __version__


def program_name(called: str) -> str:
    """The command line as the user called it, from `sys.argv[0]`."""
    name = Path(called).name
    return {"run.py": f"python {called}", "__main__.py": "python -m fewshot"}.get(name, "fewshot-rvos")


PROGRAM = program_name(sys.argv[0])


CUTOUTS = ("fluent-emoji", "tuxpaint-stamps", "sweethome3d-furniture")

# Of each command its purpose, and arguments as an example.
_COMMANDS = {
    "run": ("write data if absent, train, evaluate, report", "experiments/demo.yaml"),
    "train": ("meta-train on the base classes", "experiments/demo.yaml name=demo-s1 seed=1"),
    "evaluate": ("score a trained run on novel classes", "runs/demo evaluate.shots=[1,5]"),
    "compare": ("compare two evaluated runs, query by query", "runs/a runs/b --shots 1"),
    "groups": ("average runs of one experiment over its novel groups", "runs/g1 runs/g2 runs/g3 runs/g4"),
    "report": ("write a one-page report on evaluated runs", "runs/demo runs/try --out report.html"),
    "ablate": ("run variants of an experiment, in one table", "experiments/ablations/affinity_loss.yaml --jobs 2"),
    "features": ("compute image features ahead, into the folder machine.cache", "experiments/demo.yaml"),
    "data glyphs": ("write the embedded benchmark", "data/glyphs seed=1"),
    "data compose": ("write a benchmark of composed real pictures", "data/composed videos_per_class=20"),
    "data cutouts": ("turn a published package of pictures into cut-outs", "fluent-emoji package cutouts/emoji"),
    "data mosaic": ("put videos of different classes side by side", "data/davis data/davis-mosaic"),
    "data check": ("list every problem of a benchmark", "data/glyphs --json"),
    "episodes": ("show which episodes are drawn", "experiments/demo.yaml --split val"),
    "config": ("print the resolved experiment", "experiments/demo.yaml seed=3"),
    "convert": ("turn a published checkpoint into initial weights", "referformer.pth weights/referformer"),
    "pack": ("write a trained run as a folder of weights to give away", "runs/demo weights/demo --notes notes.md"),
    "export": ("write weights in the published checkpoint layout", "runs/published cma.pth"),
}


class Parser(argparse.ArgumentParser):
    """Its errors are written as those of the commands are, and lead to the help."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"Error: {message}. See: {self.prog} --help\n")


def build_parser() -> Parser:
    """Parser whose result names its command in `command`, e.g. "run" or "data check"."""
    parser = Parser(
        prog=PROGRAM,
        description="Few-shot referring video object segmentation: meta-train, adapt, evaluate.",
        epilog="Each command has its own --help with an example; `config EXP` prints all keys of an experiment. "
        "Exit codes: 0 done, 1 `data check` found errors, 2 an error that you can fix, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"fewshot-rvos {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    _training_arguments(_command(commands, "run"))
    _training_arguments(_command(commands, "train"))

    evaluate = _command(commands, "evaluate")
    evaluate.add_argument("run", type=Path, metavar="RUN", help="run folder, or name of weights that come along")
    _override_argument(evaluate, "evaluate.shots=[1,3]")
    evaluate.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the results go (default: RUN, replacing its results)"
    )
    evaluate.add_argument(
        "--transfer",
        type=Path,
        action="append",
        default=[],
        metavar="ROOT",
        help="evaluate on the benchmark in ROOT instead, into a folder of its name in FOLDER (may be repeated; all "
        "results are shown in one table)",
    )
    _changed_data_argument(evaluate)

    compare = _command(commands, "compare")
    compare.add_argument("run_a", type=Path, metavar="RUN_A", help="evaluated run folder A")
    compare.add_argument("run_b", type=Path, metavar="RUN_B", help="evaluated run folder B; the table shows A - B")
    for side in ("a", "b"):
        meaning = f"method of {side.upper()}, e.g. prototype (default: the run's evaluate.label)"
        compare.add_argument(f"--method-{side}", metavar="M", help=meaning)
    compare.add_argument("--shots", type=int, metavar="K", help="only this number of shots (default: all of both)")
    compare.add_argument("--scoring", choices=("paper", "davis"), help="only this scoring (default: all of both)")

    groups = _command(commands, "groups")
    groups.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluated run folder of one group")
    groups.add_argument("--out", type=Path, metavar="FILE", help="write the table as Markdown too")

    report = _command(commands, "report")
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluated run folder")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    report.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown too")
    report.add_argument("--latex", type=Path, metavar="FILE", help="write the tables as LaTeX (booktabs) too")
    ablate = _command(commands, "ablate")
    ablate.add_argument("ablation", type=Path, metavar="FILE", help="e.g. experiments/ablations/affinity_loss.yaml")
    _override_argument(ablate)
    ablate.add_argument("--out", type=Path, metavar="FOLDER", help="default: runs/ablations/<name of the ablation>")
    ablate.add_argument("--jobs", type=int, help="jobs at a time (default: what cores and memory allow; on Slurm all)")
    ablate.add_argument("--memory", type=float, metavar="GB", help="memory of all local jobs (default: the machine's)")
    ablate.add_argument("--retry", action="store_true", help="run jobs again that failed before")
    ablate.add_argument("--yes", action="store_true", help="allow more than 64 cells")

    _experiment_arguments(_command(commands, "features"))

    data = commands.add_parser(
        "data",
        help="write or check a benchmark",
        description="Write or check a benchmark.",
        epilog=f"example: {PROGRAM} data check data/glyphs",
    )
    kinds = data.add_subparsers(title="commands", metavar="COMMAND", required=True)
    glyphs = _command(kinds, "data glyphs")
    glyphs.add_argument("out", type=Path, metavar="OUT", help="folder to write; kept if it holds the same benchmark")
    glyphs.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    _override_argument(glyphs, "size=256")
    compose = _command(kinds, "data compose")
    compose.add_argument("out", type=Path, metavar="OUT", help="folder to write; kept if it holds the same benchmark")
    for name, meaning in (
        ("objects", "cut-outs with alpha: <class>/<name>.png, or a captions.csv"),
        ("stills", "photographs with masks: <class>/<name>.jpg and .png"),
        ("backgrounds", "photographs of places"),
    ):
        compose.add_argument(
            f"--{name}",
            type=Path,
            action="append",
            default=[],
            metavar="FOLDER",
            help=f"{meaning} (may be repeated; without any folder: the pictures that come with the project)",
        )
    compose.add_argument("--without", default="", metavar="CLASS,...", help="classes to leave out")
    compose.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    _override_argument(compose, "seed=1")
    cutouts = _command(kinds, "data cutouts")
    cutouts.add_argument("kind", choices=CUTOUTS, help="which package")
    cutouts.add_argument("source", type=Path, metavar="SRC", help="folder of the unpacked package")
    cutouts.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    mosaic = _command(kinds, "data mosaic")
    mosaic.add_argument("source", type=Path, metavar="SRC", help="benchmark of videos with a single annotated object")
    mosaic.add_argument("out", type=Path, metavar="OUT", help="folder to write; kept if it holds the same mosaics")
    mosaic.add_argument("--seed", type=_not_negative, default=0, help="another seed, other neighbours (default: 0)")
    check = _command(kinds, "data check")
    check.add_argument("root", type=Path, metavar="ROOT", help="folder in the layout of an official benchmark")
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")

    episodes = _command(commands, "episodes")
    _experiment_arguments(episodes)
    episodes.add_argument("--split", choices=("train", "val"), default="train", help="default: train")
    episodes.add_argument("--count", type=_positive, default=1000, help="episodes to draw and hash (default: 1000)")
    episodes.add_argument("--show", type=_positive, default=3, help="episodes to print (default: 3)")

    _experiment_arguments(_command(commands, "config"))

    convert = _command(commands, "convert")
    convert.add_argument("source", type=Path, metavar="IN", help="CMA's or ReferFormer's .pth or .safetensors file")
    convert.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist yet")
    convert.add_argument(
        "--experiment", type=Path, metavar="EXP", help="fit to this experiment's model (default: the checkpoint's own)"
    )
    _override_argument(convert, "model.fusion=multiply")
    convert.add_argument(
        "--reinitialise",
        action="append",
        default=[],
        metavar="PART",
        help="part of the head that takes no value from the file, e.g. decoder.class_embed (may be repeated)",
    )

    pack = _command(commands, "pack")
    pack.add_argument("run", type=Path, metavar="RUN", help="run folder of an earlier `train` or `run`")
    pack.add_argument("out", type=Path, metavar="OUT", help="folder to write; must not exist yet")
    pack.add_argument(
        "--notes", type=Path, required=True, metavar="FILE", help="Markdown for the card: licences, hours, limits"
    )
    pack.add_argument(
        "--evaluation",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="evaluation of RUN whose tables the card shows (may be repeated)",
    )

    export = _command(commands, "export")
    export.add_argument("source", type=Path, metavar="RUN_OR_WEIGHTS", help="run folder, or a folder of `convert`")
    export.add_argument("out", type=Path, metavar="OUT", help=".pth or .safetensors file; must not exist yet")
    return parser


def _command(commands: argparse._SubParsersAction[Parser], name: str) -> Parser:
    purpose, example = _COMMANDS[name]
    parser = commands.add_parser(
        name.split()[-1],
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"example:\n  {PROGRAM} {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=name)
    return parser


def _experiment_arguments(parser: Parser) -> None:
    parser.add_argument("experiment", type=Path, metavar="EXP", help="experiment file, e.g. experiments/demo.yaml")
    _override_argument(parser)


def _override_argument(parser: Parser, example: str = "train.steps=500") -> None:
    change = f"change a value (YAML), e.g. {example}"
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help=change)


def _training_arguments(parser: Parser) -> None:
    _experiment_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="run folder (default: runs/<experiment's name>)")
    _changed_data_argument(parser)


def _changed_data_argument(parser: Parser) -> None:
    parser.add_argument(
        "--allow-changed-data",
        action="store_true",
        help="continue even if the benchmark has changed since the training; recorded with the run or its results",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


_not_negative.__name__ = "int"
_positive.__name__ = "int"  # argparse names the type by it in errors
