"""A run: the one thing that knows what lies in a run folder.

    RUN/config.yaml      the resolved experiment
        checkpoints/     of the training                      (fewshot/runs/checkpoint.py)
        encoders/        that cannot be loaded by name                (fewshot/runs/encoders.py)
        metrics.jsonl    losses and validation scores         (fewshot/runs/metrics.py)
        meta.json        every start of the training          (fewshot/runs/starts.py)
        tb/              events for TensorBoard               (fewshot/runs/log.py)
        results/         the last evaluation, as one unit     (fewshot/runs/evaluation_files.py)

A run that was trained elsewhere shows that training: its checkpoints, encoders, metrics and starts are links to the
other folder.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

from episodes.errors import CheckpointError, ConfigError, UserError
from episodes.files import file_digest, write_whole
from fewshot.config.document import dotted
from fewshot.config.experiment import ExperimentConfig, config_hash, load_config, plain, to_yaml
from fewshot.config.weights import weights_names
from fewshot.results.comparable import Difference, retraining_differences, training_differences
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.summary import Summary
from fewshot.runs.checkpoint import CHECKPOINTS, best, copy_weights, latest
from fewshot.runs.encoders import ENCODERS
from fewshot.runs.evaluation_files import EvaluationFiles
from fewshot.runs.log import RunLog, log_evaluation
from fewshot.runs.metrics import last_metrics, read_series
from fewshot.runs.replacement import finish_replacement, replaced_folder
from fewshot.runs.starts import add_start, read_starts

_CONFIG, _METRICS, _STARTS, _BOARD, _RESULTS = "config.yaml", "metrics.jsonl", "meta.json", "tb", "results"
_OF_TRAINING = (CHECKPOINTS, ENCODERS, _METRICS, _STARTS)


class Run:
    """The run in `folder`, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file = folder / _CONFIG
        self.board = folder / _BOARD

    # ------------------------------------------------------------------ its config

    @classmethod
    @contextmanager
    def start(cls, config: ExperimentConfig, folder: Path) -> Iterator[Self]:
        """`open`; if the input is then rejected, a folder that was there keeps its config, and a new one is removed
        again unless something else lies in it."""
        run, new = cls(folder), not folder.exists()
        before = run.config_file.read_bytes() if run.config_file.is_file() else None
        run.open(config)
        try:
            yield run
        except UserError:
            if before is not None:
                write_whole(run.config_file, before)
            if new and [path.name for path in folder.iterdir()] == [_CONFIG]:
                run.config_file.unlink(missing_ok=True)
                with suppress(OSError):  # another process of the same training was faster
                    folder.rmdir()
            raise

    def open(self, config: ExperimentConfig) -> None:
        """Make the folder, or take up an existing one of the same training, and write the config into it.

        Raises ConfigError when the folder belongs to a training that differs, or is not a run folder.
        """
        if self.config_file.is_file() and self.latest() is not None:  # without a checkpoint nothing contradicts it
            differences = training_differences(plain(load_config(self.config_file)), plain(config))
            if differences:
                raise ConfigError(
                    f"{self.folder} holds a run with other values: {_before_and_now(differences)}. "
                    "Choose another folder with --out, use the old values, or remove that folder."
                )
        self._reject_foreign()
        self._write_config(config)

    def show(self, config: ExperimentConfig, training: Self) -> None:
        """Lay out the folder for results of a run that was trained elsewhere: its own config, links to the training.

        Raises ConfigError where a training of its own or something else lies there.
        """
        self._reject_foreign()
        links = [self.folder / name for name in _OF_TRAINING]
        for link in links:
            if link.exists() and not link.is_symlink():
                raise ConfigError(f"{link} belongs to a training of its own. Choose another folder with --out.")
        self._write_config(config)
        for link in links:
            link.unlink(missing_ok=True)
            # Relative, so that both folders can be moved together.
            link.symlink_to(os.path.relpath(training.folder.resolve() / link.name, self.folder.resolve()))

    def shows(self, training: Self) -> bool:
        """True when the checkpoints in the folder are a link to those of the training."""
        link = self.folder / CHECKPOINTS
        return link.is_symlink() and link.resolve() == (training.folder / CHECKPOINTS).resolve()

    def read_config(self, overrides: Sequence[str] = ()) -> ExperimentConfig:
        """The config with `key=value` overrides. Raises ConfigError when the folder is not that of a run."""
        if not self.config_file.is_file():
            fault = f"is not a run folder: it holds no {_CONFIG}"
            if not self.folder.is_dir():
                fault = "is a file, not a run folder" if self.folder.exists() else "does not exist"
            own = f", or weights that come with the project ({', '.join(weights_names())})" if weights_names() else ""
            raise ConfigError(
                f"{self.folder} {fault}. Name a folder such as runs/demo{own}, or train first with `train`"
            )
        return load_config(self.config_file, overrides)

    def evaluation_config(self, overrides: Sequence[str] = ()) -> ExperimentConfig:
        """`read_config`, ConfigError where it changes what only a training reads: it would have no effect."""
        config = self.read_config(overrides)
        differences = retraining_differences(plain(self.read_config()), plain(config))
        if differences:
            raise ConfigError(
                f"These values are read by a training only, and the run is trained: {_before_and_now(differences)}. "
                "Leave them out, or train again under another name."
            )
        return config

    def _reject_foreign(self) -> None:
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; a run needs a folder. Choose another with --out.")
        if folder.is_dir() and any(folder.iterdir()) and not self.config_file.is_file():
            raise ConfigError(
                f"{folder} is not empty and not a run folder (it holds no {_CONFIG}). Choose another with --out."
            )

    def _write_config(self, config: ExperimentConfig) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.config_file, to_yaml(config).encode())

    # ------------------------------------------------------------------ its training

    def latest(self) -> Path | None:
        """Folder of the checkpoint with the most steps, or None."""
        return latest(self.folder)

    def chosen_checkpoint(self, which: Literal["last", "best"]) -> Path | None:
        """Folder of the checkpoint that `evaluate.checkpoint` means, or None where there is none yet."""
        return {"last": latest, "best": best}[which](self.folder)

    def required_checkpoint(self, which: Literal["last", "best"]) -> Path:
        """`chosen_checkpoint`; CheckpointError where there is none yet."""
        checkpoint = self.chosen_checkpoint(which)
        if checkpoint is None:
            command = f"`train {self.config_file} --out {self.folder}`"
            raise CheckpointError(f"{self.folder} holds no checkpoint yet. Train first: {command}")
        return checkpoint

    def log(self, *, step: int, main: bool) -> RunLog:
        """The log of a training that starts after `step` finished steps; only its `main` process writes."""
        return RunLog(self.folder / _METRICS, self.board, step=step, main=main)

    def add_start(self, *, seed: int, step: int, data_changes: Sequence[str] = ()) -> None:
        """Note that a training starts here after `step` finished steps, in which environment, and on changed data."""
        add_start(self.folder / _STARTS, seed=seed, step=step, data_changes=data_changes)

    def starts(self) -> list[dict[str, Any]]:
        """Every start of the training, the last one last."""
        return read_starts(self.folder / _STARTS)

    def copy_training(self, checkpoint: Path, to: Path) -> None:
        """Copy what shows the training, and this checkpoint without its optimiser, into the empty folder `to`."""
        copy_weights(checkpoint, to)
        for name in (_CONFIG, _METRICS, _STARTS):
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, to / name)

    def last_metrics(self) -> tuple[int, float | None]:
        """(last step, J&F in points of the last validation); (0, None) before anything was logged."""
        return last_metrics(self.folder / _METRICS)

    # ------------------------------------------------------------------ its results

    @property
    def results(self) -> EvaluationFiles:
        """The files of the last evaluation, whether there is one or not."""
        folder = self.folder / _RESULTS
        finish_replacement(folder)
        return EvaluationFiles(folder, self.folder)

    @contextmanager
    def new_results(self) -> Iterator[EvaluationFiles]:
        """Files to write, which replace the last evaluation at the end as one unit; nothing changes on an error."""
        with replaced_folder(self.folder / _RESULTS) as aside:
            yield EvaluationFiles(aside, self.folder)

    def evaluated(self, label: str | None = None, results: EvaluationFiles | None = None) -> EvaluatedRun:
        """The last evaluation, or the one in `results`; UserError where it is absent, incomplete or damaged.

        `label` is how tables call the run: by default its folder's name.
        """
        last = (self.starts() or [{}])[-1]
        start = {name: " ".join(map(str, v)) if isinstance(v, list) else v for name, v in last.items()}
        series = read_series(self.folder / _METRICS)
        return (results or self.results).read(label or self.folder.resolve().name, dotted(start), series)

    def is_evaluated(self, config: ExperimentConfig, checkpoint: Path) -> bool:
        """True when the results are whole, and of exactly this config, checkpoint and file of tasks."""
        try:
            return self.evaluated().summary.facts.get("evaluation") == evaluation_of(config, checkpoint)
        except UserError:
            return False

    def log_evaluation(self, step: int, config: ExperimentConfig, summary: Summary) -> None:
        """The scores of the checkpoint of this step for TensorBoard, replacing those of an earlier evaluation."""
        log_evaluation(self.board, step, plain(config), summary)

    def listed(self) -> Iterator[tuple[Path, str]]:
        """What a user may look for in the folder, and what it holds."""
        yield from self.results.listed()
        yield self.folder / _METRICS, "losses and validation"
        yield self.config_file, "the resolved experiment"


def evaluation_of(config: ExperimentConfig, checkpoint: Path) -> dict[str, str]:
    """What results depend on, for the summary: hash of the config, checkpoint, hash of the file of tasks."""
    evaluation = {"config": config_hash(config), "checkpoint": checkpoint.name}
    if config.evaluate.tasks is not None and config.evaluate.tasks.is_file():  # other tasks may lie there by now
        evaluation["tasks"] = file_digest(config.evaluate.tasks)
    return evaluation


def evaluated_runs(folders: Sequence[Path]) -> list[EvaluatedRun]:
    """The runs in the order given. UserError for a folder that is named twice or holds no complete evaluation."""
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder} is named twice; name each run once")
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; name the run folder of an earlier `evaluate` or `run`")
    names = [place.name for place in places]
    return [
        Run(folder).evaluated(name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def _before_and_now(differences: list[Difference]) -> str:
    return "; ".join(f"{key} was {before!r} and is now {now!r}" for key, before, now in differences)
