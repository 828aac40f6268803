"""What a running ablation shows on stderr: a table of its cells on a terminal, lines anywhere else."""

import logging
import time
from datetime import timedelta
from typing import Self

from rich.live import Live
from rich.table import Table

from fewshot.ablation.jobs import Job
from fewshot.ablation.schedule import Schedule
from fewshot.runs.progress import console
from fewshot.runs.run import Run

log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0  # between two looks at the files of running jobs
_LINE_SECONDS = 60.0  # between two lines that say how far running cells are
HEAD = ("cell", "state", "step", "J&F so far", "time")
_ACTIVITIES = {"features": "preparing", "train": "training", "evaluate": "evaluating"}  # of a running job, by its verb


def view(job: Job, schedule: Schedule) -> tuple[str, ...]:
    """The cells below HEAD of an evaluation: where it is, with the training that it may share with others. The score is
    J&F in points, of the last validation while training, of the table's first row when done."""
    state: str = schedule.states[job.name]
    if state in ("waiting", "running"):
        own = [other for other in schedule.jobs if other.name in (*job.needs, job.name)]
        running = [_ACTIVITIES[other.verb] for other in own if schedule.states[other.name] == "running"]
        state = running[0] if running else state
    run = Run(job.folder)
    step, score = run.last_metrics()
    if state == "done":
        score = next(iter(run.results.read_summary().rows.values())).JF
    seconds = round(sum(schedule.seconds(name) for name in (job.name, *job.needs)))
    shown = "-" if score is None else f"{score:.1f}"
    done = f"{step}/{job.config.train.steps}" if job.config.train.steps else "-"
    return job.name, state, done, shown, str(timedelta(seconds=seconds))


class Display:
    """Use as a context manager; call it as often as you like."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.evaluations = [job for job in schedule.jobs if job.verb == "evaluate"]
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last_look = self._last_line = time.monotonic() - _LOOK_SECONDS
        self._states: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show(time.monotonic())
        if self._live is not None:
            self._live.stop()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last_look >= _LOOK_SECONDS:
            self._show(now)

    def _show(self, now: float) -> None:
        self._last_look = now
        views = [view(job, self.schedule) for job in self.evaluations]
        if self._live is not None:
            table = Table(*HEAD, box=None, pad_edge=False)
            for cells in views:
                table.add_row(*cells)
            self._live.update(table, refresh=True)
            return
        periodic = now - self._last_line >= _LINE_SECONDS
        for label, state, *further in views:
            if self._states.get(label) != state or (periodic and state in _ACTIVITIES.values()):
                log.info("%s: %s, step %s, J&F %s, %s", label, state, *further)
                self._last_line = now
            self._states[label] = state
