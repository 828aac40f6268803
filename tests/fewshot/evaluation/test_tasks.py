"""What an evaluation runs on: drawn tasks, the tasks of a file, or another benchmark than that of the training."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from episodes.catalog import VideoCatalog
from episodes.errors import ConfigError, LayoutError, SamplingError
from episodes.evaluation_tasks import EvaluationTask
from episodes.files import json_digest
from episodes.readers import read_benchmark
from episodes.task_file import read_tasks, task_file_text
from fewshot.cli import main
from fewshot.config.experiment import ExperimentConfig, load_config, to_yaml
from fewshot.evaluation.evaluate import evaluate_run
from fewshot.results.records import Record
from fewshot.results.tables import results_table
from fewshot.runs.build import open_catalog
from fewshot.runs.checkpoint import latest
from fewshot.runs.run import Run
from fewshot.training.trainer import train
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, load_tiny, tasks_before_training, write_experiment

# Names in the other benchmark; group 1 trains on all shapes but disc and ring.
OTHER_NAMES = {"disc": "Disc", "ring": "magic_ring", "bar": "iron bar", "square": "SQUARE", "stripe": "Stripe "}
SEEN = ["SQUARE", "triangle", "cross", "diamond", "Stripe "]
UNSEEN = ["Disc", "magic_ring", "iron bar"]
ONE_ROW = ("evaluate.methods=[conditioning]", "evaluate.controls=[]", "evaluate.scoring=[paper]", "evaluate.shots=[1]")


@pytest.fixture(scope="module")
def other_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark with other pictures, of another size, in which some classes have the training's names."""
    root = write_tiny_benchmark(tmp_path_factory.mktemp("other") / "elsewhere", size=(96, 144), frames=3, seed=5)
    return rename_classes(root, OTHER_NAMES)


def rename_classes(root: Path, names: dict[str, str]) -> Path:
    meta = json.loads((root / "train/meta.json").read_text())
    for video in meta["videos"].values():
        for shown in video["objects"].values():
            shown["category"] = names.get(shown["category"], shown["category"])
    (root / "train/meta.json").write_text(json.dumps(meta))
    classes = json.loads((root / "train/classes.json").read_text())
    (root / "train/classes.json").write_text(json.dumps([names.get(name, name) for name in classes]))
    return root


