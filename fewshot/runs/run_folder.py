"""What a run folder says about itself: the config it belongs to, and which evaluation it already holds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from episodes.errors import ConfigError, UserError
from episodes.files import write_whole
from fewshot.config.experiment import ExperimentConfig, config_hash, load_config, plain, to_yaml
from fewshot.results.comparable import Difference, retraining_differences, training_differences
from fewshot.runs.checkpoint import latest

CONFIG = "config.yaml"
_EVALUATED = "evaluated.json"
_OF_TRAINING = ("checkpoints", "metrics.jsonl", "meta.json")  # what a folder of results shows of a training elsewhere


def open_run(config: ExperimentConfig, folder: Path) -> None:
    """Create the run folder, or take up an existing one of the same experiment; writes its config.yaml.

    Raises ConfigError when the folder belongs to a training that differs.
    """
    stored = folder / CONFIG
    if stored.is_file() and latest(folder) is not None:  # without a checkpoint there is nothing to contradict
        differences = training_differences(plain(load_config(stored)), plain(config))
        if differences:
            raise ConfigError(
                f"{folder} holds a run of other values: {_listed(differences)}. "
                "Give this run a folder of its own with --out, repeat the old values, or remove that folder."
            )
    _refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(stored, to_yaml(config).encode())


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; a run needs a folder. Choose another with --out.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder} is not empty and no run folder (it holds no {CONFIG}). Choose another with --out.")


def show_training(config: ExperimentConfig, folder: Path, training: Path) -> None:
    """Lay out a folder for results of a run that was trained elsewhere: its own config.yaml, links to the training.

    Raises ConfigError where a training of its own or something else lies there.
    """
    _refuse_foreign(folder)
    links = [folder / name for name in _OF_TRAINING]
    for link in links:
        if link.exists() and not link.is_symlink():
            raise ConfigError(f"{link} belongs to a training of its own. Choose another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / CONFIG, to_yaml(config).encode())
    for link in links:
        link.unlink(missing_ok=True)
        # Relative, so that both folders can be moved together.
        link.symlink_to(os.path.relpath(training.resolve() / link.name, folder.resolve()))


def shows_training(folder: Path, training: Path) -> bool:
    """True when the checkpoints in the folder are a link to those of the training."""
    link = folder / _OF_TRAINING[0]
    return link.is_symlink() and link.resolve() == (training / link.name).resolve()


@contextmanager
def started_run(config: ExperimentConfig, folder: Path) -> Iterator[None]:
    """`open_run`; a new folder goes again if the input is refused before anything else lies in it."""
    new = not folder.exists()
    open_run(config, folder)
    try:
        yield
    except UserError:
        if new and [path.name for path in folder.iterdir()] == [CONFIG]:
            (folder / CONFIG).unlink(missing_ok=True)
            with suppress(OSError):  # another process of the same training was faster
                folder.rmdir()
        raise


def read_run(folder: Path, overrides: list[str]) -> ExperimentConfig:
    """The config of a run folder with `key=value` overrides. Raises ConfigError when it is none."""
    stored = folder / CONFIG
    if not stored.is_file():
        why = f"is no run folder: it holds no {CONFIG}"
        if not folder.is_dir():
            why = "is a file, no run folder" if folder.exists() else "does not exist"
        raise ConfigError(f"{folder} {why}. Name a folder such as runs/demo, or train first with `train`")
    return load_config(stored, overrides)


def refuse_retraining(stored: ExperimentConfig, config: ExperimentConfig) -> None:
    """ConfigError where `config`, of an evaluation, changes what only a training reads: it would have no effect."""
    differences = retraining_differences(plain(stored), plain(config))
    if differences:
        raise ConfigError(
            f"The run is trained, and an evaluation does not read this any more: {_listed(differences)}. Leave it out, "
            "or train again under another name."
        )


def _listed(differences: list[Difference]) -> str:
    return "; ".join(f"{key} was {before!r} and is now {now!r}" for key, before, now in differences)


def is_evaluated(folder: Path, config: ExperimentConfig, checkpoint: str) -> bool:
    """True when summary.json in the folder stems from exactly this config and checkpoint."""
    if not (folder / _EVALUATED).is_file() or not (folder / "summary.json").is_file():
        return False
    found: dict[str, str] = json.loads((folder / _EVALUATED).read_text(encoding="utf-8"))
    return found == _evaluation(config, checkpoint)


def mark_evaluated(folder: Path, config: ExperimentConfig, checkpoint: str) -> None:
    """Note that summary.json belongs to this config and checkpoint. Call it when the evaluation has ended."""
    write_whole(folder / _EVALUATED, (json.dumps(_evaluation(config, checkpoint), indent=2) + "\n").encode())


def _evaluation(config: ExperimentConfig, checkpoint: str) -> dict[str, str]:
    evaluation = {"config": config_hash(config), "checkpoint": checkpoint}
    if config.evaluate.tasks is not None and config.evaluate.tasks.is_file():  # other tasks may lie there by now
        evaluation["tasks"] = hashlib.sha256(config.evaluate.tasks.read_bytes()).hexdigest()
    return evaluation
