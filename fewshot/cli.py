"""Command line: reads arguments, calls one function of the project, makes exit codes.

Exit codes: 0 done; 1 `data check` found what would stop training; 2 an error that the user can fix, such as wrong input
or a full disk (one paragraph on stderr); 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from episodes.errors import UserError
from fewshot.arguments import build_parser
from fewshot.commands import data, experiments, runs, weights
from fewshot.runs.interruption import sigterm_interrupts

_HANDLERS = runs.HANDLERS | experiments.HANDLERS | data.HANDLERS | weights.HANDLERS
_REPEAT = "Free some space, then repeat the command: a training resumes, other commands start over."
_DISK_ERRORS = {
    errno.ENOSPC: f"The disk is full. {_REPEAT}",
    errno.EDQUOT: f"The disk quota is used up. {_REPEAT}",
    errno.EFBIG: "A file would grow over the allowed size. Raise the limit (ulimit -f) and try again.",
    errno.EACCES: "Permission denied. Change the permissions, or name another folder.",
    errno.EROFS: "The file system is read-only. Name another folder.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, that of the process unless `arguments` are given; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    options, rest = parser.parse_known_args(arguments)
    if any(text.startswith("-") or "=" not in text for text in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse stops collecting positionals at the first option: `train EXP --out F seed=1` leaves seed=1 over
        options.overrides = [*options.overrides, *rest]
    handler = _HANDLERS[options.command]
    threading.excepthook = _quiet_disk_errors
    try:
        from fewshot.runs.progress import start_logging

        start_logging()
        with sigterm_interrupts():
            return handler(options)
    except UserError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in ("episodes", "models", "fewshot"):
            raise
        return _fail(
            f"The package {error.name} is missing. Install the project with what it requires: `make install` in its "
            "folder (then use .venv/bin/python), or `pip install FOLDER`"
        )
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        place = error.filename or getattr(options, "out", None) or getattr(options, "run", None) or Path.cwd()
        return _fail(f"{place}: {_DISK_ERRORS[error.errno]}")
    except KeyboardInterrupt:
        print(
            "Interrupted. Given again, a training resumes from what is saved; an evaluation starts over.",
            file=sys.stderr,
        )
        return 130


def _quiet_disk_errors(failed: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own; a full disk there is raised again, and reported, in the main one."""
    if not (isinstance(failed.exc_value, OSError) and failed.exc_value.errno in _DISK_ERRORS):
        threading.__excepthook__(failed)


def _fail(message: str) -> int:
    print("Error: " + " ".join(message.split()), file=sys.stderr)
    return 2
