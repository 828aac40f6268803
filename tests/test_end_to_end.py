"""The whole way as a user goes it: commands in a folder of one's own, interrupted, killed and repeated."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fewshot.config.document import parse_document
from fewshot.config.experiment import load_config
from fewshot.config.yaml_text import dump
from fewshot.runs.checkpoint import best, latest, read_state
from fewshot.runs.run import Run
from tests.paths import ROOT
from tests.tiny_runs import TINY_MODEL, assert_same_bits, metrics, stored

DEMO = ROOT / "experiments" / "demo.yaml"
KILLS = int(os.environ.get("FEWSHOT_KILLS", "3"))
STEPS = 30
GLYPHS = {"videos_per_class": 4, "frames": 4, "size": 64}
TINY = {
    "data": {"short_side": 64, "glyphs": GLYPHS},
    "episodes": {"support_frames": 2, "query_frames": 2},
    "model": TINY_MODEL,
    "learner": {"steps": 1},
    "train": {
        "steps": STEPS,
        "batch_episodes": 2,
        "validate_every": STEPS,
        "validation_episodes": 2,
    },
    "evaluate": {
        "seeds": [0],
        "shots": [1, 2],
        "support_videos": 2,
        "support_frames": 2,
        "max_queries_per_class": 2,
    },
    "machine": {"threads": 1, "checkpoint_every": 1000, "log_every": 1, "save_overlays": 2},
}


def overrides():
    return [f"{part}.{key}={json.dumps(value)}" for part, values in TINY.items() for key, value in values.items()]


def start(folder, *arguments):
    command = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
    # A background shell hands down an ignored SIGINT, and the command would ignore it too.
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, timeout=240):
    """(exit code, stdout, stderr)."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder in which the benchmark was written, and `run` was interrupted, repeated, and repeated once more."""
    folder = tmp_path_factory.mktemp("work")
    size = [f"{key}={value}" for key, value in GLYPHS.items()]
    code, out, err = finish(start(folder, "data", "glyphs", "data/glyphs", *size, "--workers", 2))
    assert code == 0, err
    assert "Mini-Ref-Glyphs is in data/glyphs" in out

    process = start(folder, "run", DEMO, *overrides())
    lines = folder / "runs/demo/metrics.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None and not (lines.is_file() and lines.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    first = finish(process)
    assert lines.is_file(), first
    results = [(*first, latest(folder / "runs/demo"), metrics(folder / "runs/demo"))]
    for _ in range(2):
        result = finish(start(folder, "run", DEMO, *overrides()))
        times = {path: path.stat().st_mtime_ns for path in (folder / "runs/demo").rglob("*") if path.is_file()}
        results.append((*result, times))
    return folder, results


def test_ctrl_c_ends_with_a_saved_checkpoint(work):
    code, _, err, saved, logged = work[1][0]
    assert code == 130
    assert "Interrupted. Given again, a training resumes from what is saved" in err
    assert "Traceback" not in err
    assert saved.name == f"step-{logged[-1]['step']:08d}", "every step that was logged is in the checkpoint"
    assert 0 < logged[-1]["step"] < STEPS


def test_the_same_command_goes_on_after_ctrl_c_and_reports_where_everything_lies(work):
    folder, results = work
    code, out, err, _ = results[1]
    assert code == 0, err
    assert "resumed" in err
    assert [row["step"] for row in metrics(folder / "runs/demo") if row["kind"] == "train"] == list(range(1, STEPS + 1))
    results = [f"results/{name}" for name in ("report.md", "summary.json", "records.csv", "tasks.json", "overlays")]
    for name in (*results, "metrics.jsonl", "config.yaml"):
        assert f"runs/demo/{name}" in out
        assert (folder / "runs/demo" / name).exists()
    assert "--logdir runs/demo/tb" in out
    assert "prototype" in out
    assert "cma+finetune" in out


def test_a_repeated_command_reuses_what_exists(work):
    _, results = work
    (_, first, _, before), (code, second, err, after) = results[1:]
    assert code == 0, err
    assert second == first
    changed = {path.name for path, when in after.items() if before.get(path) != when}
    assert changed <= {"config.yaml"}
    assert "step/s" not in err
    assert "evaluating" not in err


