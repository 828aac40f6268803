"""Commands that read and write weights."""

import argparse
from collections.abc import Callable

from episodes.errors import ConfigError


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


HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "convert": _convert,
    "export": _export,
    "pack": _pack,
}