@pytest.fixture(scope="module")
def trained(tiny_set: TinySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained for one step."""
    folder = tmp_path_factory.mktemp("trained")
    train(load_tiny(write_experiment(folder / "tiny.yaml", tiny_set), "train.steps=1"), folder / "run")
    return folder / "run"


def evaluated(trained: Path, folder: Path, config: ExperimentConfig) -> Path:
    """The folder of an evaluation of its own of the trained weights."""
    folder.mkdir()
    (folder / "checkpoints").symlink_to(trained / "checkpoints")
    evaluate_run(folder, config)
    return folder


def without_times(folder: Path) -> list[Record]:
    return [replace(record, seconds=0.0) for record in Run(folder).evaluated().records]


def transfer(root: Path, seen: str = "skip") -> str:
    return f"evaluate.transfer={{root: {root}, seen: {seen}}}"


def classes_of(config: ExperimentConfig) -> list[str]:
    return list(dict.fromkeys(task.category for task in tasks_before_training(config).tasks))


# --------------------------------------------------------------------------- drawn tasks


def test_other_shots_mean_the_same_queries_where_the_support_videos_are_set_aside(experiment: Path) -> None:
    def drawn(*overrides: str) -> list[EvaluationTask]:
        return tasks_before_training(load_tiny(experiment, *overrides)).tasks

    aside = "evaluate.support_videos=2"
    assert drawn("evaluate.shots=[1]", aside) == drawn("evaluate.shots=[2]", aside) == drawn("evaluate.shots=[1,2]")
    assert drawn("evaluate.shots=[1]") != drawn("evaluate.shots=[1]", aside)


def test_fewer_support_videos_than_shots_are_rejected(experiment: Path) -> None:
    with pytest.raises(ConfigError, match=r"need 3; also set evaluate\.support_videos=3"):
        load_tiny(experiment, "evaluate.shots=[1,3]", "evaluate.support_videos=2")


def test_results_may_go_to_a_folder_of_their_own(
    trained: Path, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_tiny(experiment, *ONE_ROW, "evaluate.max_queries_per_class=1", "train.steps=2")
    run, out = tmp_path / "run", tmp_path / "results"
    shutil.copytree(trained, run)
    (run / "config.yaml").write_text(to_yaml(config))
    (run / "results").mkdir()
    Run(run).results.tasks.write_text(task_file_text(tasks_before_training(config).tasks, "tiny"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    assert main(["evaluate", str(run), "evaluate.seeds=[4]", "--out", str(out)]) == 0

    warnings = capsys.readouterr().err
    assert f"no query is one of {Run(run).results.tasks}" in warnings
    assert "its training is unfinished, step 1 of 2" in warnings
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert {record.item.seed for record in Run(out).evaluated().records} == {4}
    assert load_config(out / "config.yaml").evaluate.seeds == (4,)
    assert latest(out) is not None, "it shows the training, so that it can be evaluated as a run is"
    assert main(["evaluate", str(out), "--out", str(run)]) == 2
    assert "a training of its own" in capsys.readouterr().err


# --------------------------------------------------------------------------- the tasks of a file


def test_an_evaluation_leaves_its_tasks_and_they_evaluate_to_the_same_scores(
    trained: Path, experiment: Path, tmp_path: Path
) -> None:
    config = load_tiny(experiment, *ONE_ROW, "evaluate.seeds=[3,5]", "evaluate.max_queries_per_class=2")
    first = evaluated(trained, tmp_path / "first", config)
    catalog = open_catalog(config)
    tasks = read_tasks(Run(first).results.tasks, catalog)
    assert tasks == tasks_before_training(config).tasks
    assert {task.seed for task in tasks} == {3, 5}
    summary = Run(first).evaluated().summary
    assert summary.facts["manifest"] == Run(first).evaluated().tasks.manifest == json_digest(tasks)
    assert summary.facts["benchmark"] == catalog.name

    of_file = f"evaluate.tasks={Run(first).results.tasks}"
    repeated = load_tiny(experiment, *ONE_ROW, of_file, "evaluate.support_frames=1")
    second = evaluated(trained, tmp_path / "second", repeated)

    assert without_times(second) == without_times(first)
    assert Run(second).results.tasks.read_bytes() == Run(first).results.tasks.read_bytes()


def test_a_part_of_the_tasks_is_evaluated_with_its_own_support_length(
    trained: Path, experiment: Path, tmp_path: Path
) -> None:
    config = load_tiny(experiment)
    catalog = open_catalog(config)
    task = tasks_before_training(config).tasks[0]
    support = tuple(replace(clip, frames=clip.frames[:1]) for clip in task.support)
    wanted = [replace(task, seed=9, support=support, queries=task.queries[:2])]
    (tmp_path / "mine.json").write_text(task_file_text(wanted, catalog.name))

    folder = evaluated(trained, tmp_path / "run", load_tiny(experiment, f"evaluate.tasks={tmp_path / 'mine.json'}"))

    found = Run(folder).evaluated().records
    assert {(r.item.category, r.item.seed, r.item.video, r.item.expression) for r in found} == {
        (task.category, 9, query.video, query.expression_id) for query in task.queries[:2]
    }
    assert {r.row.control for r in found} == {None, "support_wrong_class", "support_none", "text_wrong_object"}


def test_more_shots_than_the_file_holds_are_rejected_with_the_numbers(experiment: Path, tmp_path: Path) -> None:
    config = load_tiny(experiment, "evaluate.shots=[1]")
    (tmp_path / "tasks.json").write_text(task_file_text(tasks_before_training(config).tasks, "tiny"))
    asked = f"evaluate.tasks={tmp_path / 'tasks.json'}"
    with pytest.raises(SamplingError, match=r"class 'disc', seed 0 holds 1 support clip\(s\), 3 needed"):
        tasks_before_training(load_tiny(experiment, asked, "evaluate.shots=[1,3]"))
    with pytest.raises(SamplingError, match=r"holds 1 support clip\(s\), 2 needed"):
        tasks_before_training(load_tiny(experiment, asked, "evaluate.shots=[1]", "evaluate.control_shots=[2]"))
    one = ("evaluate.shots=[1]", "evaluate.control_shots=[2]", "evaluate.controls=[]")
    assert tasks_before_training(load_tiny(experiment, asked, *one)).tasks


def test_a_support_clip_of_one_frame_leaves_early_stop_nothing_to_hold_out(experiment: Path, tmp_path: Path) -> None:
    config = load_tiny(experiment, "evaluate.shots=[1]")
    catalog = open_catalog(config)
    tasks = [
        replace(task, support=tuple(replace(clip, frames=clip.frames[:1]) for clip in task.support))
        for task in tasks_before_training(config).tasks
    ]
    (tmp_path / "tasks.json").write_text(task_file_text(tasks, catalog.name))
    asked = (f"evaluate.tasks={tmp_path / 'tasks.json'}", "evaluate.shots=[1]", "learner.early_stop=true")
    with pytest.raises(SamplingError, match=r"tasks\.json.*support clip of one frame.*learner\.early_stop=false"):
        tasks_before_training(load_tiny(experiment, *asked, "learner.min_shots=1"))
    assert tasks_before_training(load_tiny(experiment, *asked, "learner.min_shots=2")).tasks


def test_tasks_of_classes_that_were_trained_on_are_rejected(experiment: Path, tmp_path: Path) -> None:
    of_group_2 = tasks_before_training(load_tiny(experiment, "data.group=2")).tasks
    (tmp_path / "tasks.json").write_text(task_file_text(of_group_2, "tiny"))
    with pytest.raises(SamplingError, match=r"tasks\.json asks for classes that the weights of tiny were trained on: "):
        tasks_before_training(load_tiny(experiment, f"evaluate.tasks={tmp_path / 'tasks.json'}"))


def test_an_evaluation_counts_only_for_its_config_checkpoint_and_tasks(
    trained: Path, experiment: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    drawn = load_tiny(experiment, *ONE_ROW)
    path.write_text(task_file_text(tasks_before_training(drawn).tasks[:1], "tiny"))
    config = load_tiny(experiment, *ONE_ROW, f"evaluate.tasks={path}")
    run = Run(tmp_path / "run")
    assert not run.is_evaluated(config, Path("step-00000001")), "there are no results"

    evaluated(trained, run.folder, config)

    assert run.is_evaluated(config, Path("step-00000001"))
    assert not run.is_evaluated(config, Path("step-00000002"))
    assert not run.is_evaluated(drawn, Path("step-00000001"))
    path.write_text(task_file_text(tasks_before_training(drawn).tasks[1:2], "tiny"))
    assert not run.is_evaluated(config, Path("step-00000001")), "other tasks lie at the same path"


# --------------------------------------------------------------------------- transfer


def test_transfer_asks_for_the_classes_that_training_has_not_seen_whatever_their_group(
    experiment: Path, other_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_tiny(experiment, transfer(other_root))
    with caplog.at_level(logging.WARNING):
        found = tasks_before_training(config)
    assert found.catalog.root == other_root
    assert list(dict.fromkeys(task.category for task in found.tasks)) == UNSEEN
    assert found.facts == {
        "benchmark": "elsewhere",
        "benchmark_content": read_benchmark(other_root).content.hash,
        "training_content": open_catalog(config).content.hash,
        "transfer": {
            "root": str(other_root),
            "seen": "skip",
            "seen_in_training": SEEN,
            "unseen": UNSEEN,
            "evaluated": UNSEEN,
        },
    }
    assert f"seen in training and left out: {', '.join(SEEN)}" in caplog.text


def test_seen_classes_are_kept_or_rejected_where_the_config_says_so(experiment: Path, other_root: Path) -> None:
    in_order = ["Disc", "SQUARE", "triangle", "cross", "magic_ring", "iron bar", "diamond", "Stripe "]
    assert classes_of(load_tiny(experiment, transfer(other_root, "keep"))) == in_order
    with pytest.raises(
        SamplingError, match=r"asks for classes that.*trained on: SQUARE, triangle.*transfer\.seen=skip"
    ):
        tasks_before_training(load_tiny(experiment, transfer(other_root, "reject")))


def test_weights_that_have_seen_every_class_are_evaluated_by_transfer_alone(experiment: Path, other_root: Path) -> None:
    with pytest.raises(SamplingError, match=r"data\.group is null: every class is trained on.*transfer\.root"):
        tasks_before_training(load_tiny(experiment, "data.group=null"))
    assert classes_of(load_tiny(experiment, transfer(other_root), "data.group=null")) == [
        "magic_ring",
        "iron bar",
    ]


def test_what_counts_as_seen_follows_the_group_of_the_training(experiment: Path, other_root: Path) -> None:
    assert classes_of(load_tiny(experiment, transfer(other_root), "data.group=2")) == [
        "SQUARE",
        "magic_ring",
        "iron bar",
    ]


def test_a_benchmark_of_seen_classes_alone_is_rejected(experiment: Path, tmp_path: Path) -> None:
    root = write_tiny_benchmark(tmp_path / "squares", classes=1, videos_per_class=4)
    rename_classes(root, {"disc": "square"})
    with pytest.raises(SamplingError, match=r"asks for classes that.*trained on: square.*transfer\.seen=keep"):
        tasks_before_training(load_tiny(experiment, transfer(root)))
    assert classes_of(load_tiny(experiment, transfer(root, "keep"))) == ["square"]


def test_a_class_with_too_few_videos_is_left_out_of_a_transfer(
    experiment: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_tiny_benchmark(tmp_path / "few", classes=2, videos_per_class=3)
    rename_classes(root, {"disc": "wheel", "square": "lamp"})
    for name in ("train/meta.json", "meta_expressions/train/meta_expressions.json"):
        content = json.loads((root / name).read_text())
        del content["videos"]["square-square-01"], content["videos"]["square-square-02"]
        (root / name).write_text(json.dumps(content))
    config = load_tiny(experiment, transfer(root))
    with caplog.at_level(logging.INFO):
        found = tasks_before_training(config)
    assert {task.category for task in found.tasks} == {"wheel"}
    assert found.facts["transfer"]["unseen"] == ["wheel", "lamp"]
    assert found.facts["transfer"]["evaluated"] == ["wheel"]
    assert "left out, too few videos for the shots: lamp" in caplog.text
    with pytest.raises(SamplingError, match=r"class 'wheel' has 3 video\(s\), 6 needed"):
        tasks_before_training(load_tiny(experiment, transfer(root), "evaluate.shots=[5]"))


def test_a_transfer_may_be_evaluated_on_the_tasks_of_a_file(experiment: Path, other_root: Path, tmp_path: Path) -> None:
    for seen in ("skip", "keep"):
        tasks = tasks_before_training(load_tiny(experiment, transfer(other_root, seen))).tasks
        (tmp_path / f"{seen}.json").write_text(task_file_text(tasks, "elsewhere"))

    def opened(file: str, seen: str) -> VideoCatalog | list[str]:
        return classes_of(load_tiny(experiment, transfer(other_root, seen), f"evaluate.tasks={tmp_path / file}"))

    assert opened("skip.json", "reject") == UNSEEN
    assert len(opened("keep.json", "keep")) == 8
    with pytest.raises(SamplingError, match=r"keep\.json asks for classes.*SQUARE.*transfer\.seen=keep"):
        opened("keep.json", "skip")
    with pytest.raises(
        SamplingError, match=r"skip\.json: task of class 'Disc', seed 0: the benchmark has no such class"
    ):
        tasks_before_training(load_tiny(experiment, f"evaluate.tasks={tmp_path / 'skip.json'}"))


def test_an_unknown_folder_or_policy_of_a_transfer_is_rejected(experiment: Path) -> None:
    with pytest.raises(LayoutError, match=r"nowhere: no such folder"):
        tasks_before_training(load_tiny(experiment, transfer(Path("nowhere"))))
    with pytest.raises(ConfigError, match=r"evaluate\.transfer\.seen"):
        load_tiny(experiment, transfer(Path("nowhere"), "perhaps"))


@pytest.mark.parametrize("cache", [True, False])
def test_a_transfer_is_evaluated_with_controls_overlays_and_both_scorings(
    trained: Path, experiment: Path, other_root: Path, tmp_path: Path, cache: bool
) -> None:
    features = f"machine.cache={tmp_path / 'features' if cache else 'null'}"
    config = load_tiny(experiment, transfer(other_root), features, "evaluate.max_queries_per_class=1")

    run = evaluated(trained, tmp_path / "run", config)

    records = Run(run).evaluated().records
    assert {record.row.group for record in records} == {config.data.group}
    assert {record.item.category for record in records} == set(UNSEEN)
    assert {record.row.control for record in records} == {None, *config.evaluate.controls}
    assert {record.row.scoring for record in records} == {"paper", "davis"}
    assert {record.frames for record in records} == {3}
    pictures = list((run / "results" / "overlays").glob("*.png"))
    assert len(pictures) == config.machine.save_overlays
    for path in pictures:
        Image.open(path).verify()
    frames = 16 * 3  # four pairs of classes, four videos of each, three frames
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == (frames if cache else 0)
    facts = Run(run).evaluated().summary.facts
    assert facts["transfer"]["seen_in_training"] == SEEN
    assert f"transfer to {other_root}, 1 support seed, paper scoring" in results_table(Run(run).evaluated().summary)
    assert f"transfer to {other_root}" in (run / "results" / "report.md").read_text()


def test_kept_classes_are_named_as_seen_in_the_table(
    trained: Path, experiment: Path, other_root: Path, tmp_path: Path
) -> None:
    config = load_tiny(experiment, transfer(other_root, "keep"), *ONE_ROW, "evaluate.max_queries_per_class=1")
    run = evaluated(trained, tmp_path / "run", config)
    assert f"seen in training: {', '.join(SEEN)}" in results_table(Run(run).evaluated().summary)


def test_all_pairs_are_asked_with_one_shot_and_with_as_many_as_there_are(
    trained: Path, tmp_path: Path, tiny_set: TinySet
) -> None:
    root = write_tiny_benchmark(tmp_path / "other", videos_per_class=3, frames=2, seed=3)
    asked = (transfer(root, "keep"), "evaluate.draw=pairs", *ONE_ROW[:3], "evaluate.shots=[1,7]")
    config = load_tiny(write_experiment(tmp_path / "tiny.yaml", tiny_set), *asked)
    folder = evaluated(trained, tmp_path / "pairs", config)
    run = Run(folder).evaluated()
    items = {shots: [r.item for r in run.records if r.row.shots == shots] for shots in (1, 7)}
    assert items[1] == items[7]
    assert {item.seed for item in items[1]} == {0, 1, 2}
    assert "all ordered pairs of videos" in results_table(run.summary)
    again = replace_tasks(config, folder / "results/tasks.json")
    assert without_times(evaluated(trained, tmp_path / "again", again)) == without_times(folder)


def replace_tasks(config: ExperimentConfig, file: Path) -> ExperimentConfig:
    evaluate = config.evaluate.model_copy(update={"tasks": file})
    return config.model_copy(update={"evaluate": evaluate})
