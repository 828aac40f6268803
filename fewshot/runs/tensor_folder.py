"""Folders of named tensors: safetensors files and one JSON record with their SHA-256, never pickle.

A folder is written aside, flushed to the disk and renamed, so it is seen complete or not at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from episodes.errors import CheckpointError
from episodes.files import flush

TensorFiles = Mapping[str, Mapping[str, Tensor]]  # file name -> tensors by name
_LISTED = 6  # names that a message lists of each kind


@dataclass(frozen=True)
class TensorFolder:
    """One kind of folder.

    kind: what a message calls it; record: name of its JSON file; remedy: what to do about a damaged folder, with
    `{folder}` for its path.
    """

    kind: str
    record: str
    remedy: str
    format: int = 1

    def write(
        self,
        folder: Path,
        files: TensorFiles,
        values: Mapping[str, Any],
        more: Callable[[Path], None] = lambda aside: None,
    ) -> None:
        """Make `folder` of these files and the record of `values`; `more(aside)` may add files of other kinds.

        Raises OSError where writing fails (for example on a full disk) or `folder` holds something; then nothing
        half-written stays.
        """
        aside = folder.with_name(f".writing-{folder.name}")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            aside.mkdir(parents=True)
            hashes = {name: _write(aside / name, save(_detached(tensors))) for name, tensors in files.items()}
            record = {"format": self.format, **values, "sha256": hashes}
            _write(aside / self.record, (json.dumps(record, indent=1) + "\n").encode())
            more(aside)
            for path in (*aside.rglob("*"), aside):
                flush(path)
            os.rename(aside, folder)
            flush(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def holds(self, folder: Path) -> bool:
        """True where `folder` is one of this kind, damaged or not."""
        return (folder / self.record).is_file()

    def read_record(self, folder: Path) -> dict[str, Any]:
        """The values that were written. Raises CheckpointError where the record is absent or damaged."""
        path = folder / self.record
        try:
            record = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder} is not {self.kind}: it holds no {self.record}.") from error
        except ValueError as error:
            raise CheckpointError(f"{path} is damaged ({error}). {self._advice(folder)}") from error
        found = record.get("format") if isinstance(record, dict) else None
        if found != self.format:
            raise CheckpointError(
                f"{path} is of format {found}, and this version reads format {self.format}. {self._advice(folder)}"
            )
        return record

    def read(self, folder: Path, name: str) -> dict[str, Tensor]:
        """The tensors of one file. Raises CheckpointError where it is absent or its SHA-256 is not the record's."""
        path = folder / name
        expected = self.read_record(folder)["sha256"].get(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} is missing. {self._advice(folder)}") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != expected:
            shown = f"its SHA-256 is {digest[:12]}..., {self.record} has {str(expected)[:12]}..."
            raise CheckpointError(f"{path} is damaged: {shown} {self._advice(folder)}")
        try:
            return load(content)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is not a safetensors file ({error}). {self._advice(folder)}") from error

    def _advice(self, folder: Path) -> str:
        return self.remedy.format(folder=folder)


def state_differences(
    stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor], may_lack: Collection[str] = ()
) -> list[str]:
    """What keeps the stored tensors from being the model's state, a phrase for each kind of difference."""
    kinds = {
        "missing": sorted(wanted.keys() - stored.keys() - set(may_lack)),
        "unknown to the model": sorted(stored.keys() - wanted.keys()),
        "of another shape (stored, model)": [
            f"{name} {tuple(stored[name].shape)} {tuple(wanted[name].shape)}"
            for name in sorted(stored.keys() & wanted.keys())
            if stored[name].shape != wanted[name].shape
        ],
    }
    return [
        f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"
        for kind, names in kinds.items()
        if names
    ]


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, which safetensors would reject."""
    plain = torch.contiguous_format
    return {name: tensor.detach().cpu().clone(memory_format=plain) for name, tensor in tensors.items()}


def _write(path: Path, content: bytes) -> str:
    """Write a file; returns its SHA-256."""
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
