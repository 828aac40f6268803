"""Commands that read an experiment and train nothing."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict


def _features(options: argparse.Namespace) -> int:
    from fewshot.config.experiment import load_config
    from fewshot.runs.build import fill_cache
    from fewshot.runs.embedded import write_data_if_absent

    config = load_config(options.experiment, options.overrides)
    write_data_if_absent(config.data)
    store = fill_cache(config)
    print("machine.cache is null: nothing is kept" if store is None else f"Image features are in {store.folder}")
    return 0


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


HANDLERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "features": _features,
    "episodes": _episodes,
    "config": _config,
}
