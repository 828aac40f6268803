"""An ablation from its cells to its table: check, prepare, run what is missing, collect."""

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from episodes.errors import ConfigError, SamplingError, UserError
from episodes.files import write_whole
from fewshot.ablation.cells import Ablation, Cell
from fewshot.ablation.display import Display
from fewshot.ablation.jobs import plan_jobs
from fewshot.ablation.launch import Launcher
from fewshot.ablation.plot import draw_plot
from fewshot.ablation.schedule import Schedule
from fewshot.ablation.table import table_rows, write_csv, write_markdown
from fewshot.config.experiment import to_yaml
from fewshot.evaluation.tasks import open_evaluation_set
from fewshot.runs.benchmarks import Benchmarks
from fewshot.runs.build import open_benchmarks
from fewshot.runs.origin import training_origin
from fewshot.runs.run import Run
from fewshot.training.trainer import build_samplers

log = logging.getLogger(__name__)
_MARK = "ablation.yaml"  # says that a folder is an ablation's
_LOCK = ".lock"
_GIGABYTE = 1 << 30


class AblationError(UserError):
    """Cells of an ablation failed, or another process works on it."""


def run_ablation(
    ablation: Ablation, folder: Path, *, jobs: int | None = None, memory: float | None = None, retry: bool = False
) -> str:
    """Train and evaluate what is missing; returns the text of table.md. The benchmarks must have been written.

    At most `jobs` commands run at a time, and no more than fit `memory` GB at the file's `memory_gb` each. Raises
    SamplingError before anything runs if a benchmark cannot supply a cell, AblationError if cells failed: the
    table then has the others.
    """
    limit = concurrency(ablation, jobs=jobs, memory=memory)
    contents = check_tasks(ablation.cells)
    with _claimed(folder) as lock:
        plan = plan_jobs(ablation.cells, folder, contents)
        schedule = Schedule(plan, retry=retry)
        slurm = ablation.config.slurm if ablation.config.launcher == "slurm" else None
        threads = max(1, _cores() // limit) if slurm is None else slurm.cpus
        launcher = Launcher(folder / "submitit", lock, threads=threads, slurm=slurm)
        write_whole(folder / _MARK, to_yaml(ablation.config).encode())
        schedule.lay_out()
        log.info("%d cells in %s, %d job(s) at a time", len(ablation.cells), folder, limit)
        with Display(schedule) as display:
            schedule.run(launcher, limit, display)
        text = collect(ablation, schedule, folder)
    if schedule.failed:
        missing = [cell.label for cell in ablation.cells if schedule.states[cell.label] != "done"]
        logs = ", ".join(str(job.log) for job in schedule.failed)
        raise AblationError(
            f"{len(missing)} of {len(ablation.cells)} cells have no result ({', '.join(missing)}); "
            f"{folder / 'table.md'} has the others. "
            f"See {logs}. Fix the cause, then give the same command with --retry."
        )
    return text


def concurrency(ablation: Ablation, *, jobs: int | None, memory: float | None) -> int:
    """How many jobs run at a time. By default as many as the machine has cores for; on Slurm all.

    Raises ConfigError if `jobs` or `memory` allow none.
    """
    needed = ablation.config.memory_gb
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs {jobs}: give at least 1.")
    if memory is not None and memory < needed:
        raise ConfigError(f"--memory {memory:g}: one cell needs {needed:g} GB (`memory_gb` of the ablation file).")
    if ablation.config.launcher == "slurm":
        return jobs or len(ablation.cells)
    cores = _cores()
    threads = max(cell.config.machine.threads or cores for cell in ablation.cells)
    if memory is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIGABYTE
    return max(1, min(jobs or cores // threads, int(memory / needed)))


def check_tasks(cells: Sequence[Cell]) -> dict[tuple[Path, ...], str]:
    """Draw the training episodes' classes and the evaluation tasks of every cell; SamplingError naming the cell.

    Returns the hash of what the benchmarks of each cell hold, by their roots.
    """
    opened: dict[tuple[Path, ...], Benchmarks] = {}
    for cell in cells:
        config = cell.config
        if config.data.roots not in opened:
            opened[config.data.roots] = open_benchmarks(config)
        data = opened[config.data.roots]
        try:
            for split in ("train", "val") if config.train.validate_every else ("train",):
                build_samplers(config, data, split)
            open_evaluation_set(config, training_origin(config, data, None))
        except SamplingError as error:
            raise SamplingError(f"Cell {cell.label!r}: {error}") from error
    return {roots: data.content.hash for roots, data in opened.items()}


def collect(ablation: Ablation, schedule: Schedule, folder: Path) -> str:
    """Write table.md, table.csv and plot.png of the cells that are done; returns the text of table.md."""
    cells = [job for job in schedule.jobs if job.verb == "evaluate" and schedule.states[job.name] == "done"]
    done = {job.name: Run(job.folder).evaluated() for job in cells}
    rows = table_rows(done, ablation.cells)
    drawn = bool(rows) and draw_plot(rows, folder / "plot.png")
    write_csv(folder / "table.csv", rows)
    first = ablation.cells[0].label
    return write_markdown(folder / "table.md", ablation.config.name, rows, first, plot=drawn)


@contextmanager
def _claimed(folder: Path) -> Iterator[int]:
    """Reserves `folder`, made if absent, for this process and those that it starts; yields the lock's file descriptor.

    The lock is held until the last of them has ended: the jobs of a killed ablation are not started a second time.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names - {_LOCK} and _MARK not in names:
        raise ConfigError(f"{folder} is not empty and no ablation's folder (no {_MARK}). Choose another with --out.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; an ablation needs a folder. Choose another with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AblationError(
                f"{folder}: another `ablate`, or a job that it started, is at work here. Wait until it has ended, "
                "or end it."
            ) from error
        yield lock
    finally:
        os.close(lock)


def _cores() -> int:
    return len(os.sched_getaffinity(0))
