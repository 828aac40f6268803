"""The command line: fast help, one function behind each command, exit codes, one paragraph for what a user can mend."""

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from episodes.errors import CheckpointError, ReadError
from fewshot import __version__, cli
from fewshot.arguments import PROGRAM
from fewshot.config.experiment import load_config
from fewshot.runs.run import Run
from tests.paths import ROOT

COMMANDS = (
    *(("run",), ("train",), ("evaluate",), ("ablate",), ("features",), ("compare",), ("groups",), ("report",)),
    *(("convert",), ("export",), ("pack",)),
    *(("data", "glyphs"), ("data", "compose"), ("data", "cutouts"), ("data", "mosaic"), ("data", "check")),
    *(("episodes",), ("config",)),
)
TINY = ("size=48", "frames=2", "videos_per_class=2")


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """A working folder with an experiment `small.yaml` whose data is not there, and a part of one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part.yaml").write_text("learner: {name: conditioning}\n")
    (tmp_path / "small.yaml").write_text("name: small\ndata: {root: absent}\n")
    return "small.yaml"


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def help_of(capsys, *command):
    with pytest.raises(SystemExit) as ended:
        call(*command, "--help")
    assert ended.value.code == 0
    return capsys.readouterr().out


# --------------------------------------------------------------------------- help


def test_help_imports_nothing_that_takes_time():
    command = [sys.executable, "-X", "importtime", "run.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fewshot.cli" in imported
    assert not imported & {"torch", "numpy", "pydantic", "yaml", "rich", "matplotlib"}
    assert all(command[0] in done.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    ("called", "program"),
    [
        ((ROOT / "run.py",), f"python {ROOT / 'run.py'}"),
        (("-m", "fewshot"), "python -m fewshot"),
        (("bin/fewshot-rvos",), "fewshot-rvos"),
    ],
    ids=["run.py", "module", "console script"],
)
def test_help_and_errors_name_the_program_as_it_was_called(called, program, tmp_path):
    (tmp_path / "bin").mkdir()
    script = "import sys\nfrom fewshot.cli import main\nsys.exit(main())\n"  # as pip writes it
    (tmp_path / "bin" / "fewshot-rvos").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ask = [sys.executable, *map(str, called)]
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False}
    shown = subprocess.run([*ask, "train", "--help"], **options).stdout
    assert shown.startswith(f"usage: {program} train ")
    assert f"example:\n  {program} train experiments/demo.yaml" in shown
    rejected = subprocess.run([*ask, "train", "--no"], **options)
    assert rejected.returncode == 2
    assert rejected.stderr.endswith(f"See: {program} train --help\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_an_example_that_its_own_parser_takes(capsys, command):
    text = help_of(capsys, *command)
    example = text.split(f"example:\n  {PROGRAM} ")[1].splitlines()[0]
    words = shlex.split(example)
    assert tuple(words[: len(command)]) == command
    assert cli.build_parser().parse_args(words).command == " ".join(command)


def test_a_part_that_is_initialised_again_takes_no_override_along():
    words = ["convert", "a.pth", "out", "--reinitialise", "decoder", "--reinitialise", "fpn", "seed=1"]
    options, rest = cli.build_parser().parse_known_args(words)
    assert (options.reinitialise, options.overrides + rest) == (["decoder", "fpn"], ["seed=1"])


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        call("--version")
    assert capsys.readouterr().out == f"fewshot-rvos {__version__}\n"


def test_every_command_has_a_handler_and_every_handler_a_command():
    assert set(cli._HANDLERS) == {" ".join(command) for command in COMMANDS}


@pytest.mark.parametrize(
    "words", [[], ["nothing"], ["data"], ["train"], ["config", "x.yaml", "seed"], ["config", "a", "--no"]]
)
def test_a_wrong_command_line_ends_with_exit_code_2(words, capsys, experiment):
    try:
        code = call(*words)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("episodes", "small.yaml", "--count", "0"), ("episodes", "small.yaml", "--show", "-2")], ids=" ".join
)
def test_numbers_of_things_are_at_least_1(experiment, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        call(*words)
    assert "is not at least 1" in capsys.readouterr().err


def test_a_list_with_a_wrong_item_has_one_fault(experiment, capsys):
    assert call("config", experiment, "evaluate.shots=[100]") == 2
    assert "has 1 error" in capsys.readouterr().err


def test_a_missing_package_leads_to_the_installation(experiment, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fewshot.config.experiment", None)
    with pytest.raises(ModuleNotFoundError):
        call("config", experiment)
    monkeypatch.delitem(sys.modules, "fewshot.config.experiment")
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert call("config", experiment) == 2
    assert "The package pydantic is missing. Install the project" in capsys.readouterr().err


def test_what_only_a_training_reads_is_rejected_in_an_evaluation(experiment, capsys):
    Run(Path("run")).open(load_config(experiment))
    assert call("evaluate", "run", "train.learning_rate=0.5", "seed=3") == 2
    message = capsys.readouterr().err
    assert "train.learning_rate was 0.001 and is now 0.5" in message
    assert "seed was 0 and is now 3" in message


def test_without_a_command_all_commands_are_listed(capsys):
    assert call() == 2
    shown = capsys.readouterr().err
    assert all(command[0] in shown for command in COMMANDS)


# --------------------------------------------------------------------------- config


def test_config_prints_an_experiment_that_resolves_to_itself(experiment, capsys):
    assert call("config", experiment, "seed=3", "train.learning_rate=1e-5") == 0
    text = capsys.readouterr().out
    Path("again.yaml").write_text(text)
    assert call("config", "again.yaml") == 0
    assert capsys.readouterr().out == text
    assert load_config("again.yaml").seed == 3


def test_overrides_may_stand_behind_options(experiment, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "fewshot.training.trainer.train", lambda config, folder, **_: seen.append((config.seed, folder)) or folder
    )
    assert call("train", experiment, "--out", "there", "seed=4") == 0
    assert call("train", experiment, "seed=5") == 0
    assert seen == [(4, Path("there")), (5, Path("runs/small"))]


def test_the_resolved_config_is_kept_in_the_run_folder_and_can_be_trained_again(experiment, monkeypatch):
    monkeypatch.setattr("fewshot.training.trainer.train", lambda config, folder, **_: folder)
    assert call("train", experiment, "seed=4") == 0
    assert call("train", "runs/small/config.yaml") == 0
    assert load_config("runs/small/config.yaml") == load_config(experiment, ["seed=4"])


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("config", "none.yaml"), ("Cannot read", "none.yaml")),
        (("config", "small.yaml", "train.stepz=1"), ("'train.stepz'", "'train.steps'")),
        (("train", "small.yaml", "train.steps=-1"), ("train.steps",)),
        (
            ("config", "small.yaml", "trian.steps=1"),
            ("(with overrides)", "override 'trian.steps=1'", "'train'"),
        ),
        (("config", "small.yaml", "evaluate.shots=1"), ("expected a list, such as [1]",)),
        (("config", "small.yaml", "data.group=5"), ("at least 1, at most 4",)),
        (("ablate", "small.yaml"), ("small.yaml is an experiment", "`run small.yaml`")),
        (("evaluate", "nowhere"), ("nowhere does not exist",)),
        (("evaluate", "."), ("is not a run folder",)),
        (("evaluate", "small.yaml"), ("small.yaml is a file, not a run folder",)),
        (("config", "small.yaml", "evaluate.support_videos=1"), ("evaluate (override 'evaluate.support_videos=1')",)),
        (("config", "part.yaml"), ("part.yaml has no key `name`", "`extends`")),
        (("data", "glyphs", "out", "sede=1"), ("'sede'", "'seed'")),
        (("data", "glyphs", "small.yaml"), ("small.yaml",)),
        (("data", "check", "nowhere"), ("nowhere",)),
        (("episodes", "small.yaml"), ("absent",)),
        (("train", "small.yaml", "--out", "small.yaml"), ("small.yaml is a file",)),
    ],
)
def test_what_a_user_can_mend_is_one_paragraph_with_exit_code_2_and_leaves_nothing(experiment, capsys, words, expected):
    before = sorted(Path().rglob("*"))
    assert call(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert all(word in captured.err for word in expected)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ReadError("picture a.jpg is cut off\n  remove it"), 2, "Error: picture a.jpg is cut off remove it"),
        (CheckpointError("of another architecture"), 2, "Error: of another architecture"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), 2, "Error: runs/x: The disk is full."),
        (OSError(errno.EFBIG, "File too large"), 2, "Error: runs/small: A file would grow"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/y"), 2, "Error: runs/y: Permission denied"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_an_error_in_training_becomes_its_exit_code(experiment, monkeypatch, capsys, error, code, words):
    def fail(config, folder, **_):
        raise error

    monkeypatch.setattr("fewshot.training.trainer.train", fail)
    assert call("train", experiment) == code
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message


def test_a_mistake_of_ours_is_not_hidden(experiment, monkeypatch):
    def fail(config, folder, **_):
        raise ZeroDivisionError

    monkeypatch.setattr("fewshot.training.trainer.train", fail)
    with pytest.raises(ZeroDivisionError):
        call("train", experiment)


def test_missing_data_names_the_folder(experiment, capsys):
    assert call("train", experiment) == 2
    assert "absent" in capsys.readouterr().err


# --------------------------------------------------------------------------- data and episodes


def test_the_benchmark_is_written_checked_and_sampled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("data", "glyphs", "data/tiny", "--workers", 1, *TINY, "videos_per_class=4") == 0
    assert call("data", "check", "data/tiny") == 0
    capsys.readouterr()
    assert call("data", "check", "data/tiny", "--json") == 0
    json.loads(capsys.readouterr().out)

    (tmp_path / "e.yaml").write_text(
        "name: e\ndata: {root: data/tiny}\nepisodes: {support_frames: 2, query_frames: 2}\n"
    )
    assert call("episodes", "e.yaml", "--count", 20, "--show", 2) == 0
    first = capsys.readouterr().out.splitlines()
    assert call("episodes", "e.yaml", "--count", 20, "--show", 2) == 0
    assert capsys.readouterr().out.splitlines() == first
    assert len(first) == 3
    assert json.loads(first[0])["index"] == 0
    assert first[-1].startswith("train: 20 episodes, manifest sha256 ")
    assert call("episodes", "e.yaml", "--split", "val", "--count", 20) == 0
    assert call("episodes", "e.yaml", "episodes.shots=4") == 2


def test_data_check_ends_with_1_when_something_would_stop_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("data", "glyphs", "tiny", "--workers", 1, *TINY) == 0
    next((tmp_path / "tiny" / "train" / "JPEGImages").rglob("*.jpg")).write_bytes(b"no picture")
    assert call("data", "check", "tiny") == 1
    assert ".jpg" in capsys.readouterr().out


# --------------------------------------------------------------------------- run folders


def test_a_run_folder_is_taken_up_by_the_same_training_only(experiment, monkeypatch, capsys):
    monkeypatch.setattr("fewshot.training.trainer.train", lambda config, folder, **_: folder)
    assert call("train", experiment) == 0
    assert call("train", experiment, "train.steps=7") == 0  # nothing is trained yet that would contradict other values
    assert call("train", experiment) == 0
    Path("runs/small/checkpoints/step-00000001").mkdir(parents=True)
    assert call("train", experiment, "machine.log_every=3", "evaluate.shots=[1]") == 0
    assert load_config("runs/small/config.yaml").machine.log_every == 3
    assert call("train", experiment, "train.learning_rate=0.5", "model.hidden=64") == 2
    message = capsys.readouterr().err
    assert "train.learning_rate was 0.001 and is now 0.5" in message
    assert "model.hidden was 256 and is now 64" in message
    assert "--out" in message


def test_a_folder_of_other_things_is_not_made_a_run(experiment, capsys):
    os.mkdir("mine")
    Path("mine/letter.txt").write_text("keep")
    assert call("train", experiment, "--out", "mine") == 2
    assert "mine is not empty" in capsys.readouterr().err
    assert os.listdir("mine") == ["letter.txt"]


def test_values_may_follow_an_option(experiment, capsys):
    assert call("config", experiment) == 0
    capsys.readouterr()
    assert call("episodes", experiment, "--count", "2", "train.stepz=3") == 2
    assert "train.stepz" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "train"])
def test_a_rejected_start_leaves_a_new_run_folder_no_trace_and_one_that_was_there_as_it_was(
    command, tmp_path, monkeypatch, experiment
):
    monkeypatch.chdir(tmp_path)
    assert call(command, experiment, "data.root=nowhere", "--out", "new") == 2
    assert not (tmp_path / "new").exists()

    (tmp_path / "old").mkdir()
    assert call(command, experiment, "data.root=nowhere", "--out", "old") == 2
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["config.yaml"]
