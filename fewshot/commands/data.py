"""Commands that write or check a benchmark."""

import argparse
import json
from collections.abc import Callable


def _glyphs(options: argparse.Namespace) -> int:
    from episodes.glyphs.config import GlyphsConfig
    from fewshot.config.experiment import section_of
    from fewshot.runs.embedded import write_benchmark

    config = section_of(GlyphsConfig, options.overrides, "The generator's config")
    write_benchmark(options.out, config, options.workers)
    print(f"Mini-Ref-Glyphs is in {options.out}; {options.out / 'contact_sheet.png'} shows it")
    return 0


def _compose(options: argparse.Namespace) -> int:
    from episodes.composed.config import FOLDERS, ComposedConfig
    from fewshot.config.experiment import section_of
    from fewshot.runs.embedded import write_benchmark

    values = section_of(ComposedConfig, options.overrides, "The generator's config")
    given = {name: getattr(options, name) for name in FOLDERS if getattr(options, name)}
    without = tuple(name.strip() for name in options.without.split(",") if name.strip())
    config = values.model_copy(update={**given, **({"without": without} if without else {})})
    write_benchmark(options.out, config, options.workers)
    print(f"Composed clips are in {options.out}; {options.out / 'contact_sheet.png'} shows them")
    return 0


def _cutouts(options: argparse.Namespace) -> int:
    from episodes.composed.sources import write_cutouts

    count = write_cutouts(options.kind, options.source, options.out)
    print(f"{count} cut-outs are in {options.out}: give it to `data compose` as --objects")
    return 0


def _mosaic(options: argparse.Namespace) -> int:
    from episodes.mosaic import write_mosaics

    plan = write_mosaics(options.source, options.out, seed=options.seed)
    for video, reason in plan.left_out.items():
        print(f"left out: {video}: {reason}")
    print(f"{len(plan.mosaics)} mosaics of {options.source} are in {options.out}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from episodes.check import check_benchmark

    report = check_benchmark(options.root)
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_table())
    return 1 if report.stops_training else 0


HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "data glyphs": _glyphs,
    "data compose": _compose,
    "data cutouts": _cutouts,
    "data mosaic": _mosaic,
    "data check": _check,
}
