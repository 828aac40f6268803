"""No class that weights have seen is tested as a novel one, and changed data does not pass unnoticed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from episodes.catalog import VideoCatalog
from episodes.errors import CheckpointError, SamplingError
from episodes.readers import read_benchmark
from episodes.task_file import task_file_text
from fewshot.cli import main
from fewshot.evaluation.tasks import open_evaluation_set
from fewshot.runs.benchmarks import Benchmarks
from fewshot.runs.build import open_benchmarks
from fewshot.runs.checkpoint import latest
from fewshot.runs.origin import Origin, read_origin, training_origin
from fewshot.training.trainer import train
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, assert_same_bits, load_tiny, stored, tasks_before_training, write_experiment

BASE_1 = ("bar", "cross", "diamond", "square", "stripe", "triangle")  # group 1 tests disc and ring
ONE_ROW = (
    *("evaluate.methods=[conditioning]", "evaluate.controls=[]", "evaluate.scoring=[paper]", "evaluate.shots=[1]"),
    *("evaluate.max_queries_per_class=1", "machine.save_overlays=0"),
)
TRAINED_ON = r"the weights of \S+ were trained on"


@pytest.fixture(scope="module")
def trained(tiny_set: TinySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of group 1. Only to be read."""
    folder = tmp_path_factory.mktemp("trained")
    config = load_tiny(write_experiment(folder / "tiny.yaml", tiny_set), "train.steps=1", *ONE_ROW)
    (folder / "run").mkdir()
    (folder / "run/config.yaml").write_text((folder / "tiny.yaml").read_text())
    train(config, folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def call(*words: object) -> int:
    return main([str(word) for word in words])


def origin_of(run: Path) -> Origin:
    checkpoint = latest(run)
    assert checkpoint is not None
    return read_origin(checkpoint)


def rewrite(file: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def swap_classes(root: Path) -> None:
    """The classes of groups 1 and 2 change places in the class list, and so the groups that test them."""
    names = ["square", "disc", "triangle", "cross", "bar", "ring", "diamond", "stripe"]
    (root / "train/classes.json").write_text(json.dumps(names))


# --------------------------------------------------------------------------- what weights say of themselves


def test_a_checkpoint_says_which_classes_and_which_data_it_was_trained_on(trained: Path, tiny_set: TinySet) -> None:
    origin = origin_of(trained)
    assert origin.classes == BASE_1
    assert origin.benchmark == read_benchmark(tiny_set.root).content
    assert origin.unknown_of is None


def test_classes_too_small_for_an_episode_count_because_class_name_shuffle_calls_their_names(tmp_path: Path) -> None:
    root = write_tiny_benchmark(tmp_path / "data")
    catalog = read_benchmark(root)
    few = [record for record in catalog.videos.values() if "square" not in record.id or record.id.endswith("00")]
    small = VideoCatalog(name="x", root=root, videos=few, classes=catalog.classes)
    config = load_tiny(write_experiment(tmp_path / "e.yaml", TinySet(root, root)), "episodes.small_classes=skip")
    assert len(small.videos_of("square")) == 1
    assert training_origin(config, Benchmarks((small,)), None).classes == BASE_1


def test_weights_that_no_step_changed_have_seen_what_they_started_from(experiment: Path, trained: Path) -> None:
    config = load_tiny(experiment, "train.steps=0")
    assert training_origin(config, open_benchmarks(config), None).classes == ()
    config = load_tiny(experiment, "train.steps=0", f"initial_weights={trained}", "data.group=2")
    assert training_origin(config, open_benchmarks(config), None).classes == BASE_1


def test_classes_are_inherited_through_any_number_of_trainings(experiment: Path, trained: Path, tmp_path: Path) -> None:
    second = load_tiny(experiment, "data.group=2", f"initial_weights={trained}", "train.steps=1")
    train(second, tmp_path / "second")
    (tmp_path / "second/config.yaml").write_text(experiment.read_text())
    third = load_tiny(experiment, f"initial_weights={tmp_path / 'second'}", "train.steps=0")
    train(third, tmp_path / "third")
    assert origin_of(tmp_path / "third").classes == tuple(sorted({*BASE_1, "disc", "ring"}))


def test_a_checkpoint_that_does_not_say_its_classes_is_rejected(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = latest(run)
    assert checkpoint is not None
    rewrite(checkpoint / "state.json", lambda state: state["extra"].pop("trained_classes"))
    assert call("evaluate", run) == 2
    assert "does not say which classes its weights were trained on" in (error := capsys.readouterr().err)
    assert "Train again" in error


def test_converted_weights_do_not_say_their_classes_and_a_warning_names_them(
    experiment: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    converted = tmp_path / "weights/cma"
    converted.mkdir(parents=True)
    for steps, classes in ((0, ()), (1, BASE_1)):
        config = load_tiny(experiment, f"initial_weights={converted}", f"train.steps={steps}")
        origin = training_origin(config, open_benchmarks(config), None)
        assert (origin.classes, origin.unknown_of) == (classes, str(converted))
        open_evaluation_set(config, origin)
        assert f"{converted} does not say which classes its weights were trained on" in caplog.text
        assert "trained for data.group=1" in caplog.text
        caplog.clear()


# --------------------------------------------------------------------------- seen classes are not tested


def test_an_evaluation_of_another_group_is_rejected(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(run.rglob("*"))
    assert call("evaluate", run, "data.group=2") == 2
    error = capsys.readouterr().err
    assert f"data.group=2 asks for classes that the weights of {latest(run)} were trained on: square, bar" in error
    assert "Evaluate the group that they were trained for" in error
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_from_weights_of_another_group_is_rejected_before_it_trains(
    experiment: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    given = (f"initial_weights={trained}", "data.group=2", f"train.steps={steps}")
    assert call("run", experiment, *given, "--out", tmp_path / "second") == 2
    error = capsys.readouterr().err
    assert f"tiny, which starts from {trained}, were trained on: square, bar" in error
    assert "initial_weights included" in error
    assert not (tmp_path / "second").exists()


def test_the_experiments_of_learners_start_from_weights_of_their_group(
    trained: Path, tmp_path: Path, tiny_set: TinySet, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment(tmp_path / "fomaml.yaml", tiny_set)
    learner = ("learner.name=maml", "learner.steps=1", f"initial_weights={trained}", "data.group=3")
    assert call("run", file, *learner, "--out", tmp_path / "out") == 2
    assert f"starts from {trained}, were trained on: triangle, diamond" in capsys.readouterr().err


def test_a_cell_of_an_ablation_from_weights_of_another_group_is_rejected_before_any_runs(
    experiment: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"name: a\nbase: {experiment}\nvalues: {{initial_weights: {trained}}}\ngrid: {{data.group: [1, 2]}}\n"
    (tmp_path / "ablation.yaml").write_text(text)
    assert call("ablate", tmp_path / "ablation.yaml", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "Cell 'group-2': data.group=2 asks for classes" in error
    assert "square, bar" in error
    assert not (tmp_path / "out").exists()


def test_a_class_list_that_changed_after_training_does_not_make_seen_classes_novel(
    run: Path, experiment: Path, tiny_set: TinySet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(tiny_set.root, tmp_path / "data"))
    swap_classes(root)
    assert call("evaluate", run, f"data.root={root}") == 2
    assert "the class list" in capsys.readouterr().err
    assert call("evaluate", run, f"data.root={root}", "--allow-changed-data") == 2
    assert "were trained on: square" in capsys.readouterr().err


def test_a_file_of_tasks_with_a_seen_class_is_rejected_for_the_weights_at_hand(
    run: Path, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = tasks_before_training(load_tiny(experiment, "data.group=2", "evaluate.shots=[1]")).tasks
    (tmp_path / "tasks.json").write_text(task_file_text(tasks, "tiny"))
    assert call("evaluate", run, f"evaluate.tasks={tmp_path / 'tasks.json'}", *ONE_ROW) == 2
    assert "tasks.json asks for classes that the weights of" in (error := capsys.readouterr().err)
    assert "square, bar" in error


def test_a_transfer_follows_what_the_weights_have_seen_in_any_spelling(
    experiment: Path, trained: Path, tmp_path: Path
) -> None:
    root = write_tiny_benchmark(tmp_path / "other", names=["Square", "star", "RING", "moon"])
    to = f"evaluate.transfer={{root: {root}, seen: skip}}"
    config = load_tiny(experiment, to, "evaluate.shots=[1]")
    assert {task.category for task in open_evaluation_set(config, origin_of(trained)).tasks} == {"star", "RING", "moon"}
    further = load_tiny(experiment, to, "evaluate.shots=[1]", f"initial_weights={trained}", "data.group=3")
    assert {task.category for task in tasks_before_training(further).tasks} == {"star", "moon"}
    rejected = load_tiny(experiment, to.replace("skip", "reject"), "evaluate.shots=[1]")
    with pytest.raises(SamplingError, match=f"{TRAINED_ON}: Square"):
        open_evaluation_set(rejected, origin_of(trained))


def test_a_transfer_needs_no_benchmark_of_the_training(run: Path, tmp_path: Path) -> None:
    root = write_tiny_benchmark(tmp_path / "other", names=["sun", "star", "comet", "moon"])
    to = f"evaluate.transfer={{root: {root}}}"
    assert call("evaluate", run, to, "data.root=gone", "machine.cache=null", *ONE_ROW) == 0


# --------------------------------------------------------------------------- changed data


def _reword(root: Path) -> None:
    def change(values: dict) -> None:
        values["videos"]["disc-ring-00"]["expressions"]["0"]["exp"] = "something else"

    rewrite(root / "meta_expressions/train/meta_expressions.json", change)


def _repaint(root: Path) -> None:
    masks = sorted((root / "train/Annotations/disc-ring-00").iterdir())
    masks[0].write_bytes(masks[1].read_bytes())


def _add_video(root: Path) -> None:
    for folder in ("JPEGImages", "Annotations"):
        shutil.copytree(root / "train" / folder / "disc-ring-00", root / "train" / folder / "new")
    for file in ("train/meta.json", "meta_expressions/train/meta_expressions.json"):
        rewrite(root / file, lambda values: values["videos"].update(new=values["videos"]["disc-ring-00"]))


CHANGES = [
    (_reword, "1 video with other frames, objects or sentences (disc-ring-00)"),
    (_repaint, "1 video with other masks or pictures (disc-ring-00)"),
    (_add_video, "1 video added (new)"),
]


@pytest.fixture
def half_trained(tmp_path: Path, experiment: Path, tiny_set: TinySet) -> tuple[Path, Path]:
    """(run folder, benchmark) of a training as it lies there when it was killed after step 2 of 4."""
    root = Path(shutil.copytree(tiny_set.root, tmp_path / "data"))
    run = tmp_path / "run"
    assert resume(run, root) == 0
    for step in (3, 4):
        shutil.rmtree(run / f"checkpoints/step-{step:08d}")
    return run, root


def resume(run: Path, root: Path, *more: str) -> int:
    """Give the command of the training, the first time or again."""
    overrides = (f"data.root={root}", "machine.checkpoint_every=1", "machine.keep_checkpoints=4")
    return call("train", run.with_name("tiny.yaml"), *overrides, "--out", run, *more)


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_a_training_whose_data_changed_stops_before_it_writes_and_names_what_changed(
    half_trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], named: str
) -> None:
    run, root = half_trained
    change(root)
    before = stored(run)
    texts = {name: (run / name).read_text() for name in ("meta.json", "config.yaml", "metrics.jsonl")}

    assert resume(run, root, "evaluate.bootstrap_samples=7") == 2
    error = capsys.readouterr().err
    assert f"was trained on other data than {root} holds now: {named}" in error
    assert "--allow-changed-data" in error
    assert_same_bits(stored(run), before)
    assert {name: (run / name).read_text() for name in texts} == texts

    assert resume(run, root, "--allow-changed-data") == 0
    starts = json.loads((run / "meta.json").read_text())["starts"]
    assert [start["data_changes"] for start in starts] == [[], [named]]
    assert origin_of(run).benchmark == read_benchmark(root).content
    assert call("evaluate", run, *ONE_ROW) == 0, "the data are those of the last start"


def test_classes_that_only_the_earlier_data_made_base_classes_stay_seen(half_trained: tuple[Path, Path]) -> None:
    run, root = half_trained
    swap_classes(root)
    assert resume(run, root, "--allow-changed-data") == 0
    assert {"disc", "square"} < set(origin_of(run).classes)


def test_moved_data_are_the_same_data(half_trained: tuple[Path, Path]) -> None:
    run, root = half_trained
    moved = root.rename(root.with_name("moved"))
    assert resume(run, moved) == 0


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_an_evaluation_on_other_data_than_the_training_is_rejected_unless_it_is_allowed(
    run: Path,
    tiny_set: TinySet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    named: str,
) -> None:
    root = Path(shutil.copytree(tiny_set.root, tmp_path / "data"))
    assert call("evaluate", run, f"data.root={root}", *ONE_ROW, "--out", tmp_path / "same") == 0, "a copy is the same"
    change(root)
    words = ("evaluate", run, f"data.root={root}", *ONE_ROW, "--out", tmp_path / "out")
    assert call(*words) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    assert call(*words, "--allow-changed-data") == 0
    summary = json.loads(next((tmp_path / "out").rglob("summary.json")).read_text())
    assert summary["changed_data"] == named
    assert summary["benchmark_content"] == read_benchmark(root).content.hash
    assert summary["training_content"] == read_benchmark(tiny_set.root).content.hash


def test_the_error_of_changed_data_is_one_about_the_checkpoint(trained: Path, tmp_path: Path) -> None:
    other = read_benchmark(write_tiny_benchmark(tmp_path / "other", seed=1))
    with pytest.raises(CheckpointError, match="16 videos with other masks or pictures"):
        origin_of(trained).data_changes(Benchmarks((other,)), allowed=False)
