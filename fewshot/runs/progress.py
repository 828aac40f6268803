"""What a long run shows on stderr: log lines, and progress as a moving bar on a terminal, as lines anywhere else."""

import logging
import time
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)
console = Console(stderr=True)  # shared with the log handler, so that lines and bar do not overwrite each other

_WINDOW_SECONDS = 60.0  # speed is measured over this long, so that one slow validation is soon forgotten
_LINE_SECONDS = 10.0


def start_logging(level: int = logging.INFO) -> None:
    """Log lines of the project go to stderr: above the bar on a terminal, plain with a time anywhere else."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    for name in ("episodes", "models", "fewshot"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


class Progress:
    """Use as a context manager; `update` as often as you like. `total` and `done` count in units of `unit`."""

    def __init__(self, label: str, total: int, *, done: int = 0, unit: str = "step") -> None:
        self.label, self.total, self.unit = label, total, unit
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), done)])
        self._last_line = time.monotonic()
        columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(label, total=total, completed=done, state="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """`done` units are finished; `values` (losses, scores) are shown beside them."""
        now = time.monotonic()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW_SECONDS:
            self._marks.popleft()
        self._bar.start()  # at the first update: there may be nothing to do
        self._bar.update(self._task, completed=done, total=self.total, state=self._state(values))
        if self._bar.disable and (done >= self.total or now - self._last_line >= _LINE_SECONDS):
            self._last_line = now
            log.info("%s %d/%d  %s", self.label, done, self.total, self._state(values))

    def _state(self, values: Mapping[str, float] | None) -> str:
        (start, first), (now, last) = self._marks[0], self._marks[-1]
        parts = [f"{name} {value:.4g}" for name, value in (values or {}).items()]
        if last > first and now > start:
            speed = (last - first) / (now - start)
            left = timedelta(seconds=round((self.total - last) / speed))
            pace = f"{speed:.3g} {self.unit}/s" if speed >= 1 else f"{1 / speed:.3g} s/{self.unit}"
            parts = [pace, f"{left} left", *parts]
        return "  ".join(parts)
