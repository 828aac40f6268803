"""The way through submitit, with its local executor in place of Slurm's."""

import sys
import time

import pytest

from episodes.errors import UserError
from fewshot.ablation.config import SlurmConfig
from fewshot.ablation.job import LOG, Job
from fewshot.ablation.submit import SubmititLauncher
from fewshot.config.experiment import load_config
from tests.paths import ROOT
from tests.tiny_runs import write_experiment


def test_a_missing_submitit_is_named_with_the_way_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"submitit.*-m pip install submitit"):
        SubmititLauncher(tmp_path, SlurmConfig())


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is an optional extra")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"srun.*launcher: local"):
        SubmititLauncher(tmp_path / "slurm", SlurmConfig())


@pytest.fixture
def start(tmp_path, tiny_set, monkeypatch):
    """Submits a training of the tiny experiment with these overrides; returns the job and what runs."""
    pytest.importorskip("submitit", reason="submitit is an optional extra")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)

    def submit(*overrides):
        config = load_config(write_experiment(tmp_path / "tiny.yaml", tiny_set), overrides)
        job = Job("training-0", "train", tmp_path / "training-0", config)
        job.lay_out()
        launcher = SubmititLauncher(tmp_path / "slurm", SlurmConfig(partition="any", time=5, gpus=0), cluster="local")
        return job, launcher.start(job)

    return submit


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_submitted_training_ends_as_one_that_was_started_here(start):
    job, running = start()
    wait_for(lambda: running.poll() is not None)
    assert running.poll() == 0, job.log_tail()
    assert job.is_done()


def test_a_command_that_fails_gives_its_exit_code(start):
    job, running = start("data.root=nowhere")
    wait_for(lambda: running.poll() is not None)
    assert running.poll() == 2
    assert "nowhere: no such folder" in job.log_tail()


def test_a_cancelled_training_saves_a_checkpoint(start):
    job, running = start("train.steps=100000", "machine.checkpoint_every=100000", "train.validate_every=0")
    wait_for((job.folder / "metrics.jsonl").is_file)
    running.interrupt()
    running.wait()
    wait_for(lambda: any((job.folder / "checkpoints").glob("step-*")))
    assert not job.is_done()
    assert (job.folder / LOG).is_file()
