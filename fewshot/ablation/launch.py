"""Starting a job as a process of its own on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fewshot.ablation.job import LOG, Job
from fewshot.runs.interruption import children_interruptible

_PROGRAM = (sys.executable, "-P", "-m", "fewshot")  # -P: a folder `models` of the user's hides none of ours
_CODE = str(Path(__file__).resolve().parents[2])


class Running(Protocol):
    """A started job."""

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""

    def interrupt(self) -> None:
        """Ask it to save and end, as Ctrl-C does."""

    def wait(self) -> None:
        """Return when it has ended after `interrupt`."""

    def kill(self) -> None:
        """End it at once."""


class Launcher(Protocol):
    """Where jobs run."""

    def start(self, job: Job) -> Running: ...


@dataclass(frozen=True)
class Command:
    """The command line with these arguments in `folder`; what it writes is appended to `log`."""

    arguments: tuple[str, ...]
    folder: Path
    log: Path
    threads: int

    def start(self, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """A process in a session of its own: Ctrl-C at the terminal reaches it only through whoever started it."""
        # The job runs the code of this process, wherever that is installed.
        code = os.pathsep.join(filter(None, (_CODE, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": code}
        with open(self.log, "ab") as log, children_interruptible():
            return subprocess.Popen(
                [*_PROGRAM, *self.arguments],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )


def command_of(job: Job, threads: int) -> Command:
    """`threads`: of a job whose config leaves the number open."""
    return Command(job.arguments, Path.cwd(), (job.folder / LOG).absolute(), job.config.machine.threads or threads)


class LocalLauncher:
    """Processes of this machine. Each keeps the file `lock` open, and with it the lock that its ablation holds."""

    def __init__(self, lock: int, threads: int) -> None:
        self.lock = lock
        self.threads = threads

    def start(self, job: Job) -> Running:
        return _LocalProcess(command_of(job, self.threads).start(pass_fds=[self.lock]))


class _LocalProcess:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def poll(self) -> int | None:
        return self.process.poll()

    def interrupt(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def wait(self) -> None:
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
