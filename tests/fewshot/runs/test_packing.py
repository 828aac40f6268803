"""Packed weights: a folder to give away that is still a run, by path or by name."""

import io
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import fewshot
from episodes.errors import CheckpointError, ConfigError
from fewshot.cli import main
from fewshot.config import weights
from fewshot.config.weights import named_weights, weights_names
from fewshot.runs.checkpoint import read_weights
from fewshot.runs.encoders import ENCODERS
from fewshot.runs.origin import read_origin, run_origin
from fewshot.runs.packing import pack
from fewshot.runs.run import Run
from fewshot.training.trainer import train
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, assert_same_bits, load_tiny, write_experiment

ONE_ROW = (
    *("evaluate.methods=[conditioning]", "evaluate.controls=[]", "evaluate.scoring=[paper]", "evaluate.shots=[1]"),
    *("evaluate.max_queries_per_class=1", "machine.save_overlays=0"),
)
NOTES = "Trained for a test. It can do nothing."
LARGEST = 20_000_000  # bytes of one folder of weights in the package


@pytest.fixture(scope="module")
def trained(tiny_set: TinySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on every class, whose learner has weights of its own. Only to be read."""
    folder = tmp_path_factory.mktemp("trained")
    values = ("train.steps=1", "data.group=null", "learner.name=metasgd", "evaluate.methods=[conditioning]")
    file = write_experiment(folder / "tiny.yaml", tiny_set)
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert call("train", file, *values, "evaluate.shots=[1]", "--out", folder / "run") == 0
    assert printed.getvalue().endswith(f"evaluate {folder / 'run'} evaluate.transfer.root=ROOT\n")
    return folder / "run"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_benchmark(tmp_path_factory.mktemp("elsewhere") / "data", names=["sun", "moon", "disc", "star"])


@pytest.fixture(scope="module")
def packed(trained: Path, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, packed with one evaluation. Only to be read."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "notes.md").write_text(NOTES)
    scores = folder / "scores"
    assert call("evaluate", trained, f"evaluate.transfer.root={elsewhere}", *ONE_ROW, "--out", scores) == 0
    assert call("pack", trained, folder / "tiny", "--notes", folder / "notes.md", "--evaluation", scores) == 0
    return folder / "tiny"


@pytest.fixture
def named(packed: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its name, as if it came with the project."""
    monkeypatch.setattr(weights, "WEIGHTS", packed.parent)
    return packed.name


def call(*words: object) -> int:
    return main([str(word) for word in words])


def test_it_holds_the_weights_without_the_optimiser_and_a_card(packed: Path, trained: Path) -> None:
    files = {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()}
    checkpoint = "checkpoints/step-00000001"
    of_checkpoint = {f"{checkpoint}/{name}" for name in ("model.safetensors", "learner.safetensors", "state.json")}
    assert files == {"README.md", "config.yaml", "metrics.jsonl", "meta.json"} | of_checkpoint
    for name in ("model", "learner"):
        file = f"{checkpoint}/{name}.safetensors"
        assert (packed / file).read_bytes() == (trained / file).read_bytes()


def test_the_card_says_what_the_weights_are(packed: Path, trained: Path) -> None:
    text = (packed / "README.md").read_text()
    origin = run_origin(trained)
    assert origin is not None
    for fact in (
        *("# tiny\n", "1 steps", Path(sys.argv[0]).name, NOTES, origin.benchmark.hash, "model.safetensors | "),
        *("package:efficientnet_lite0 | ", ", ".join(origin.classes), "transfer to "),
    ):
        assert fact in text


def test_packed_weights_are_evaluated_by_name_and_only_into_a_folder_of_their_own(
    named: str, packed: Path, elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = (f"evaluate.transfer.root={elsewhere}", *ONE_ROW)
    before = sorted(packed.rglob("*"))
    for place in (named, packed):
        assert call("evaluate", place, *values) == 2
        assert "tiny comes with the project: name a folder for its results with --out" in capsys.readouterr().err
    assert call("evaluate", named, *values, "data.root=nowhere", "--out", tmp_path / "out") == 0
    evaluated = Run(tmp_path / "out").evaluated()
    assert {record.item.category for record in evaluated.records} == {"sun", "moon", "star"}
    assert evaluated.summary.facts["transfer"]["seen_in_training"] == ["disc"]
    assert sorted(packed.rglob("*")) == before


def test_a_training_starts_from_packed_weights_and_inherits_their_classes(
    named: str, packed: Path, experiment: Path, tmp_path: Path
) -> None:
    config = load_tiny(experiment, f"initial_weights={named}", "train.steps=0", "data.group=null")
    train(config, tmp_path / "run")
    started, given = (Run(folder).required_checkpoint("last") for folder in (tmp_path / "run", packed))
    assert_same_bits(read_weights(started), read_weights(given))
    assert read_origin(started).classes == read_origin(given).classes


def test_the_python_interface_opens_them_by_name_and_answers_as_the_run_does(named: str, trained: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, size=(2, 48, 64, 3)).astype(np.uint8)
    clip = fewshot.AnnotatedClip(frames, frames[..., 0] > 127, "the disc")
    adapted = [fewshot.Segmenter.open(name).adapt([clip]) for name in (named, trained)]
    assert np.array_equal(*(one.probabilities(frames, "the disc") for one in adapted))


def test_a_folder_of_that_name_in_the_working_folder_goes_first(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_weights(Path(named)) == weights.WEIGHTS / named
    (tmp_path / named).mkdir()
    assert named_weights(Path(named)) == Path(named)


def test_a_name_that_is_none_lists_those_that_are(named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown does not exist.*weights that come with the project \(.*tiny.*\)"):
        fewshot.evaluate(Path("unknown"), out=tmp_path / "out")


def test_damaged_weights_are_rejected_by_name(
    packed: Path, elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "copy"))
    file = copy / "checkpoints/step-00000001/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert call("evaluate", copy, f"evaluate.transfer.root={elsewhere}", *ONE_ROW, "--out", tmp_path / "out") == 2
    assert f"{file.relative_to(copy)} is damaged: its SHA-256 is" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="is damaged"):
        fewshot.Segmenter.open(copy)


def test_a_packed_training_does_not_resume(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "copy"))
    assert call("train", copy / "config.yaml", "--out", copy) == 2
    assert "holds weights alone (`pack` wrote it)" in capsys.readouterr().err


def test_what_cannot_be_packed_is_named_and_leaves_nothing(trained: Path, packed: Path, tmp_path: Path) -> None:
    notes = packed.parent / "notes.md"
    with pytest.raises(ConfigError, match="tiny exists already"):
        pack(Run(trained), packed, notes=notes)
    with pytest.raises(ConfigError, match=r"gone\.md: no such file"):
        pack(Run(trained), tmp_path / "out", notes=tmp_path / "gone.md")
    other = Path(shutil.copytree(trained, tmp_path / "other"))
    with pytest.raises(ConfigError, match="other is not an evaluation of"):
        pack(Run(trained), tmp_path / "out", notes=notes, evaluations=[Run(other)])
    (other / ENCODERS).mkdir()
    with pytest.raises(ConfigError, match="encoders that no package name leads to"):
        pack(Run(other), tmp_path / "out", notes=notes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", weights_names())
def test_weights_in_the_package_are_small_whole_and_have_a_card(name: str) -> None:
    folder = weights.WEIGHTS / name
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < LARGEST
    assert (folder / "README.md").read_text(encoding="utf-8").startswith(f"# {name}\n")
    fewshot.Segmenter.open(name)
