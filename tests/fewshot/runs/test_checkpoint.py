"""Checkpoints: complete or absent, exact, strict, and never in the way of going on."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from episodes.errors import CheckpointError
from fewshot.runs import tensor_folder
from fewshot.runs.checkpoint import best, latest, load_checkpoint, read_state, save_checkpoint
from tests.paths import ROOT


def network(seed=0, width=8):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, 1))


def optimizer_of(model):
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3)


def schedule_of(optimizer):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)


def train(model, optimizer, schedule, first, last):
    for step in range(first, last):
        inputs = torch.linspace(-1, 1, 12).reshape(3, 4) * (1 + step)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        schedule.step()


def save(run, step, model=None, *, score=None, keep=2, extra=None):
    model = model or network()
    return save_checkpoint(
        run,
        step,
        model_state=model.state_dict(),
        optimizer=optimizer_of(model),
        encoders=(),
        extra=extra or {},
        score=score,
        keep=keep,
    )


def steps_in(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = network()
    whole_optimizer = optimizer_of(whole)
    whole_schedule = schedule_of(whole_optimizer)
    train(whole, whole_optimizer, whole_schedule, 0, 12)

    first = network()
    first_optimizer = optimizer_of(first)
    first_schedule = schedule_of(first_optimizer)
    train(first, first_optimizer, first_schedule, 0, 5)
    extra = {"schedule": first_schedule.state_dict(), "note": [1, None, 0.1]}
    folder = save_checkpoint(
        tmp_path,
        5,
        model_state=first.state_dict(),
        optimizer=first_optimizer,
        encoders=(),
        extra=extra,
        score=0.1 + 0.2,
        keep=2,
    )

    second = network(seed=1)
    second_optimizer = optimizer_of(second)
    second_schedule = schedule_of(second_optimizer)
    found = load_checkpoint(folder, model=second, optimizer=second_optimizer)
    assert found == json.loads(json.dumps(extra))
    assert second_optimizer.state_dict()["param_groups"] == first_optimizer.state_dict()["param_groups"]
    second_schedule.load_state_dict(found["schedule"])
    train(second, second_optimizer, second_schedule, 5, 12)

    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert read_state(folder)["score"] == 0.1 + 0.2
    states = whole_optimizer.state_dict()["state"], second_optimizer.state_dict()["state"]
    assert states[0].keys() == states[1].keys()
    for index, entries in states[0].items():
        for key, tensor in entries.items():
            assert torch.equal(tensor, states[1][index][key])


def test_a_checkpoint_holds_safetensors_and_json_only(tmp_path):
    folder = save(tmp_path, 3)
    assert folder == tmp_path / "checkpoints" / "step-00000003"
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]


# --------------------------------------------------------------------------- which are kept


def test_the_newest_and_the_best_are_kept(tmp_path):
    for step, score in enumerate([None, 0.3, 0.9, 0.2, None, 0.4], start=1):
        save(tmp_path, step, score=score, keep=2)
    assert steps_in(tmp_path) == ["step-00000003", "step-00000005", "step-00000006"]
    assert latest(tmp_path) == tmp_path / "checkpoints" / "step-00000006"
    assert best(tmp_path) == tmp_path / "checkpoints" / "step-00000003"


def test_the_best_is_the_latest_where_nothing_was_validated_and_the_later_of_equals(tmp_path):
    assert latest(tmp_path) is None
    assert best(tmp_path) is None
    folders = [save(tmp_path, 1), save(tmp_path, 2)]
    assert best(tmp_path) == folders[-1]
    folders = [save(tmp_path, 3, score=0.5), save(tmp_path, 4, score=0.5)]
    assert best(tmp_path) == folders[-1]


def test_a_step_saved_again_replaces_the_earlier_save(tmp_path):
    save(tmp_path, 7, network(1))
    second = save(tmp_path, 7, network(2), score=0.5, extra={"again": True})
    third = save(tmp_path, 7, network(3))
    assert second.name == "step-00000007.1"
    assert latest(tmp_path) == best(tmp_path) == third
    assert steps_in(tmp_path) == [third.name]


def test_steps_are_ordered_by_number_beyond_eight_digits(tmp_path):
    for step in (99_999_999, 100_000_000):
        save(tmp_path, step)
    assert latest(tmp_path).name == "step-100000000"


def test_leftovers_of_an_interrupted_save_are_ignored_and_cleared_by_the_next(tmp_path):
    save(tmp_path, 1)
    for name in (".writing-step-00000002", ".removing-step-00000000"):
        (tmp_path / "checkpoints" / name).mkdir()
        (tmp_path / "checkpoints" / name / "model.safetensors").write_bytes(b"half")
    assert latest(tmp_path).name == "step-00000001"
    save(tmp_path, 2)
    assert steps_in(tmp_path) == ["step-00000001", "step-00000002"]


# --------------------------------------------------------------------------- rejections


def test_another_architecture_is_rejected_with_its_differences_and_nothing_changes(tmp_path):
    folder = save(tmp_path, 1, network(width=8))
    wanted = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 1, bias=False), nn.Linear(1, 1))
    before = {name: tensor.clone() for name, tensor in wanted.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, model=wanted)
    message = str(caught.value)
    assert "another architecture" in message
    assert "2 missing: 4.bias, 4.weight" in message
    assert "1 unknown to the model: 3.bias" in message
    assert "0.weight (8, 4) (6, 4)" in message
    assert all(torch.equal(tensor, wanted.state_dict()[name]) for name, tensor in before.items())


def test_another_optimiser_is_rejected_before_the_model_changes(tmp_path):
    folder = save(tmp_path, 1, network(1))
    model = network(2)
    before = model[0].weight.clone()
    with pytest.raises(CheckpointError, match=r"does not fit this training.*number of parameter groups"):
        load_checkpoint(folder, model=model, optimizer=torch.optim.AdamW(model.parameters()))
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["remove", "cut", "flip", "empty"])
def test_a_damaged_checkpoint_is_rejected_by_file(tmp_path, name, harm):
    model = network()
    optimizer = optimizer_of(model)
    train(model, optimizer, schedule_of(optimizer), 0, 1)
    path = (
        save_checkpoint(
            tmp_path, 1, model_state=model.state_dict(), optimizer=optimizer, encoders=(), extra={}, score=None, keep=1
        )
        / name
    )
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    elif name == "state.json":
        path.write_bytes(content.replace(b'"format": 1', b'"format": 9'))
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load_checkpoint(path.parent, model=model, optimizer=optimizer)


# --------------------------------------------------------------------------- a full disk, a killed process


@pytest.mark.parametrize("failing", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_full_disk_leaves_older_checkpoints_and_no_leftovers(tmp_path, monkeypatch, failing):
    for step in (1, 2):
        save(tmp_path, step)
    write = tensor_folder._write

    def write_until_full(path, content):
        if path.name == failing:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    monkeypatch.setattr(tensor_folder, "_write", write_until_full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 3)
    assert steps_in(tmp_path) == ["step-00000001", "step-00000002"]
    load_checkpoint(latest(tmp_path), model=network(5))


def test_a_real_limit_on_file_size_leaves_older_checkpoints(tmp_path):
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            save(tmp_path, 2, network(width=4000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert steps_in(tmp_path) == ["step-00000001"]


# Waits for lines `run step`; for each, a forked child saves one checkpoint after the other until it is killed.
_SAVER = """
import os, sys, torch
from pathlib import Path
from fewshot.runs.checkpoint import save_checkpoint

