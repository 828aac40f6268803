"""Starting a job through submitit: on Slurm, or, to try the same path, as its local executor does."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any, Literal

from episodes.errors import UserError
from fewshot.ablation.config import SlurmConfig
from fewshot.ablation.job import Job
from fewshot.ablation.launch import Command, Running, command_of


class SubmititLauncher:
    """Jobs of a cluster. `folder`, and the working folder, must be seen by all nodes."""

    def __init__(self, folder: Path, config: SlurmConfig, *, cluster: Literal["slurm", "local"] = "slurm") -> None:
        """Raises UserError where submitit is not installed, or this machine cannot submit to Slurm."""
        try:
            import submitit
        except ImportError as error:
            raise UserError(
                "`launcher: slurm` needs the package submitit. "
                f"Install it with: {sys.executable} -m pip install submitit"
            ) from error
        self.config = config
        self.cluster = cluster
        try:
            self.executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        except RuntimeError as error:
            raise UserError(
                f"`launcher: slurm`: {error}. Start the ablation on a machine that has Slurm's commands, "
                "or write `launcher: local`."
            ) from error

    def start(self, job: Job) -> Running:
        asked: dict[str, Any] = {
            "name": job.config.name if job.verb == "evaluate" else job.name,
            "timeout_min": self.config.time,
            "cpus_per_task": self.config.cpus,
            "gpus_per_node": self.config.gpus,
            "mem_gb": self.config.memory,
        }
        if self.config.partition is not None:
            asked["slurm_partition"] = self.config.partition
        self.executor.update_parameters(**asked)
        submitted = self.executor.submit(_Submission(command_of(job, self.config.cpus)))
        return _Submitted(submitted, job, waits=self.cluster == "local")


class _Submission:
    """What runs on the node: the command, and its exit code as the result."""

    def __init__(self, command: Command) -> None:
        self.command = command

    def __call__(self) -> int:
        process = self.command.start()
        try:
            return process.wait()
        except BaseException:  # cancelled, out of time, or preempted: the command saves what it has
            process.send_signal(signal.SIGINT)
            process.wait()
            raise

    def checkpoint(self) -> Any:
        """Called by submitit before a job is requeued: the same command goes on from its last checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Submitted:
    def __init__(self, submitted: Any, job: Job, *, waits: bool) -> None:
        self.submitted = submitted
        self.job = job
        self.waits = waits

    def poll(self) -> int | None:
        if not self.submitted.done():
            return None
        problem = self.submitted.exception()
        if problem is None:
            return int(self.submitted.result())
        self.job.append_log(f"{type(problem).__name__}: {problem}")
        return 1

    def interrupt(self) -> None:
        self.submitted.cancel(check=False)

    def wait(self) -> None:
        """A cancelled Slurm job ends by itself; asking the cluster until it has can take minutes."""
        while self.waits and not self.submitted.done():
            time.sleep(0.1)

    def kill(self) -> None:
        self.interrupt()
