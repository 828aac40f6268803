"""Starting jobs through submitit: as processes of this machine, or as jobs of a Slurm cluster.

Both ways run the same command, which SIGTERM ends after saving and the signal of a Slurm time-out requeues. Four
things are our own, because submitit's local executor has no way to ask for them: the lock that jobs hold (it closes
all files except standard input), their shelter from Ctrl-C (its controller kills a job one second after it), a job's
end (its `cancel` does the same), and the GPUs (it hides all that are not listed by number).
"""

from __future__ import annotations

import logging
import os
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import submitit
from submitit.helpers import Checkpointable, environment_variables

from episodes.errors import UserError
from fewshot.ablation.cells import SlurmConfig
from fewshot.ablation.jobs import Job
from fewshot.runs.interruption import children_shielded

_PROGRAM = "fewshot"  # the module whose command line a job runs
_CODE = str(Path(__file__).resolve().parents[2])
_TIME_OUT = signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]  # Slurm wants the node back
_DEVICES = "CUDA_VISIBLE_DEVICES"
_YEAR = 365 * 24 * 60  # minutes: submitit's local executor wants some limit


class Launcher:
    """Starts jobs on this machine, or with `slurm` on a cluster, all of whose nodes must see `folder` and the cwd.

    `folder` is for submitit's own files. `threads` is for jobs whose config leaves their number open. `lock`: open
    file that each job on this machine keeps open, and with it the lock on it, after this process has ended too.
    """

    def __init__(self, folder: Path, lock: int, *, threads: int, slurm: SlurmConfig | None = None) -> None:
        """Raises UserError where this machine cannot submit to Slurm."""
        if slurm is not None and shutil.which("srun") is None:
            raise UserError(
                "`launcher: slurm`: this machine has no command `srun`. Start the ablation on a machine that has "
                "Slurm's commands, or write `launcher: local`."
            )
        self.folder = folder
        self.lock = lock
        self.threads = threads
        self.slurm = slurm

    def start(self, job: Job) -> RunningJob:
        folder = self.folder / job.name
        shutil.rmtree(folder, ignore_errors=True)  # local job ids are process ids, which come again
        executor = submitit.AutoExecutor(folder, cluster="local" if self.slurm is None else "slurm")
        if self.slurm is None:
            executor.update_parameters(timeout_min=_YEAR)
        else:
            executor.update_parameters(
                name=job.config.name if job.verb == "evaluate" else job.name,
                timeout_min=self.slurm.time,
                cpus_per_task=self.slurm.cpus,
                gpus_per_node=self.slurm.gpus,
                mem_gb=self.slurm.memory,
                slurm_partition=self.slurm.partition,
            )
        command = _Command(_PROGRAM, (sys.argv[0], *job.arguments), job.log.absolute(), os.environ.get(_DEVICES))
        variables = {
            "OMP_NUM_THREADS": job.config.machine.threads or self.threads,
            # The job runs the code of this process, and no folder `models` of the user's hides any of it.
            "PYTHONPATH": os.pathsep.join(filter(None, (_CODE, os.environ.get("PYTHONPATH")))),
            "PYTHONSAFEPATH": 1,
        }
        with environment_variables(**variables), children_shielded(), _standard_input(self.lock):
            return RunningJob(executor.submit(command), job)


class RunningJob:
    """A started job."""

    def __init__(self, submitted: submitit.Job[int], job: Job) -> None:
        self._submitted = submitted
        self._job = job
        self._local = isinstance(submitted, submitit.LocalJob)

    def poll(self) -> int | None:
        """The exit code, or None while it runs. Why there is no exit code is added to the job's log."""
        if not self._submitted.done():
            return None
        if self._local and not self._submitted.paths.result_pickle.exists():  # submitit would wait for it
            self._job.append_log("The process was killed, possibly because it ran out of memory.")
            return 1
        problem = self._submitted.exception()
        if problem is None:
            return self._submitted.result()
        self._job.append_log(f"{type(problem).__name__}: {problem}")
        return 1

    def interrupt(self) -> None:
        """Ask it to save and end, as Ctrl-C does; asked a second time, it ends at once."""
        if self._submitted.done():
            return
        if self._local:
            os.kill(int(self._submitted.job_id), signal.SIGTERM)  # submitit's controller passes it on
        else:
            self._submitted.cancel(check=False)

    def wait(self) -> None:
        """Return when it has ended after `interrupt`. Slurm is not waited for: it can take minutes to report that."""
        while self._local and not self._submitted.done():
            time.sleep(0.1)


@dataclass(frozen=True)
class _Command(Checkpointable):
    """A command line of module `program`, in the process that submitit starts; a requeued job runs it again.

    `argv` begins with the program's name; what it writes is appended to `log`. `devices` is CUDA_VISIBLE_DEVICES of the
    ablation, and of a local job.
    """

    program: str
    argv: tuple[str, ...]
    log: Path
    devices: str | None

    def __call__(self) -> int:
        """Returns the exit code. SIGTERM and a time-out interrupt the command, which saves what it has."""
        self._set_up()
        received: list[int] = []

        def interrupt(number: int, frame: FrameType | None) -> None:
            received.append(number)
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)  # a second one ends the job at once
            handler = signal.getsignal(signal.SIGINT)
            if len(received) == 1 and callable(handler):  # Slurm sends both: the second must not cut off the saving
                handler(signal.SIGINT, frame)

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
        handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, _TIME_OUT)}
        code = 0
        try:
            runpy.run_module(self.program, run_name="__main__")
        except SystemExit as ended:
            code = int(ended.code or 0)
        except (Exception, KeyboardInterrupt):
            traceback.print_exc()
            code = 1
        for number, handler in handlers.items():
            signal.signal(number, handler)
        requeue = handlers[_TIME_OUT]
        if code and _TIME_OUT in received and callable(requeue):
            requeue(_TIME_OUT, None)  # submitit's own; it does not return
        return code

    def _set_up(self) -> None:
        sys.argv = list(self.argv)
        with open(self.log, "ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        logging.getLogger("submitit").setLevel(logging.WARNING)  # the log is the command's
        if submitit.JobEnvironment().cluster == "local":
            os.setsid()  # signals of the terminal are for the ablation alone
            os.environ.pop(_DEVICES, None)
            if self.devices is not None:
                os.environ[_DEVICES] = self.devices


@contextmanager
def _standard_input(file: int) -> Iterator[None]:
    """Processes started inside have the open `file` as standard input: an empty one, as nothing asks a job."""
    own = os.dup(0)
    os.dup2(file, 0)
    try:
        yield
    finally:
        os.dup2(own, 0)
        os.close(own)
