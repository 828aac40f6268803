"""Jobs run in order and within a limit; a failure stops only what needs it, Ctrl-C stops all and loses nothing."""

import json
from dataclasses import dataclass, field

import pytest

from fewshot.ablation import schedule as module
from fewshot.ablation.jobs import Job
from fewshot.ablation.schedule import Schedule
from fewshot.config.experiment import load_config


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.0)


@dataclass(frozen=True)
class Marked(Job):
    """Done when its mark exists, which the launcher below makes; features are never known to be."""

    def is_done(self) -> bool:
        return self.verb != "features" and (self.folder / "done").is_file()

    def lay_out(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)


class Run:
    def __init__(self, launcher, job, turns):
        self.launcher, self.job, self.turns = launcher, job, turns

    def poll(self):
        self.turns -= 1
        if self.turns > 0:
            return None
        self.launcher.running.discard(self.job.name)
        code = self.launcher.codes.get(self.job.name, 0)
        if code == 0:
            (self.job.folder / "done").touch()
        return code

    def interrupt(self):
        self.launcher.interrupted.append(self.job.name)

    def wait(self):
        self.launcher.running.discard(self.job.name)


@dataclass
class Script:
    """A launcher whose jobs take three looks and end with the code that is written here."""

    codes: dict = field(default_factory=dict)
    started: list = field(default_factory=list)
    running: set = field(default_factory=set)
    most: int = 0
    interrupted: list = field(default_factory=list)

    def start(self, job):
        self.started.append(job.name)
        self.running.add(job.name)
        self.most = max(self.most, len(self.running))
        job.log.write_text(f"{job.name} begins\nand ends\n")
        return Run(self, job, 3)


@pytest.fixture
def jobs(tmp_path):
    """Features, two trainings, and four cells: a and b share the first training."""
    (tmp_path / "base.yaml").write_text("name: base\ndata: {root: somewhere}\n")
    config = load_config(tmp_path / "base.yaml")

    def job(name, verb, *needs):
        return Marked(name, verb, tmp_path / name, config, needs)

    return [
        job("features-0", "features"),
        job("training-0", "train", "features-0"),
        job("training-1", "train", "features-0"),
        *(job(name, "evaluate", "features-0", "training-0") for name in "ab"),
        *(job(name, "evaluate", "features-0", "training-1") for name in "cd"),
    ]


def run(jobs, launcher, limit=2, *, retry=False, watch=lambda: None):
    schedule = Schedule(jobs, retry=retry)
    schedule.lay_out()
    schedule.run(launcher, limit, watch)
    return schedule


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_every_job_runs_once_after_what_it_needs_and_within_the_limit(jobs, limit):
    launcher = Script()
    schedule = run(jobs, launcher, limit)
    assert sorted(launcher.started) == sorted(job.name for job in jobs)
    assert all(launcher.started.index(need) < launcher.started.index(job.name) for job in jobs for need in job.needs)
    assert launcher.most == limit
    assert set(schedule.states.values()) == {"done"}


def test_a_finished_cell_is_never_run_again_nor_what_only_it_needs(jobs):
    for job in jobs:
        if job.name in "ab":
            job.lay_out()
            (job.folder / "done").touch()
    launcher = Script()
    run(jobs, launcher)
    assert sorted(launcher.started) == ["c", "d", "features-0", "training-1"]
    again = Script()
    assert set(run(jobs, again).states.values()) == {"done", "waiting"}, "shared jobs that nobody needs are left"
    assert again.started == []


def test_a_failure_stops_what_needs_it_and_nothing_else(jobs):
    launcher = Script({"training-0": 2, "c": 1})
    schedule = run(jobs, launcher)
    assert [job.name for job in schedule.failed] == ["training-0", "c"]
    assert {name: schedule.states[name] for name in "abcd"} == {
        **{"a": "blocked", "b": "blocked", "c": "failed", "d": "done"},
    }
    assert schedule.failed[0].log_tail() == "training-0 begins\nand ends"


def test_what_has_failed_is_tried_again_only_when_asked(jobs):
    run(jobs, Script({"training-0": 2, "c": 1}))
    again = Script()
    assert [job.name for job in run(jobs, again).failed] == ["training-0", "c"]
    assert again.started == []
    asked = Script()
    schedule = run(jobs, asked, retry=True)
    assert sorted(asked.started) == ["a", "b", "c", "features-0", "training-0"]
    assert schedule.failed == []
    assert not Schedule(jobs).failed, "the failures are forgotten"


def test_a_failure_counts_only_for_the_config_that_failed(jobs):
    run(jobs, Script({"c": 1}))
    file = next(job.folder for job in jobs if job.name == "c") / "failure.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "config": "of other values"}))
    again = Script()
    run(jobs, again)
    assert "c" in again.started


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_ctrl_c_ends_the_running_jobs_and_the_next_start_goes_on(jobs, error):
    launcher = Script()

    def watch():
        if len(launcher.running) == 2:
            raise error

    with pytest.raises(error):
        run(jobs, launcher, watch=watch)
    assert launcher.interrupted == ["training-0", "training-1"]
    assert not launcher.running, "they were waited for"
    rest = Script()
    schedule = run(jobs, rest)
    assert not schedule.failed, "an interrupted job has not failed"
    assert "training-0" in rest.started


def test_the_display_names_state_step_and_score_of_each_cell(jobs, caplog):
    from fewshot.ablation.display import Display, view

    cell = next(job for job in jobs if job.name == "a")
    cell.lay_out()
    rows = [
        {"step": 10, "kind": "train", "total": 1.0},
        {"step": 20, "kind": "validation", "J": 40, "F": 44, "JF": 42.0},
        {"step": 30, "kind": "train", "total": 0.5},
    ]
    (cell.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4')
    schedule = Schedule(jobs)
    assert view(cell, schedule) == ("a", "waiting", "30/1000", "42.0", "0:00:00")
    schedule.states["features-0"] = "running"
    assert view(cell, schedule)[1] == "preparing"
    schedule.states.update({"features-0": "done", "training-0": "running"})
    with caplog.at_level("INFO", "fewshot"), Display(schedule) as display:
        display()
        schedule.states["training-0"] = "failed"
        schedule.states["a"] = "blocked"
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if line.startswith("a:")] == [
        "a: training, step 30/1000, J&F 42.0, 0:00:00",
        "a: blocked, step 30/1000, J&F 42.0, 0:00:00",
    ]


def test_a_job_folder_is_read_for_its_log_even_where_there_is_none(tmp_path, jobs):
    assert jobs[0].log_tail() == ""
    assert not jobs[0].log.exists()
