"""An evaluated run as a report names it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from episodes.errors import UserError
from fewshot.config.document import dotted
from fewshot.results.evaluated import read_evaluated
from fewshot.results.records import Record
from fewshot.results.summary import Summary


@dataclass(frozen=True)
class ReportedRun:
    """`label` is how the report calls the run, `config` what was evaluated, by dotted keys; `start` the last start
    that meta.json notes (empty if the file is absent)."""

    folder: Path
    label: str
    config: Mapping[str, Any]
    summary: Summary
    records: tuple[Record, ...]
    start: Mapping[str, Any]

    @property
    def manifest(self) -> str:
        """Hash of the support list."""
        return str(self.summary.facts.get("manifest", "not recorded"))

    @property
    def benchmark(self) -> str | None:
        """Hash of what the benchmark holds that was evaluated; None in a summary that does not say it."""
        found = self.summary.facts.get("benchmark_content")
        return None if found is None else str(found)

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config.get("seed", 0))

    @property
    def fed_forward(self) -> str:
        """What the tables call the model as it was trained, without adaptation."""
        return str(self.config.get("evaluate.label", "cma"))


def read_runs(folders: Sequence[Path]) -> list[ReportedRun]:
    """The runs in the order given. Raises UserError for a folder that is named twice or holds no whole evaluation."""
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UserError(f"{folder} is named twice; name each run once")
        seen.add(folder.resolve())
    names = [folder.resolve().name for folder in folders]
    return [
        _read(folder, name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def _read(folder: Path, label: str) -> ReportedRun:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name the run folder of an earlier `evaluate` or `run`")
    run = read_evaluated(folder)
    start = _last_start(folder / "meta.json")
    return ReportedRun(folder, label, dotted(run.config), run.summary, tuple(run.records), start)


def _last_start(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        start = json.loads(path.read_text(encoding="utf-8"))["starts"][-1]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path} lists no start ({type(error).__name__}); remove it, then report again") from error
    if not isinstance(start, Mapping):
        raise UserError(f"{path}: a start is an object of names and values, found {start!r:.60}; remove the file")
    words = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in start.items()}
    return dotted(words)  # a command is a list of words
