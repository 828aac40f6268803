"""Runs jobs in the order that they need each other, a limited number at a time."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal

from fewshot.ablation.jobs import Job
from fewshot.ablation.launch import Launcher, RunningJob
from fewshot.runs.interruption import uninterrupted

log = logging.getLogger(__name__)
State = Literal["waiting", "running", "done", "failed", "blocked"]
_POLL_SECONDS = 0.2


class Schedule:
    """The jobs that are left to do, and the state of all. `blocked`: something that it needs has failed."""

    def __init__(self, jobs: Sequence[Job], *, retry: bool = False) -> None:
        """`jobs`: what is needed stands before what needs it; shared jobs that nobody waits for are left out.

        With `retry`, what failed in an earlier start is tried again.
        """
        self.jobs = list(jobs)
        self.states: dict[str, State] = {job.name: _state(job, retry) for job in jobs}
        self._began: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._block()
        for job in reversed(jobs):
            waited_for = any(job.name in other.needs for other in self.jobs if self.states[other.name] == "waiting")
            if job.verb != "evaluate" and self.states[job.name] == "waiting" and not waited_for:
                self.jobs.remove(job)

    @property
    def failed(self) -> list[Job]:
        return [job for job in self.jobs if self.states[job.name] == "failed"]

    def seconds(self, name: str) -> float:
        """Wall time of a job in this start; 0 if it has not run in it."""
        running = time.monotonic() - self._began[name] if name in self._began else 0.0
        return self._seconds.get(name, running)

    def lay_out(self) -> None:
        """Make the folders of all jobs that are left. Raises ConfigError before anything has run."""
        for job in self.jobs:
            if self.states[job.name] == "waiting":
                job.lay_out()

    def run(self, launcher: Launcher, limit: int, watch: Callable[[], None]) -> None:
        """Run what is left, `limit` jobs at a time; `watch` is called several times a second.

        A failed job is noted and the others go on. Ctrl-C, or any error here, ends the running jobs first.
        """
        running: dict[str, RunningJob] = {}
        try:
            while True:
                with uninterrupted():  # no process is started that nobody knows of
                    self._collect(running)
                    self._start(running, launcher, limit)
                watch()
                if not running:
                    return
                time.sleep(_POLL_SECONDS)
        except BaseException:
            log.info("ending %d running job(s)", len(running))
            _end(running)
            raise

    def _collect(self, running: dict[str, RunningJob]) -> None:
        for job in self.jobs:
            code = running[job.name].poll() if job.name in running else None
            if code is None:
                continue
            del running[job.name]
            self._seconds[job.name] = self.seconds(job.name)
            self.states[job.name] = "failed" if code else "done"
            if code:
                job.record_failure(code)
                log.error("%s failed (exit code %d), %s:\n%s", job.name, code, job.log, job.log_tail())
                self._block()

    def _start(self, running: dict[str, RunningJob], launcher: Launcher, limit: int) -> None:
        # Evaluations first: a finished row tells more than one more training.
        for job in sorted(self.jobs, key=lambda job: job.verb != "evaluate"):
            ready = all(self.states[name] == "done" for name in job.needs)
            if len(running) < limit and ready and self.states[job.name] == "waiting":
                running[job.name] = launcher.start(job)
                self.states[job.name] = "running"
                self._began[job.name] = time.monotonic()

    def _block(self) -> None:
        for job in self.jobs:
            stopped = any(self.states.get(name) in ("failed", "blocked") for name in job.needs)
            if stopped and self.states[job.name] == "waiting":
                self.states[job.name] = "blocked"


def _state(job: Job, retry: bool) -> State:
    if job.is_done():
        return "done"
    if retry:
        job.forget_failure()
    return "failed" if job.has_failed() else "waiting"


def _end(running: dict[str, RunningJob]) -> None:
    for job in running.values():
        job.interrupt()
    try:
        for job in running.values():
            job.wait()
    except KeyboardInterrupt:  # a second Ctrl-C: without saving
        for job in running.values():
            job.interrupt()
        raise
