"""A folder replaced as one unit: filled aside, then swapped in by renames.

    PARENT/NAME         the whole folder
           .NAME.new    being filled; whole as soon as .NAME.old is there
           .NAME.old    what is being replaced

A process killed at any moment leaves the old folder or the new one, whole: `finish_replacement` completes a swap that
was cut off between its two renames.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from episodes.files import flush
from fewshot.runs.interruption import uninterrupted


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` at the end; after an error `folder` is as before.

    Processes that replace the same folder take turns.
    """
    new, old = _aside(folder)
    with _turn(folder.parent):
        _finish(folder)
        for leftover in (new, old):
            _remove(leftover)
        new.mkdir()
        try:
            yield new
            for path in (*new.rglob("*"), new):
                flush(path)
            with uninterrupted():
                if folder.exists():
                    os.rename(folder, old)
                os.rename(new, folder)
            flush(folder.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        _remove(old)


def finish_replacement(folder: Path) -> None:
    """Complete a swap that was cut off between its renames. Call it before `folder` is read."""
    if _cut_off(folder):
        with _turn(folder.parent):
            _finish(folder)


def _finish(folder: Path) -> None:
    new, old = _aside(folder)
    if _cut_off(folder):
        os.rename(new if new.exists() else old, folder)


def _cut_off(folder: Path) -> bool:
    return not folder.exists() and _aside(folder)[1].exists()


def _aside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


@contextmanager
def _turn(parent: Path) -> Iterator[None]:
    """Inside, no other process holds the turn of this folder; the kernel ends it with the process."""
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS locks no folders: there, processes must not replace the same folder at once
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
