"""Jobs started through submitit: its local executor runs what Slurm's would."""

import os
import signal
import subprocess
import time

import pytest

from episodes.errors import UserError
from fewshot.ablation.cells import SlurmConfig
from fewshot.ablation.jobs import Job
from fewshot.ablation.launch import Launcher
from fewshot.config.experiment import load_config
from fewshot.runs.checkpoint import latest, read_state
from tests.tiny_runs import write_experiment

LONG = ("train.steps=100000", "machine.checkpoint_every=100000", "train.validate_every=0")


def test_a_machine_without_slurm_is_named_as_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"srun.*launcher: local"):
        Launcher(tmp_path / "submitit", 0, threads=1, slurm=SlurmConfig())


@pytest.fixture
def start(tmp_path, tiny_set, monkeypatch):
    """Starts a training of the tiny experiment with these overrides; returns the job and what runs."""
    monkeypatch.chdir(tmp_path)

    def submit(*overrides, slurm=None):
        config = load_config(write_experiment(tmp_path / "tiny.yaml", tiny_set), overrides)
        job = Job("training-0", "train", tmp_path / "training-0", config)
        job.lay_out()
        lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            return job, Launcher(tmp_path / "submitit", lock, threads=1, slurm=slurm).start(job)
        finally:
            os.close(lock)

    return submit


def test_slurm_is_asked_for_what_the_ablation_file_says(start, tmp_path, monkeypatch):
    for command in ("sbatch", "srun"):
        (tmp_path / command).write_text("#!/bin/sh\necho Submitted batch job 7\n")
        (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    asked = SlurmConfig(partition="many", time=7, cpus=3, gpus=2, memory=5)
    job, _ = start(slurm=asked)
    lines = (tmp_path / "submitit" / job.name / "7_submission.sh").read_text().splitlines()
    for option in ("partition=many", "time=7", "cpus-per-task=3", "gpus-per-node=2", "mem=5GB", "job-name=training-0"):
        assert f"#SBATCH --{option}" in lines


def wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def exit_code(running):
    wait_for(lambda: running.poll() is not None)
    return running.poll()


def process_of(running):
    """The process that trains: the child of submitit's controller."""
    listed = subprocess.run(["ps", "-o", "pid=,ppid=", "-A"], capture_output=True, text=True, check=True).stdout
    parents = dict(map(int, line.split()) for line in listed.splitlines())
    (own,) = (process for process, parent in parents.items() if parent == int(running._submitted.job_id))
    return own


def test_a_training_ends_with_exit_code_zero_and_its_checkpoint(start):
    job, running = start()
    assert exit_code(running) == 0, job.log_tail()
    assert job.is_done()


def test_a_command_that_fails_gives_its_exit_code_and_its_last_lines(start):
    job, running = start("data.root=nowhere")
    assert exit_code(running) == 2
    assert "nowhere: no such folder" in job.log_tail().splitlines()[-1]


def test_an_interrupted_training_has_saved_a_checkpoint_when_it_has_ended(start):
    job, running = start(*LONG)
    wait_for((job.folder / "metrics.jsonl").is_file)
    running.interrupt()
    running.wait()
    assert latest(job.folder) is not None
    assert not job.is_done()


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Jobs run this program in place of the command line."""

    def write(text):
        (tmp_path / "written.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr("fewshot.ablation.launch._PROGRAM", "written")

    return write


def test_a_second_interruption_ends_a_job_that_is_still_saving(start, program):
    program(
        "import time\n"
        "try:\n    print('training', flush=True); time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('saving', flush=True); time.sleep(600)\n"
    )
    job, running = start()
    wait_for(lambda: job.log_tail().endswith("training"))
    running.interrupt()
    wait_for(lambda: job.log_tail().endswith("saving"))
    assert running.poll() is None
    running.interrupt()
    assert exit_code(running) == 1


def test_a_training_that_slurm_times_out_is_requeued_and_resumes_from_what_it_saved(start):
    job, running = start("train.steps=40", "machine.checkpoint_every=40", "train.validate_every=0")
    wait_for((job.folder / "metrics.jsonl").is_file)
    os.kill(process_of(running), signal.SIGUSR2)
    wait_for(lambda: latest(job.folder) is not None)
    assert 0 < int(read_state(latest(job.folder))["step"]) < 40
    assert exit_code(running) == 0, job.log_tail()
    assert job.is_done()


def test_a_process_that_was_killed_is_reported_with_the_reason(start):
    job, running = start(*LONG)
    wait_for((job.folder / "metrics.jsonl").is_file)
    os.kill(process_of(running), signal.SIGKILL)
    assert exit_code(running) == 1
    assert "killed" in job.log_tail().splitlines()[-1]


def test_a_job_has_its_threads_the_gpus_of_this_process_a_session_of_its_own_and_nothing_to_read(
    start, program, monkeypatch
):
    program(
        "import os, sys\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ.get('CUDA_VISIBLE_DEVICES'), os.getsid(0) == os.getpid(),"
        " repr(sys.stdin.read()), *sys.argv[1:2])\n"
        "os.write(2, b'below Python\\n')\n"
        "raise ValueError('at last')\n"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    job, running = start("machine.threads=0")
    assert exit_code(running) == 1
    lines = job.log.read_text().splitlines()
    assert lines[:2] == ["1 3 True '' train", "below Python"]
    assert lines[-1] == "ValueError: at last"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    exit_code(start("machine.threads=2")[1])
    assert "2 None True '' train" in job.log.read_text()