def save_forever(run, step):
    parameter = torch.nn.Parameter(torch.zeros(1_500_000))
    optimizer = torch.optim.AdamW([parameter])
    print("pid", os.getpid(), flush=True)
    while True:
        step += 1
        with torch.no_grad():
            parameter.fill_(step)
        optimizer.state[parameter] = {"step": torch.tensor(float(step)), "exp_avg": torch.full_like(parameter, step)}
        save_checkpoint(run, step, model_state={"weight": parameter}, optimizer=optimizer, encoders=(),
                        extra={"step": step}, score=float(step % 3), keep=2)
        print("saved", step, flush=True)

torch.set_num_threads(1)
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # its first use imports for seconds: not in each child
for line in sys.stdin:
    run, step = line.rsplit(None, 1)
    child = os.fork()
    if child == 0:
        save_forever(Path(run), int(step))
    os.waitpid(child, 0)
    print("dead 0", flush=True)
"""


def test_kill_9_at_any_moment_of_a_save_leaves_a_run_that_resumes(tmp_path):
    chance = random.Random(0)
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(1_500_000))
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(
        tmp_path,
        0,
        model_state=model.state_dict(),
        optimizer=optimizer,
        encoders=(),
        extra={"step": 0},
        score=None,
        keep=2,
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    step = leftovers = 0
    with subprocess.Popen([sys.executable, "-c", _SAVER], cwd=ROOT, env=environment, **pipes) as saver:
        for _ in range(20):
            saver.stdin.write(f"{tmp_path} {step}\n")
            pid = int(saver.stdout.readline().removeprefix("pid "))
            time.sleep(chance.uniform(0.0, 0.15))
            os.kill(pid, signal.SIGKILL)
            words = [saver.stdout.readline().split()]
            while words[-1][0] != "dead":
                words.append(saver.stdout.readline().split())
            reported = [int(number) for word, number in words if word == "saved"]
            leftovers += any(path.name.startswith(".") for path in (tmp_path / "checkpoints").iterdir())

            extra = load_checkpoint(latest(tmp_path), model=model, optimizer=optimizer)
            assert extra["step"] >= max([step, *reported])
            assert bool((model.weight == extra["step"]).all())
            if extra["step"]:
                assert bool((optimizer.state[model.weight]["exp_avg"] == extra["step"]).all())
            load_checkpoint(best(tmp_path), model=model, optimizer=optimizer)
            step = extra["step"]
        saver.stdin.close()
    assert step > 0
    assert leftovers > 0, "no kill fell into a save, so nothing was tried"