def test_the_run_folder_holds_all_that_the_readme_promises(work):
    run = work[0] / "runs/demo"
    checkpoints = [path.name for path in (run / "checkpoints").iterdir()]
    assert f"step-{STEPS:08d}" in checkpoints
    assert read_state(best(run))["score"] is not None
    assert json.loads((run / "meta.json").read_text())["starts"][0]["versions"]["torch"]
    records = Run(run).evaluated().records
    assert {record.row.method for record in records} == {"prototype", "cma", "cma+finetune"}
    assert {record.row.group for record in records} == {1}
    assert len({record.item.category for record in records}) == 12
    rows = json.loads((run / "results" / "summary.json").read_text())["rows"]
    assert {row["control"] for row in rows} == {None, "support_wrong_class", "support_none", "text_wrong_object"}
    assert {row["shots"] for row in rows} == {1, 2}
    pictures = sorted((run / "results" / "overlays").glob("*.png"))
    assert len(pictures) == 2
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
    report = (run / "results" / "report.md").read_text()
    assert "cma+finetune" in report
    assert "overlays/" in report


def test_the_resolved_config_is_an_experiment_that_gives_itself(work):
    stored_config = work[0] / "runs/demo/config.yaml"
    assert load_config(stored_config) == load_config(DEMO, overrides())
    assert "extends" not in parse_document(stored_config.read_text(), "config.yaml").values


def test_tensorboard_shows_losses_rate_validation_and_pictures_without_gaps(work):
    events = EventAccumulator(str(work[0] / "runs/demo/tb"), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()
    wanted = {"train/total", "train/learning_rate", "train/grad_norm", "validation/J", "validation/F", "validation/JF"}
    assert wanted <= set(tags["scalars"])
    assert "validation/episode" in tags["images"]
    assert [event.step for event in events.Scalars("train/total")] == list(range(1, STEPS + 1))
    assert "_hparams_/session_start_info" in events.summary_metadata


# --------------------------------------------------------------------------- kill -9

# One process imports torch, then each training is a fork of it: many tries in little time. A try is a fresh training,
# killed at a random moment after its first checkpoint began (every other one in a save), and the same command again.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
import fewshot.training.trainer
from fewshot.cli import main

experiment, folder, tries, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def training(run):
    child = os.fork()
    if child == 0:
        os._exit(main(["train", str(experiment), "--out", str(run)]))
    return child

def begun(run):
    while not (run / "checkpoints").is_dir():
        time.sleep(0.001)
    return time.monotonic()

def ended(child):
    return os.waitpid(child, 0)[1]

child = training(folder / "undisturbed")
since = begun(folder / "undisturbed")
assert ended(child) == 0
length = time.monotonic() - since
draw = random.Random(seed)
for number in range(tries):
    run = folder / f"killed-{number}"
    child = training(run)
    begun(run)
    if number % 2:  # at any moment
        time.sleep(draw.uniform(0, length))
    else:  # within a save
        wanted, saves = draw.randint(2, 10), set()
        while len(saves) < wanted:
            saves |= {path.name for path in (run / "checkpoints").glob(".writing-*")}
        time.sleep(draw.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    status = ended(child)
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    done = ended(training(run))
    print(number, "killed" if status == signal.SIGKILL else "too late", done, *names, flush=True)
"""


def test_a_training_killed_at_any_moment_ends_with_the_weights_of_one_that_was_not(experiment, tmp_path):
    seed = int.from_bytes(os.urandom(4))
    values = parse_document(experiment.read_text(), "tiny.yaml").values
    values["train"].update(steps=12, validate_every=4)
    experiment.write_text(dump(values))
    command = [sys.executable, "-c", KILLER, str(experiment), str(tmp_path), str(KILLS), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 + 30 * KILLS, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    tries = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert len(tries) == KILLS
    assert "killed" in {words[1] for words in tries}, "every training had ended before it was killed: nothing was tried"
    for number, _ in enumerate(tries):
        run = tmp_path / f"killed-{number}"
        assert metrics(run) == metrics(tmp_path / "undisturbed"), f"seed {seed}, try {number}"
        assert_same_bits(stored(run), stored(tmp_path / "undisturbed"))
        assert not [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]
