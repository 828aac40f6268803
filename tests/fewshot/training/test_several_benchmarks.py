"""One training on several benchmarks: what it sees of each, what its weights say of it, what is asked afterwards."""

import shutil
from pathlib import Path

import pytest

from episodes.errors import CheckpointError
from episodes.readers import read_benchmark
from fewshot.api import evaluate
from fewshot.cli import main
from fewshot.config.experiment import ExperimentConfig
from fewshot.evaluation.tasks import open_evaluation_set
from fewshot.runs.build import open_benchmarks
from fewshot.runs.checkpoint import latest
from fewshot.runs.origin import Origin, read_origin, training_origin
from fewshot.runs.run import Run
from fewshot.training.trainer import Trainer, build_samplers, train
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, assert_same_bits, load_tiny, stored, write_experiment

# Group 1 tests disc and ring in the tiny benchmark, Moon and ring here.
NAMES = ["Moon", "comet", "cross", "planet", "ring", "square", "star", "sun"]
ONE_ROW = (
    *("evaluate.methods=[conditioning]", "evaluate.controls=[]", "evaluate.scoring=[paper]", "evaluate.shots=[1]"),
    *("evaluate.max_queries_per_class=1", "machine.save_overlays=0"),
)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wider pictures, other classes and some of the same name. Only to be read."""
    return write_tiny_benchmark(tmp_path_factory.mktemp("other") / "data", names=NAMES, size=(48, 96), seed=1)


def both(experiment: Path, other: Path, *overrides: str) -> ExperimentConfig:
    return load_tiny(experiment, f"data.others=[{{root: {other}}}]", *overrides)


@pytest.fixture(scope="module")
def trained(tiny_set: TinySet, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of group 1 on both. Only to be read."""
    folder = tmp_path_factory.mktemp("trained")
    config = both(write_experiment(folder / "tiny.yaml", tiny_set), other, "train.batch_episodes=4", *ONE_ROW)
    with Run.start(config, folder / "run"):
        train(config, folder / "run")
    return folder / "run"


def origin_of(run: Path) -> Origin:
    checkpoint = latest(run)
    assert checkpoint is not None
    return read_origin(checkpoint)


def test_an_episode_is_of_one_benchmark_and_a_batch_holds_pictures_of_both_sizes(
    experiment: Path, other: Path, tmp_path: Path
) -> None:
    trainer = Trainer(both(experiment, other, "train.batch_episodes=4", "train.steps=2"), tmp_path / "run")
    homes = [set(sampler.catalog.videos) for sampler in trainer.samplers]
    for batch in trainer._batches(0):
        for spec in batch.specs:
            videos = {spec.query.video, *(clip.video for clip in spec.support)}
            assert videos <= homes[trainer.dataset.part(spec.index)]
        assert {part.query.size for part in batch.by_size()} == {(64, 64), (64, 128)}


def test_a_name_that_is_novel_in_one_benchmark_is_trained_on_in_none(experiment: Path, other: Path) -> None:
    config = both(experiment, other)
    data = open_benchmarks(config)
    novel = {name.casefold() for catalog in data.catalogs for name in catalog.novel_classes(1)}
    assert novel == {"disc", "ring", "moon"}
    for sampler in build_samplers(config, data, "train"):
        for category in {sampler[index].category for index in range(60)} | {sampler[0].alias}:
            assert category.casefold() not in novel
    assert novel.isdisjoint(name.casefold() for name in training_origin(config, data, None).classes)


def test_weights_have_seen_the_classes_of_all_benchmarks(experiment: Path, other: Path) -> None:
    config = both(experiment, other, "data.group=null")
    data = open_benchmarks(config)
    assert training_origin(config, data, None).classes == tuple(
        sorted({*data.first.classes, *read_benchmark(other).classes})
    )


def test_an_evaluation_without_transfer_asks_the_first_benchmark(trained: Path, tmp_path: Path) -> None:
    evaluated = evaluate(trained, out=tmp_path / "out")
    assert {record.item.category for record in evaluated.records} == {"disc", "ring"}


def test_a_transfer_to_another_benchmark_of_the_training_asks_its_novel_classes(trained: Path, other: Path) -> None:
    config = Run(trained).evaluation_config([f"evaluate.transfer={{root: {other}}}"])
    asked = {task.category for task in open_evaluation_set(config, origin_of(trained)).tasks}
    assert asked == {"Moon", "ring"}


def test_a_change_in_any_of_the_benchmarks_is_named_and_stops(trained: Path, other: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(other, tmp_path / "moved"))
    config = Run(trained).evaluation_config([f"data.others=[{{root: {copy}}}]"])
    assert open_evaluation_set(config, origin_of(trained)).tasks, "a copy is the same"
    video = sorted((copy / "train/Annotations").iterdir())[0]
    masks = sorted(video.iterdir())
    masks[0].write_bytes(masks[1].read_bytes())
    with pytest.raises(CheckpointError, match=rf"and {copy} holds now: 1 video .* \(2/{video.name}\)"):
        open_evaluation_set(config, origin_of(trained))


def test_a_resumed_training_ends_with_the_same_weights(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints/step-00000004")
    assert main(["train", str(trained / "config.yaml"), "--out", str(run)]) == 0
    assert_same_bits(stored(run), stored(trained))


def test_what_is_wrong_in_the_list_of_benchmarks_is_named(
    experiment: Path, tiny_set: TinySet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, message in (
        (f"[{{root: {tiny_set.root}}}]", "name each benchmark once"),
        ("[{root: x, share: 0}]", "data.others.0.share = 0"),
        ("[{root: x, shares: 1}]", "the nearest valid key is 'data.others.share'"),
        ("[{share: 1}]", "The key 'data.others.0.root' is missing"),
        ("[{root: nowhere}]", "data.others: nowhere: no such folder"),
    ):
        assert main(["train", str(experiment), f"data.others={value}", "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
