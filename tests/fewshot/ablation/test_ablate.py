"""`ablate` from file to table: at once, in parallel, interrupted, and after a failure."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from PIL import Image

from episodes.errors import ConfigError
from fewshot import cli
from fewshot.ablation.cells import load_ablation
from fewshot.ablation.run import AblationError, _claimed, concurrency
from fewshot.runs.progress import start_logging
from tests.markdown import markdown_rows
from tests.paths import ROOT
from tests.tiny_runs import write_experiment

STUDY = """
name: study
base: tiny.yaml
values: {evaluate.methods: [conditioning], machine.save_overlays: 0, train.validate_every: 0, train.steps: 40}
cells:
  full: {}
  wide_support: {evaluate.support_frames: 3}
  multiplied: {model.fusion: multiply}
"""
RESULTS = ("table.md", "table.csv")


def write_study(folder, data, text=STUDY):
    folder.mkdir(exist_ok=True)
    write_experiment(folder / "tiny.yaml", data)
    (folder / "study.yaml").write_text(text)
    return folder


def start(folder, *arguments):
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    command = [sys.executable, str(ROOT / "run.py"), "ablate", "study.yaml", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, start_new_session=True, **pipes)


def wait_for(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def starts(study):
    """How often each shared training was started, by the first step of each start."""
    files = sorted((study / "runs/ablations/study/shared").glob("training-*/meta.json"))
    return [[begun["step"] for begun in json.loads(file.read_text())["starts"]] for file in files]


class InThisProcess:
    """A launcher without the seconds that a new process needs to import; the interrupted ablation has the real one."""

    def __init__(self, folder, lock, *, threads, slurm):
        pass

    def start(self, job):
        with open(job.log, "a") as log, contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
            code = cli.main(job.arguments)
        start_logging()  # the job's log is closed
        return Ended(code)


@dataclass
class Ended:
    code: int

    def poll(self):
        return self.code


def ablate_here(study, *arguments):
    """(exit code, stdout, stderr) of `ablate`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study)
        patch.setattr("fewshot.ablation.run.Launcher", InThisProcess)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(["ablate", "study.yaml", *arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def one_by_one(tiny_set, tmp_path_factory):
    study = write_study(tmp_path_factory.mktemp("one") / "study", tiny_set)
    return study, ablate_here(study, "--jobs", "1")


@pytest.fixture(scope="module")
def interrupted(one_by_one, tiny_set, tmp_path_factory):
    """The same ablation, two jobs at a time, interrupted when both trainings run, then given again."""
    study = write_study(tmp_path_factory.mktemp("two") / "study", tiny_set)
    process = start(study, "--jobs", "2")
    logged = study / "runs/ablations/study/shared"
    wait_for(lambda: process.poll() is not None or len(list(logged.glob("*/metrics.jsonl"))) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the ablation and all that it started
    first = finish(process)
    return study, first, starts(study), finish(start(study, "--jobs", "2"))


def test_an_ablation_ends_with_one_table_its_numbers_and_a_picture(one_by_one):
    study, (code, out, err) = one_by_one
    assert code == 0, err
    folder = study / "runs/ablations/study"
    assert (folder / "table.md").read_text() in out
    rows = [row[:3] for row in markdown_rows((folder / "table.md").read_text()) if row[1] == "cma"]
    assert rows == [(cell, "cma", k) for cell in ("full", "wide_support", "multiplied") for k in "12"] * 2
    with Image.open(folder / "plot.png") as picture:
        picture.load()
    for cell in ("full", "wide_support", "multiplied"):
        assert (folder / cell / "results" / "report.md").is_file()
        assert re.search(rf"{cell}: done, step 40/40, J&F \d", err)


def test_cells_that_differ_only_in_the_evaluation_share_a_training(one_by_one):
    study, _ = one_by_one
    assert starts(study) == [[0], [0]]
    folder = study / "runs/ablations/study"
    full, wide, multiplied = (
        (folder / cell / "checkpoints").resolve() for cell in ("full", "wide_support", "multiplied")
    )
    assert full == wide != multiplied


def test_an_interrupted_ablation_ends_its_cells_with_saved_checkpoints(interrupted):
    study, (code, _, err), _, _ = interrupted
    assert code == 130, err
    assert "Interrupted. Given again, a training resumes" in err
    assert "Traceback" not in err
    assert not list((study / "runs/ablations/study").rglob("failure.json"))


def test_an_interrupted_parallel_ablation_gives_the_table_of_an_undisturbed_sequential_one(one_by_one, interrupted):
    study, _, before, (code, _, err) = interrupted
    assert code == 0, err
    assert before == [[0], [0]]
    # Each goes on from the step that Ctrl-C saved, unless it was through by then.
    assert all(later[:1] == [0] and all(step > 0 for step in later[1:]) for later in starts(study))
    for name in RESULTS:
        assert (study / "runs/ablations/study" / name).read_text() == (
            one_by_one[0] / "runs/ablations/study" / name
        ).read_text()


def test_a_finished_ablation_runs_nothing_again(interrupted):
    folder = interrupted[0] / "runs/ablations/study"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name in ("log.txt", "summary.json")}
    code, _, err = ablate_here(interrupted[0])
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in before} == before


# --------------------------------------------------------------------------- failure, and what is rejected


def test_of_cells_added_later_only_what_is_missing_runs_and_one_that_fails_is_reported(one_by_one, tmp_path):
    study = shutil.copytree(one_by_one[0], tmp_path / "study", symlinks=True)
    more = "  three: {evaluate.seeds: [1]}\n  hopeless: {learner.scope: nothing}\n"
    (study / "study.yaml").write_text(STUDY + more)
    folder = study / "runs/ablations/study"
    code, _, err = ablate_here(study)
    assert code == 2
    assert starts(study) == [[0], [0]], "both fit a training that is there"
    message = err.splitlines()[-1]
    assert message.startswith("Error: 1 of 5 cells have no result (hopeless)")
    assert "hopeless/log.txt" in message
    assert "the head has no part 'nothing'" in err
    assert "--retry" in message
    rows = markdown_rows((folder / "table.md").read_text())
    assert ("three", "cma", "1") in [row[:3] for row in rows]
    assert "hopeless" not in [row[0] for row in rows]

    before = (folder / "hopeless" / "log.txt").read_text()
    assert ablate_here(study)[0] == 2
    assert (folder / "hopeless" / "log.txt").read_text() == before, "it is not tried again unasked"
    assert ablate_here(study, "--retry")[0] == 2
    assert (folder / "hopeless" / "log.txt").read_text() != before


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("{evaluate.shots: [1, 4]}", ("Cell 'big'", "class 'disc' has 4 video(s), 5 needed", "Lower evaluate.shots")),
        ("{episodes.shots: 4}", ("Cell 'big'", "training video(s)", "Lower episodes.shots")),
        ("{data.root: nowhere}", ("nowhere: no such folder",)),
    ],
)
def test_what_a_benchmark_cannot_supply_is_rejected_before_anything_runs(
    tiny_set, tmp_path, monkeypatch, capsys, cell, words
):
    monkeypatch.chdir(write_study(tmp_path / "study", tiny_set, STUDY + f"  big: {cell}\n"))
    assert cli.main(["ablate", "study.yaml"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert all(word in message for word in words), message
    assert not (tmp_path / "study/runs").exists()


def test_many_cells_need_to_be_allowed(tiny_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_study(tmp_path / "study", tiny_set, STUDY + f"grid: {{seed: {list(range(30))}}}\n"))
    assert cli.main(["ablate", "study.yaml"]) == 2
    assert "90 cells" in capsys.readouterr().err
    assert not (tmp_path / "study/runs").exists()


def test_a_folder_of_other_things_is_not_made_an_ablation(tiny_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(write_study(tmp_path / "study", tiny_set))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("keep")
    assert cli.main(["ablate", "study.yaml", "--out", str(tmp_path / "mine")]) == 2
    assert "mine is not empty and no ablation's folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_two_commands_do_not_work_in_one_folder(tmp_path):
    with _claimed(tmp_path / "study"), pytest.raises(AblationError, match="at work"), _claimed(tmp_path / "study"):
        pass


def test_a_training_that_outlives_its_killed_ablation_keeps_the_folder_claimed(tiny_set, tmp_path):
    study = write_study(tmp_path / "study", tiny_set, STUDY.replace("train.steps: 40", "train.steps: 100000"))
    folder = study / "runs/ablations/study"
    process = start(study, "--jobs", "1")
    wait_for(lambda: list(folder.glob("shared/*/metrics.jsonl")))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (controller,) = (path.name.partition("_")[0] for path in folder.glob("submitit/training-*/*_submitted.pkl"))
    try:
        with pytest.raises(AblationError, match="at work"), _claimed(folder):
            pass
    finally:
        os.kill(int(controller), signal.SIGTERM)
    wait_for(lambda: claimable(folder))
    assert list(folder.glob("shared/*/checkpoints/step-*")), "it saved what it had"
    finish(process)


def claimable(folder):
    try:
        with _claimed(folder):
            return True
    except AblationError:
        return False


def test_cells_run_beside_each_other_as_far_as_cores_and_memory_reach(tiny_set, tmp_path, monkeypatch):
    study = load_ablation(write_study(tmp_path / "study", tiny_set) / "study.yaml", ["machine.threads=2"])
    monkeypatch.setattr("fewshot.ablation.run._cores", lambda: 8)
    assert concurrency(study, jobs=None, memory=100) == 4
    assert concurrency(study, jobs=3, memory=100) == 3
    assert concurrency(study, jobs=None, memory=7) == 2
    for wrong in ({"jobs": 0, "memory": None}, {"jobs": None, "memory": 2.5}):
        with pytest.raises(ConfigError):
            concurrency(study, **wrong)
    monkeypatch.setattr("fewshot.ablation.run._cores", lambda: 1)
    assert concurrency(study, jobs=None, memory=100) == 1
