"""Files of published checkpoints: .pth of torch and .safetensors, read as tensors alone and written again."""

import argparse
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from episodes.errors import ConversionError
from episodes.files import write_whole

SUFFIXES = (".pth", ".safetensors")
# What torch's message says about a name that it would have to import or call.
_CODE = re.compile(r"GLOBAL (\S+)|reduce for unrecognized function (\S+)|but got (<class \S+)")


def read_published(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file: that under the key `model`, or the file itself; a leading `module.` goes.

    Nothing in the file is executed. Raises ConversionError where it cannot be read as tensors alone.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: no such file; give the .pth or .safetensors file of a published checkpoint")
    if path.suffix == ".safetensors":
        try:
            content: Any = load_file(path)
        except SafetensorError as error:
            raise ConversionError(f"{path} is not a safetensors file ({error}); download it again") from error
    else:
        content = _read_torch(path)
    state = content.get("model", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state:
        raise ConversionError(
            f"{path} holds no state dict but {_kind(state)}; expected a dict of tensors, alone or as `model`"
        )
    others = [f"{name!r} ({_kind(value)})" for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ConversionError(f"{path}: {len(others)} entries are not tensors: {', '.join(others)}")
    wrapped = all(str(name).startswith("module.") for name in state)
    return {str(name).removeprefix("module.") if wrapped else str(name): value for name, value in state.items()}


def reject_target(path: Path) -> None:
    """ConversionError where `path` exists already or does not end in one of SUFFIXES."""
    if path.suffix not in SUFFIXES:
        raise ConversionError(f"{path}: the file's name must end in {' or '.join(SUFFIXES)}")
    if path.exists():
        raise ConversionError(f"{path} exists already; give another name, or remove it")


def write_published(path: Path, state: Mapping[str, Tensor]) -> None:
    """The state dict as a file: a dict with the key `model` (.pth), or safetensors. Never half written."""
    reject_target(path)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    if path.suffix == ".safetensors":
        write_whole(path, save({name: value.clone() for name, value in tensors.items()}))  # it rejects shared memory
        return
    buffer = io.BytesIO()
    torch.save({"model": tensors}, buffer)
    write_whole(path, buffer.getvalue())


def _read_torch(path: Path) -> Any:
    try:
        # Published checkpoints keep their command line in a Namespace: a plain holder of values, no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch has no error of its own for a file that it did not write
        code = _CODE.search(str(error))
        if code:
            raise ConversionError(_wants_code(path, next(filter(None, code.groups())))) from error
        # torch's own message advises to run the file's code, which does not help here.
        reason = type(error).__name__
        raise ConversionError(
            f"{path} is not a checkpoint that torch.save wrote ({reason}); download it again"
        ) from error


def _wants_code(path: Path, name: str) -> str:
    command = (
        f"import torch; d = torch.load({str(path)!r}, 'cpu', weights_only=False); d = d.get('model', d); "
        "torch.save({k: v for k, v in d.items() if torch.is_tensor(v)}, 'tensors.pth')"
    )
    return (
        f"{path} wants to run code when it is loaded ({name}), and we do not run code from files. If you trust where "
        f'it comes from, keep its tensors alone and convert those; this runs its code: python -c "{command}"'
    )


def _kind(value: object) -> str:
    return "an empty dict" if isinstance(value, Mapping) and not value else type(value).__name__
