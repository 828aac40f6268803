"""Files written whole, their digests, and values as error messages show them."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file aside and rename it over `path`, so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """SHA-256 (hex) of a value as canonical JSON, records as their fields: equal for equal values on every machine."""
    text = json.dumps(value, default=asdict, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def shown(value: object) -> str:
    """A value for an error message: its repr, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
