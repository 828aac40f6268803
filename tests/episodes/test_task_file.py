"""tasks.json: what was drawn reads back equal, and whatever does not fit the benchmark is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from episodes.catalog import VideoCatalog
from episodes.errors import SamplingError
from episodes.evaluation_tasks import EvaluationTask, evaluation_tasks
from episodes.files import json_digest
from episodes.task_file import read_task_file, read_tasks, task_file_text


@pytest.fixture
def tasks(catalog: VideoCatalog) -> list[EvaluationTask]:
    return [
        task
        for seed in (0, 7)
        for task in evaluation_tasks(
            catalog, catalog.novel_classes(1), seed=seed, support_videos=2, support_frames=3, max_queries_per_class=3
        )
    ]


@pytest.fixture
def file(tasks: list[EvaluationTask], tmp_path: Path) -> Path:
    path = tmp_path / "tasks.json"
    path.write_text(task_file_text(tasks, "tiny"), encoding="utf-8")
    return path


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """The file after a change to its tasks, with the hash that belongs to them."""
    content = json.loads(path.read_text())
    change(content["tasks"])
    path.write_text(json.dumps({**content, "manifest": json_digest(content["tasks"])}))


def test_tasks_read_back_equal_with_name_and_hash(
    tasks: list[EvaluationTask], file: Path, catalog: VideoCatalog
) -> None:
    assert read_tasks(file, catalog) == tasks
    found = read_task_file(file)
    assert (found.benchmark, found.manifest) == ("tiny", json_digest(tasks))


def test_a_written_file_is_written_again_bit_for_bit(file: Path, catalog: VideoCatalog) -> None:
    assert task_file_text(read_tasks(file, catalog), "tiny") == file.read_text()


def test_every_task_stands_on_a_line_of_its_own(tasks: list[EvaluationTask], file: Path) -> None:
    assert sum(line.startswith('{"category"') for line in file.read_text().splitlines()) == len(tasks)


def test_tasks_that_were_changed_under_their_hash_are_rejected(file: Path, catalog: VideoCatalog) -> None:
    file.write_text(file.read_text().replace('"seed": 7', '"seed": 8', 1))
    with pytest.raises(SamplingError, match=r"tasks\.json: its manifest is \w{64}, but its tasks hash to \w{64}"):
        read_tasks(file, catalog)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file: Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        ('{"benchmark": "tiny", "tasks": []}', "manifest: Field required"),
        ('{"benchmark": "tiny", "manifest": "", "tasks": [{"category": "disc"}]}', r"tasks\.0\.seed: Field required"),
        ('{"benchmark": 3, "manifest": "", "tasks": []}', "benchmark: Input should be a valid string, found 3"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(content: str, said: str, file: Path, catalog: VideoCatalog) -> None:
    file.write_text(content)
    with pytest.raises(SamplingError, match=rf"tasks\.json: {said}"):
        read_tasks(file, catalog)


def test_an_absent_file_and_one_without_tasks_are_rejected(tmp_path: Path, catalog: VideoCatalog) -> None:
    with pytest.raises(SamplingError, match=r"none\.json: no such file"):
        read_tasks(tmp_path / "none.json", catalog)
    (tmp_path / "empty.json").write_text(task_file_text([], "tiny"))
    with pytest.raises(SamplingError, match=r"empty\.json: holds no task"):
        read_tasks(tmp_path / "empty.json", catalog)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[0].update(category="dragon"), "the benchmark has no such class"),
        (lambda t: t[0].update(seed=-1), "a seed is at least 0"),
        (lambda t: t[0].update(support=[]), "it has no support clip"),
        (lambda t: t[0].update(queries=[]), "it has no query clip"),
        (lambda t: t[0]["support"][1].update(video="v9"), "support clip 2: video 'v9' is unknown"),
        (lambda t: t[0]["queries"][0].update(object_id="77"), r"query clip 1: object '77' of video '\S+' is unknown"),
        (lambda t: t[0].update(category="ring"), r"support clip 1: object '\d' of video '\S+' is of class 'disc'"),
        (lambda t: t[0]["queries"][2].update(expression_id="99"), "query clip 3: expression '99' of object"),
        (lambda t: t[0]["support"][0]["frames"].append("00001"), r"support clip 1: frame '00001' of video"),
        (lambda t: t[0]["support"][0]["frames"].clear(), "support clip 1: a clip has no frames"),
        (
            lambda t: t[0]["queries"][0]["frames"].reverse(),
            r"query clip 1: frames of video '\S+' are not in time order",
        ),
        (lambda t: t[0]["support"][0]["frames"].pop(), r"support clips have \[2, 3\] frames"),
        (lambda t: t[0]["support"].append(t[0]["support"][0]), r"video '\S+' has two of the support clips"),
        (lambda t: t[0]["queries"].append(t[0]["support"][0]), r"video '\S+' is in both support and queries"),
        (lambda t: t[0]["queries"].append(t[0]["queries"][0]), r"query \(.*\) .* occurs twice"),
        (lambda t: t.append(t[0]), r"its query \(.*\) .* is in an earlier task of this class and seed"),
    ],
)
def test_a_task_that_cannot_be_evaluated_is_named_with_the_value(
    change: Callable[[list[dict[str, Any]]], object], said: str, file: Path, catalog: VideoCatalog
) -> None:
    rewrite(file, change)
    with pytest.raises(SamplingError, match=rf"tasks\.json: task of class '\w+', seed -?\d: {said}"):
        read_tasks(file, catalog)


def test_an_expression_of_another_object_is_rejected(file: Path, catalog: VideoCatalog) -> None:
    def swap(tasks: list[dict[str, Any]]) -> None:
        query = tasks[0]["queries"][0]
        others = [e for e in catalog.videos[query["video"]].expressions if e.object_id != query["object_id"]]
        query["expression_id"] = others[0].id

    rewrite(file, swap)
    with pytest.raises(SamplingError, match=r"query clip 1: expression '\d+' of object '\d' in video '\S+' is unknown"):
        read_tasks(file, catalog)


def test_a_file_of_another_benchmark_names_both(file: Path, catalog: VideoCatalog) -> None:
    rewrite(file, lambda tasks: tasks[0]["support"][0].update(video="elsewhere"))
    with pytest.raises(SamplingError, match=rf"written for benchmark 'tiny', and {catalog.root} is evaluated"):
        read_tasks(file, catalog)
