"""Evaluation tasks: paired shots, every query of unseen videos, and controls that are wrong in one thing only."""

import pytest

from episodes.catalog import GROUPS, VideoCatalog
from episodes.errors import SamplingError
from episodes.evaluation_tasks import EvaluationTask, evaluation_tasks, wrong_class_support, wrong_object_expression
from episodes.files import json_digest


def tasks(catalog: VideoCatalog, group: int = 1, **changes: object) -> list[EvaluationTask]:
    given = {"seed": 0, "support_videos": 3, "support_frames": 5, "max_queries_per_class": None}
    return evaluation_tasks(catalog, catalog.novel_classes(group), **{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("group", GROUPS)
def test_there_is_one_task_for_each_novel_class(catalog: VideoCatalog, group: int) -> None:
    assert tuple(task.category for task in tasks(catalog, group=group)) == catalog.novel_classes(group)


def test_no_query_video_is_in_the_support_and_all_others_are_queried(catalog: VideoCatalog) -> None:
    for task in tasks(catalog):
        support = [clip.video for clip in task.support]
        assert len(set(support)) == len(support) == 3
        expected = {
            (video, shown.id, sentence.id, catalog.videos[video].frames)
            for video in catalog.videos_of(task.category)
            if video not in support
            for shown, sentence in catalog.referable(video, task.category)
        }
        found = [(clip.video, clip.object_id, clip.expression_id, clip.frames) for clip in task.queries]
        assert set(found) == expected
        assert len(found) == len(expected)


def test_fewer_shots_give_the_first_clips_of_more_shots(catalog: VideoCatalog) -> None:
    for small, large in zip(tasks(catalog, support_videos=1), tasks(catalog, support_videos=3), strict=True):
        assert small.support == large.support[:1]


def test_seeds_differ_and_repeat(catalog: VideoCatalog) -> None:
    hashes = [json_digest(tasks(catalog, seed=seed)) for seed in (0, 1, 2, 0)]
    assert len(set(hashes)) == 3
    assert hashes[0] == hashes[3]


def test_a_limit_keeps_a_part_of_the_queries_from_as_many_videos_as_possible(catalog: VideoCatalog) -> None:
    for task, limited in zip(tasks(catalog), tasks(catalog, max_queries_per_class=3), strict=True):
        assert limited.support == task.support
        assert len(limited.queries) == 3
        assert set(limited.queries) <= set(task.queries)
        assert len({clip.video for clip in limited.queries}) == 2  # 5 videos, 3 of them in the support
    assert tasks(catalog, max_queries_per_class=1000) == tasks(catalog)


def test_too_few_videos_are_rejected_with_the_numbers(catalog: VideoCatalog) -> None:
    with pytest.raises(SamplingError, match=r"class 'disc' has 5 video\(s\), 6 needed.*evaluate\.shots"):
        tasks(catalog, support_videos=5)
    with pytest.raises(SamplingError):
        tasks(catalog, support_videos=5, small_classes="skip")
    with pytest.raises(SamplingError):
        tasks(catalog, support_videos=0)


def test_wrong_support_is_of_another_class_in_the_query_video_and_of_other_videos(catalog: VideoCatalog) -> None:
    for task in tasks(catalog):
        for query in task.queries:
            support = wrong_class_support(catalog, task, query, shots=3, support_frames=4)
            assert support is not None
            category, clips = support
            assert category != task.category
            assert category in {record.category for record in catalog.videos[query.video].objects}
            assert len({clip.video for clip in clips}) == 3
            assert query.video not in {clip.video for clip in clips}
            for clip in clips:
                assert catalog.videos[clip.video].object(clip.object_id).category == category
                assert len(clip.frames) == 4


def test_wrong_support_is_the_same_for_all_queries_but_for_their_own_videos(catalog: VideoCatalog) -> None:
    for task in tasks(catalog):
        drawn = [wrong_class_support(catalog, task, query, shots=1, support_frames=5) for query in task.queries]
        clips = {found[1] for found in drawn if found is not None}
        # The first choice, and a second one for queries of the first choice's own video.
        assert len(clips) <= 2
        whole = wrong_class_support(catalog, task, task.queries[0], shots=3, support_frames=5)
        assert whole is not None
        assert drawn[0] is not None
        assert whole[1][:1] == drawn[0][1]


def test_there_is_no_wrong_support_without_another_class_or_enough_videos(catalog: VideoCatalog) -> None:
    task = tasks(catalog)[0]
    assert wrong_class_support(catalog, task, task.queries[0], shots=5, support_frames=5) is None


def test_a_wrong_sentence_is_of_another_object_and_of_the_same_class_where_there_is_one(catalog: VideoCatalog) -> None:
    for task in tasks(catalog):
        for query in task.queries:
            wrong = wrong_object_expression(catalog, query, task.category)
            assert wrong is not None
            assert wrong.object_id != query.object_id
            record = catalog.videos[query.video]
            assert record.object(wrong.object_id).category == task.category
            assert wrong.text not in [item.text for item in record.expressions if item.object_id == query.object_id]
            assert wrong_object_expression(catalog, query, task.category) == wrong
