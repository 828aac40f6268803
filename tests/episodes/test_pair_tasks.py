"""Every ordered pair of videos of a class is asked once, with one shot and with more."""

from itertools import permutations
from pathlib import Path

import pytest

from episodes.catalog import VideoCatalog
from episodes.errors import SamplingError
from episodes.evaluation_tasks import EvaluationTask
from episodes.pair_tasks import pair_tasks
from episodes.readers import read_benchmark
from episodes.task_file import read_tasks, task_file_text
from tests.tiny_benchmark import write_tiny_benchmark

CLASS = "disc"


def tasks(catalog: VideoCatalog, **changes: object) -> list[EvaluationTask]:
    given = {"support_videos": 1, "support_frames": 3}
    return pair_tasks(catalog, [CLASS], **{**given, **changes})  # type: ignore[arg-type]


def pairs(drawn: list[EvaluationTask]) -> list[tuple[str, str]]:
    return [(task.support[0].video, query.video) for task in drawn for query in task.queries]


@pytest.mark.parametrize("shots", [1, 2, 3, 4, 9])
def test_every_ordered_pair_is_asked_once_with_every_sentence(catalog: VideoCatalog, shots: int) -> None:
    videos = catalog.videos_of(CLASS)
    expected = [pair for pair in permutations(videos, 2) for _ in range(len(catalog.referable(pair[1], CLASS)))]
    assert sorted(pairs(tasks(catalog, support_videos=shots))) == sorted(expected)


def test_a_seed_is_the_position_of_the_first_support_video_whatever_the_shots(catalog: VideoCatalog) -> None:
    for shots in (1, 3, 9):
        for task in tasks(catalog, support_videos=shots):
            assert catalog.videos_of(CLASS)[task.seed] == task.support[0].video


def test_more_shots_begin_with_the_same_clip_and_take_as_many_videos_as_there_are(catalog: VideoCatalog) -> None:
    alone = {task.seed: task.support[0] for task in tasks(catalog)}
    for shots in (2, 4, 9):
        for task in tasks(catalog, support_videos=shots):
            assert task.support[0] == alone[task.seed]
            videos = [clip.video for clip in task.support]
            assert len(set(videos)) == len(videos) == min(shots, len(catalog.videos_of(CLASS)) - 1)
            assert not {query.video for query in task.queries} & set(videos)


def test_queries_that_share_a_support_share_a_task(catalog: VideoCatalog) -> None:
    assert len(tasks(catalog)) == len(catalog.videos_of(CLASS))
    for shots in (2, 9):
        supports = [task.support for task in tasks(catalog, support_videos=shots)]
        assert len(set(supports)) == len(supports)


def test_a_limit_keeps_queries_of_as_many_videos_as_possible(catalog: VideoCatalog) -> None:
    for task in tasks(catalog, max_queries_per_class=3):
        assert len({query.video for query in task.queries}) == len(task.queries) == 3


def test_tasks_read_back_equal_and_repeat(catalog: VideoCatalog, tmp_path: Path) -> None:
    drawn = tasks(catalog, support_videos=2)
    assert drawn == tasks(catalog, support_videos=2)
    (tmp_path / "tasks.json").write_text(task_file_text(drawn, "tiny"))
    assert read_tasks(tmp_path / "tasks.json", catalog) == drawn


def test_a_class_with_one_video_is_rejected_or_left_out(tmp_path: Path) -> None:
    catalog = read_benchmark(write_tiny_benchmark(tmp_path / "one", videos_per_class=1, frames=2, size=32))
    with pytest.raises(SamplingError, match="class 'disc' has a single video"):
        tasks(catalog)
    with pytest.raises(SamplingError, match="no class is left"):
        tasks(catalog, small_classes="skip")
