"""What a run writes about itself: metrics.jsonl, TensorBoard events (tb/), meta.json; and the set-up of logging."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.logging import RichHandler
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from fewshot.progress import console
from fewshot.run_folder import write_text

METRICS = "metrics.jsonl"
_META = "meta.json"
_PACKAGES = ("fewshot-rvos", "torch", "torchvision", "timm", "transformers", "accelerate", "numpy", "safetensors")


class RunLog:
    """Metrics of a run that starts, or goes on, after `step` finished steps.

    What an interrupted run wrote about later steps is cut off, so that a resumed run leaves the same metrics as one that
    never stopped. Use as a context manager.
    """

    def __init__(self, run_folder: Path, *, step: int = 0) -> None:
        run_folder.mkdir(parents=True, exist_ok=True)
        path = run_folder / METRICS
        _truncate(path, step)
        self._metrics = open(path, "a", encoding="utf-8")
        self._board = SummaryWriter(str(run_folder / "tb"), purge_step=step + 1 if step else None, flush_secs=30)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def scalars(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One line of metrics.jsonl and one TensorBoard scalar `kind/name` for each value."""
        row = {"step": step, "kind": kind, **{name: float(value) for name, value in values.items()}}
        self._metrics.write(json.dumps(row) + "\n")
        self._metrics.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", float(value), step)

    def image(self, step: int, name: str, picture: Tensor) -> None:
        """A picture (3, H, W) uint8 for TensorBoard."""
        self._board.add_image(name, picture, step)

    def hyperparameters(self, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The run's config (nested plain values) and final scores for TensorBoard's HPARAMS page."""
        flat = {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in _flatten(values)}
        scores = {f"final/{name}": float(value) for name, value in metrics.items()}
        for summary in hparams(flat, scores):  # SummaryWriter.add_hparams would open a second run folder for them
            self._board.file_writer.add_summary(summary)
        for name, value in scores.items():
            self._board.add_scalar(name, value)

    def flush(self) -> None:
        """Everything so far reaches the files."""
        self._metrics.flush()
        self._board.flush()

    def close(self) -> None:
        self._metrics.close()
        self._board.close()


def read_metrics(run_folder: Path) -> list[dict[str, Any]]:
    """All lines of metrics.jsonl; a last line that an interruption cut is left out."""
    path = run_folder / METRICS
    return [row for _, row in _rows(path)] if path.is_file() else []


def write_meta(run_folder: Path, *, seed: int, step: int) -> None:
    """Add this start to meta.json: versions, machine, seed, git commit, command."""
    path = run_folder / _META
    starts = json.loads(path.read_text(encoding="utf-8"))["starts"] if path.is_file() else []
    start = {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "step": step,
        "seed": seed,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": _git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }
    write_text(path, json.dumps({"starts": [*starts, start]}, indent=2) + "\n")


def start_logging(level: int) -> None:
    """Log lines go to stderr: above the progress bar on a terminal, plain with a time anywhere else."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    for name in ("episodes", "models", "fewshot"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


# --------------------------------------------------------------------------- details


def _rows(path: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # a line without its end was being written when the run was killed
            rows.append((line, json.loads(line)))
    return rows


def _truncate(path: Path, step: int) -> None:
    if path.is_file():
        write_text(path, "".join(line for line, row in _rows(path) if row["step"] <= step))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        key = f"{prefix}{name}"
        pairs += _flatten(value, f"{key}.") if isinstance(value, Mapping) else [(key, value)]
    return pairs


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the source, with `+` where files differ from it; None outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
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
