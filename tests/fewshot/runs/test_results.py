"""Results of a run are one unit: whole at any moment, and never a mixture of two evaluations."""

import fcntl
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from episodes.errors import UserError
from fewshot.config.experiment import load_config
from fewshot.runs.run import Run, evaluated_runs
from tests.paths import ROOT
from tests.synthetic_runs import curve_points, write_run

KILLS = int(os.environ.get("FEWSHOT_KILLS", "3"))
DATA = ("records.csv", "tasks.json", "adaptation_curve.csv", "overlays/overlays.json")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with every file of data, and a report."""
    return Run(write_run(tmp_path / "run", curve=curve_points()))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("fault", ["of another evaluation", "cut", "absent"])
def test_a_file_that_is_not_of_the_summary_is_named_with_the_way_out(
    run: Run, tmp_path: Path, name: str, fault: str
) -> None:
    other = write_run(tmp_path / "other", shift=0.1, support="b", sentence="other", curve=curve_points(0.1))
    path = run.folder / "results" / name
    content = (other / "results" / name).read_bytes() if fault == "of another evaluation" else path.read_bytes()[:-9]
    path.unlink()
    if fault != "absent":
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        run.evaluated()
    message = str(error.value)
    assert f"{path} is absent, damaged or of another evaluation: its SHA-256 is" in message
    assert message.endswith(f"evaluate the run again: `evaluate {run.folder}`")


def test_a_curve_that_the_summary_does_not_know_is_of_another_evaluation(tmp_path: Path, run: Run) -> None:
    without = Run(write_run(tmp_path / "without"))
    shutil.copy(run.folder / "results/adaptation_curve.csv", without.folder / "results")
    with pytest.raises(UserError, match=r"adaptation_curve\.csv is absent, damaged or of another evaluation"):
        without.evaluated()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "summary.json is damaged"),
        (lambda text: text.replace('"config"', '"was"'), "does not say which config was evaluated"),
        (lambda text: text.replace('"group": 1,\n', ""), "is damaged"),
        (lambda text: text.replace('"sha256"', '"was"'), "the summary's None"),
    ],
    ids=["cut", "no config", "no group", "no hashes"],
)
def test_a_damaged_summary_is_named_with_the_way_out(run: Run, change, words: str) -> None:
    path = run.folder / "results/summary.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match="evaluate the run again") as error:
        run.evaluated()
    assert words in str(error.value)


def test_results_of_the_old_layout_are_rejected_with_the_way_out(run: Run) -> None:
    for path in (run.folder / "results").iterdir():
        path.rename(run.folder / path.name)
    (run.folder / "results").rmdir()
    with pytest.raises(UserError, match=r"run/summary\.json was written by an older version.*evaluate the run again"):
        run.evaluated()


def test_a_run_without_results_and_no_run_at_all_are_rejected_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no summary at .*summary\.json: evaluate the run first: `evaluate"):
        Run(tmp_path / "empty").evaluated()
    with pytest.raises(UserError, match="nowhere is not a folder"):
        evaluated_runs([tmp_path / "nowhere"])


def test_runs_are_called_by_their_folders_unless_two_have_one_name(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("x/a", "y/a", "b")]
    assert [run.label for run in evaluated_runs(runs)] == [str(runs[0]), str(runs[1]), "b"]


@pytest.mark.parametrize("name", [*DATA, "summary.json"])
def test_damaged_results_do_not_count_as_an_evaluation(tmp_path: Path, name: str) -> None:
    (tmp_path / "e.yaml").write_text("name: e\ndata: {root: x}\n")
    config, checkpoint = load_config(tmp_path / "e.yaml"), Path("step-00000010")
    run = Run(write_run(tmp_path / "run", curve=curve_points(), evaluated=config))
    assert run.is_evaluated(config, checkpoint)
    path = run.folder / "results" / name
    path.write_bytes(path.read_bytes()[:-9])
    assert not run.is_evaluated(config, checkpoint)


# --------------------------------------------------------------------------- what is replaced


def test_new_results_leave_nothing_of_the_old_ones(run: Run) -> None:
    (run.folder / "results/overlays/of-another-checkpoint.png").touch()
    with run.new_results() as results:
        (results.folder / "new").touch()
    assert os.listdir(run.folder / "results") == ["new"]
    assert not [name for name in os.listdir(run.folder) if name.startswith(".")]


def test_an_error_while_results_are_written_leaves_the_old_ones(run: Run) -> None:
    before = files(run.folder)

    def fail() -> None:
        with run.new_results() as results:
            (results.folder / "summary.json").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files(run.folder) == before


@pytest.mark.parametrize("name", ["overlays/0.png", "records.csv", "summary.json"])
def test_a_full_disk_leaves_the_old_results_and_nothing_half_written(run: Run, name: str) -> None:
    before = files(run.folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[f"results/{name}"]) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_run(run.folder, shift=0.1, curve=curve_points())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(run.folder) == before


def test_two_processes_that_replace_the_same_results_take_turns(run: Run) -> None:
    folder = os.open(run.folder, os.O_RDONLY)
    try:
        with run.new_results(), pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)


# One process imports what is needed, then each writer is a fork of it, killed at a random moment or at a chosen one.
# All that is written says the number of its evaluation, so that a mixture of two would show.
KILLER = """
import os, random, runpy, shutil, signal, sys, time, traceback
from pathlib import Path
from fewshot.runs.run import Run
written = runpy.run_path("tests/synthetic_runs.py")
curve_points, write_run = written["curve_points"], written["write_run"]

folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def write(number):
    write_run(folder, shift=number / 1000, noise=0.0, support=f"s{number}", sentence=f"q{number}",
              curve=curve_points(number / 1000), config={"number": number}, report=True)

def whole():
    found = Run(folder).evaluated()
    number = found.config["number"]
    row = next(row for row in found.rows if (row.method, row.shots, row.control) == ("cma", 1, None))
    score = found.summary.rows[row].J
    assert abs(score - 60 - number / 10) < 1e-6, number
    assert abs(found.rows[row][0].J - 0.6 - number / 1000) < 1e-9, number
    assert found.tasks.tasks[0].support[0].video == f"s{number}"
    assert abs(found.curve[0].record.F - 0.5 - number / 1000) < 1e-9
    assert found.drawn[0].sentence == f"q{number}" and found.drawn[0].picture.is_file()
    assert f" {score:.1f} |" in (folder / "results/report.md").read_text()
    return number

def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return child

def killed_at(rename, after):
    real, seen = os.rename, []
    def stop(*paths):
        seen.append(paths)
        if len(seen) == rename and after:
            real(*paths)
        if len(seen) == rename:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*paths)
    os.rename = stop

def killed_removing():
    def stop(path, ignore_errors=False):
        if path.name == ".results.old":
            next(path for path in path.rglob("*") if path.is_file()).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    shutil.rmtree = stop

write(0)
number = 1
for prepare, expected in (
    (lambda: killed_at(1, False), 0), (lambda: killed_at(1, True), 1),
    (lambda: killed_at(2, True), 1), (killed_removing, 1),
):
    write(number - 1)
    status = os.waitpid(in_child(lambda: (prepare(), write(number))), 0)[1]
    assert status == signal.SIGKILL, status
    assert whole() == number - 1 + expected
    number += 2

draw = random.Random(seed)
def forever():
    for following in range(number, 10**6):
        write(following)
began = time.monotonic()
write(number)
length = time.monotonic() - began
for _ in range(3 * kills):
    child = in_child(forever)
    time.sleep(draw.uniform(0, 3 * length))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    number = whole() + 1
write(number)
assert whole() == number
assert not [name for name in os.listdir(folder) if name.startswith(".")], os.listdir(folder)
print("whole")
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_results_or_the_new_ones(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    command = [sys.executable, "-c", KILLER, str(tmp_path / "run"), str(KILLS), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "whole\n", f"seed {seed}: {done.stderr[-3000:]}"
