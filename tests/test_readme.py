"""Every command that the README prints runs: as printed where it is quick, with smaller values where it is long.

Those in docs/ take long, or need other data or weights: the program has to take them and to read their experiments.
"""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import torch

from fewshot.ablation.cells import load_ablation
from fewshot.arguments import build_parser
from fewshot.cli import main
from fewshot.config.experiment import load_config
from fewshot.runs.run import evaluated_runs
from tests.paths import ROOT
from tests.published_weights import published_weights
from tests.single_objects import write_single_objects

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))

# Laid over what a command says, so that it ends in seconds; which values a command accepts is unchanged.
SMALL_DATA = ["size=64", "videos_per_class=6", "frames=3"]
SMALL_COMPOSED = ["width=96", "height=64", "frames=2", "videos_per_class=4", "mosaic=1", "scene=0"]
SMALL = [
    *("data.short_side=64", "data.glyphs={size: 64, videos_per_class: 6, frames: 3}"),
    *("model.hidden=64", "model.ffn=32", "model.queries=1", "machine.threads=1"),
    *("model.affinity.hidden=16", "model.affinity.dim=16", "model.affinity.elsewhere=8"),
    *("train.steps=1", "train.batch_episodes=2", "train.validate_every=1", "train.validation_episodes=1"),
    *("evaluate.seeds=[0]", "evaluate.shots=[1]", "evaluate.control_shots=[1]", "evaluate.max_queries_per_class=1"),
    *("machine.evaluation_workers=1", "machine.save_overlays=1", "evaluate.bootstrap_samples=10", "learner.steps=1"),
]


def printed_commands(text: str) -> list[str]:
    """What stands behind `run.py` in the text and in blocks, where N stands for a group."""
    in_text = re.findall(r"`(?:python )?run\.py ([^`]+)`", text)
    in_blocks = re.findall(r"^    python run\.py (.+)$", text, re.MULTILINE)
    return in_text + [re.sub(r"\bN\b", "2", command) for command in in_blocks]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the experiments of the project, a small benchmark, and a run that was trained with small values."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("configs", "experiments"):
        shutil.copytree(ROOT / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "experiments/demo.yaml", *SMALL]) == 0
        write_single_objects(Path("data/davis"))
    return folder


def test_the_readme_prints_commands_of_every_kind() -> None:
    kinds = {shlex.split(command)[0] for command in printed_commands(README)}
    reading = {"compare", "groups", "config", "episodes", "features", "report", "ablate"}
    assert kinds == {"run", "train", "evaluate", "data", "convert", "export", "pack", *reading}


@pytest.mark.parametrize("command", [text for text in printed_commands(README) if not text.startswith("groups")])
def test_a_printed_command_runs(
    command: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = shlex.split(command)
    monkeypatch.chdir(project)
    if arguments[:2] == ["data", "glyphs"]:
        arguments += SMALL_DATA
    elif arguments[:2] == ["data", "compose"]:
        arguments += SMALL_COMPOSED
    elif "experiments/composed.yaml" in arguments:
        composed = ", ".join(SMALL_COMPOSED).replace("=", ": ")
        arguments += [*SMALL, "data.glyphs=null", f"data.composed={{{composed}}}", "evaluate.support_videos=2"]
    elif arguments[0] in ("run", "train", "features", "ablate"):
        arguments += SMALL
    elif "--transfer" in arguments:
        assert main(["data", "compose", "data/composed", *SMALL_COMPOSED]) == 0
        assert main(["data", "glyphs", "data/large", *SMALL_DATA]) == 0
        arguments += ["evaluate.support_videos=1", "evaluate.methods=[prototype]", "evaluate.controls=[]"]
    elif arguments[0] == "evaluate":
        arguments += ["evaluate.max_queries_per_class=1", "machine.evaluation_workers=1"]
    elif arguments[0] == "episodes":
        arguments += [*SMALL, "--count", "5"]
    elif arguments[0] == "pack":
        (project / "notes.md").write_text("Nothing is known.")
    elif arguments[0] == "convert":
        torch.save({"model": published_weights(form="dab")}, project / arguments[1])
    assert main(arguments) == 0
    assert "Logging error" not in capsys.readouterr().err, "a message that cannot be formatted does not stop a command"


def test_the_mean_over_groups_is_made_by_the_printed_commands(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The docs print the runs, where N stands for a group, and the README their mean."""
    monkeypatch.chdir(project)
    (printed,) = re.findall(r"^    python run\.py (.+ name=cma-N .+)$", DOCS, re.MULTILINE)
    free = [value for value in SMALL if not value.startswith(("train.validate", "machine.threads"))]
    for group in range(1, 5):
        assert main([*re.sub(r"\bN\b", str(group), printed).split(), *free]) == 0
    (groups,) = (command for command in printed_commands(README) if command.startswith("groups"))
    capsys.readouterr()

    assert main(shlex.split(groups)) == 0

    shown = capsys.readouterr().out
    for scoring in ("paper", "davis"):
        rows = [run.summary.rows for run in evaluated_runs([Path(folder) for folder in shlex.split(groups)[1:]])]
        of_groups = [
            next(s.JF for r, s in of.items() if (r.method, r.scoring, r.control) == ("cma", scoring, None))
            for of in rows
        ]
        block = shown[shown.index(f"{scoring} scoring") :]
        cells = next(line.split() for line in block.splitlines() if line.startswith("cma "))
        assert cells[5] == f"{sum(of_groups) / 4:.1f}"
        assert cells[-4:] == [f"{value:.1f}" for value in of_groups]


@pytest.mark.parametrize("command", printed_commands(DOCS))
def test_a_command_of_the_docs_is_one_that_can_start(command: str) -> None:
    options = build_parser().parse_args(shlex.split(command))
    if options.command == "ablate":
        assert load_ablation(ROOT / options.ablation, options.overrides).cells
    elif getattr(options, "experiment", None):
        assert load_config(ROOT / options.experiment, options.overrides)


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README)
    named += re.findall(r"`((?:episodes|models|fewshot|configs|experiments|tests)/)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_file_map_names_every_source_file() -> None:
    files = [path for package in ("episodes", "models", "fewshot") for path in (ROOT / package).rglob("*.py")]
    named = README[README.index("## Where things are") : README.index("Import order is")]
    assert [str(path) for path in files if path.stem != "__init__" and not re.search(rf"\b{path.stem}\b", named)] == []


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"make ([a-z]+)", README)) <= set(targets)


@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/ci.yml", "CONTRIBUTING.md"])
def test_continuous_integration_runs_what_contributing_asks_for(file: str) -> None:
    assert "make check" in (ROOT / file).read_text(encoding="utf-8")
    assert "make test" not in (ROOT / file).read_text(encoding="utf-8")


def test_tensorboard_is_installed_beside_the_interpreter() -> None:
    assert (Path(sys.executable).parent / "tensorboard").is_file()
