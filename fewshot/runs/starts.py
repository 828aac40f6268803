"""meta.json: for each start of a training its time, step, seed, command, commit, machine and versions."""

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from episodes.files import write_whole

log = logging.getLogger(__name__)
_PACKAGES = ("fewshot-rvos", "torch", "torchvision", "timm", "transformers", "accelerate", "numpy", "safetensors")


def add_start(path: Path, *, seed: int, step: int, data_changes: Sequence[str] = ()) -> None:
    """Add a start from finished step `step`; `data_changes`: how the benchmark differs from that of the start before.
    A damaged file is kept under another name, and the list starts again."""
    starts = read_starts(path)
    if path.is_file() and not starts:
        kept = path.with_name(f"{path.name}.damaged")
        os.replace(path, kept)
        log.warning("the damaged file is kept as %s", kept)
    installed = {package.name: package.version for package in distributions()}
    start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step,
        "seed": seed,
        "data_changes": list(data_changes),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "git": _git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: installed.get(name) for name in _PACKAGES},
    }
    write_whole(path, (json.dumps({"starts": [*starts, start]}, indent=2) + "\n").encode())


def read_starts(path: Path) -> list[dict[str, Any]]:
    """The starts, the last one last; none without a file, and none with a warning from a damaged one."""
    if not path.is_file():
        return []
    try:
        starts = json.loads(path.read_bytes())["starts"]
        if isinstance(starts, list) and all(isinstance(start, dict) for start in starts):
            return starts
        damage = "its `starts` is not a list of objects"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        damage = f"{type(error).__name__}: {error}"
    log.warning("%s is damaged (%s): its earlier entries are lost", path, damage)
    return []


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
