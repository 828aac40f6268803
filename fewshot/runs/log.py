"""What a run writes about itself: metrics.jsonl, TensorBoard events (tb/), meta.json."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from episodes.files import write_whole
from fewshot.config.document import dotted
from fewshot.results.summary import Summary

METRICS = "metrics.jsonl"
_META = "meta.json"
_BOARD = "tb"
_EVALUATION = "evaluation"
_PACKAGES = ("fewshot-rvos", "torch", "torchvision", "timm", "transformers", "accelerate", "numpy", "safetensors")


class RunLog:
    """Metrics of a training that starts, or goes on, after `step` finished steps. Use as a context manager.

    What an interrupted training wrote about later steps is cut off, so that a resumed one leaves the same metrics as
    one that never stopped. With `main` False (the other processes of one training) nothing is written.
    """

    def __init__(self, run_folder: Path, *, step: int = 0, main: bool = True) -> None:
        self._path = run_folder / METRICS if main else Path(os.devnull)
        self._board: SummaryWriter | None = None
        if main:
            run_folder.mkdir(parents=True, exist_ok=True)
            _truncate(self._path, step)
            if step == 0:
                shutil.rmtree(run_folder / _BOARD, ignore_errors=True)  # of a training that reached no checkpoint
            purge = step + 1 if step else None
            self._board = SummaryWriter(str(run_folder / _BOARD), purge_step=purge, flush_secs=30)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def scalars(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, and one TensorBoard scalar `kind/name` for each value."""
        row = {"step": step, "kind": kind, **{name: float(value) for name, value in values.items()}}
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", float(value), step)

    def image(self, step: int, name: str, picture: Tensor) -> None:
        """A picture (3, H, W) uint8 for TensorBoard; what was logged before it reaches the files too."""
        if self._board is not None:
            self._board.add_image(name, picture, step)
            self._board.flush()

    def hyperparameters(self, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The run's config (nested plain values) and its final scores for TensorBoard's HPARAMS page."""
        if self._board is None:
            return
        _add_hyperparameters(self._board, values, {f"final/{name}": float(value) for name, value in metrics.items()})


def log_evaluation(run_folder: Path, step: int, values: Mapping[str, Any], summary: Summary) -> None:
    """The summary's J, F and J&F for TensorBoard at the checkpoint's step, and beside the config on its HPARAMS page.

    They have a folder of their own in tb/, written anew: TensorBoard keeps the first HPARAMS entry of a folder, which
    is that of the training, and would show the scores of an earlier evaluation beside the new ones.
    """
    folder = run_folder / _BOARD / _EVALUATION
    shutil.rmtree(folder, ignore_errors=True)
    scores: dict[str, float] = {}
    for row in summary.rows:
        name = "/".join(("evaluation", row.scoring, row.method, f"{row.shots}-shot", *filter(None, (row.control,))))
        scores |= {f"{name}/J": row.J, f"{name}/F": row.F, f"{name}/JF": row.JF}
    with SummaryWriter(str(folder)) as board:
        _add_hyperparameters(board, values, scores, step)


def write_meta(run_folder: Path, *, seed: int, step: int) -> None:
    """Add this start to meta.json: versions, machine, seed, git commit, command."""
    path = run_folder / _META
    starts = json.loads(path.read_text(encoding="utf-8"))["starts"] if path.is_file() else []
    start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step,
        "seed": seed,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": _git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }
    write_whole(path, (json.dumps({"starts": [*starts, start]}, indent=2) + "\n").encode())


# --------------------------------------------------------------------------- details


def _truncate(path: Path, step: int) -> None:
    """Keep the lines of the first `step` steps; a line without its end was being written when the run was killed."""
    if path.is_file():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        write_whole(path, "".join(line for line in lines if json.loads(line)["step"] <= step).encode())


def _add_hyperparameters(
    board: SummaryWriter, values: Mapping[str, Any], scores: Mapping[str, float], step: int | None = None
) -> None:
    """Config and scores of one HPARAMS entry; lists and null as text, which is all that TensorBoard shows of them."""
    shown = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in dotted(values).items()}
    writer = board._get_file_writer()
    for summary in hparams(shown, dict(scores)):  # SummaryWriter.add_hparams would open a second run
        writer.add_summary(summary)
    for name, value in scores.items():
        board.add_scalar(name, value, step)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the source, with `+` where files differ from it; None outside a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
