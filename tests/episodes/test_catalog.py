"""Classes, groups and videos of an index."""

from dataclasses import replace
from pathlib import Path

import pytest

from episodes.catalog import GROUPS, VideoCatalog
from episodes.errors import LayoutError


def rebuilt(catalog: VideoCatalog, **changes: object) -> VideoCatalog:
    given = {"name": "x", "root": Path("x"), "videos": catalog.videos.values(), "classes": catalog.classes}
    return VideoCatalog(**{**given, **changes})  # type: ignore[arg-type]


def test_every_class_is_novel_in_exactly_one_group_and_base_in_the_others(catalog: VideoCatalog) -> None:
    for name in catalog.classes:
        assert [group for group in GROUPS if name in catalog.novel_classes(group)] == [catalog.group_of(name)]
    for group in GROUPS:
        assert sorted(catalog.novel_classes(group) + catalog.base_classes(group)) == sorted(catalog.classes)
        assert all((catalog.class_id(name) - 1) % 4 == group - 1 for name in catalog.novel_classes(group))


def test_without_a_group_no_class_is_novel_and_every_video_may_be_trained_on(catalog: VideoCatalog) -> None:
    assert catalog.novel_classes(None) == ()
    assert catalog.base_classes(None) == catalog.classes
    assert all(catalog.base_videos_of(name, None) == catalog.videos_of(name) for name in catalog.classes)
    assert catalog.part(None, "train") is catalog


def test_a_group_that_does_not_exist_is_rejected(catalog: VideoCatalog) -> None:
    for group in (0, 5):
        with pytest.raises(LayoutError, match=f"group {group}"):
            catalog.novel_classes(group)


def test_videos_and_pairs_of_a_class_hold_that_class_only(catalog: VideoCatalog) -> None:
    for name in catalog.classes:
        videos = catalog.videos_of(name)
        assert list(videos) == sorted(videos)
        assert len(videos) == 5
        for video in videos:
            pairs = catalog.referable(video, name)
            assert len(pairs) == 4  # two objects, two sentences each
            assert all(shown.category == name and sentence.object_id == shown.id for shown, sentence in pairs)


def test_an_unknown_class_has_no_videos(catalog: VideoCatalog) -> None:
    assert catalog.videos_of("unicorn") == ()


def test_a_base_video_with_an_object_of_a_novel_class_is_no_base_video(catalog: VideoCatalog) -> None:
    novel = catalog.novel_classes(1)[0]
    base = catalog.base_classes(1)[0]
    mixed = catalog.videos_of(base)[0]
    record = catalog.videos[mixed]
    # The intruder has no sentence: to be seen is enough.
    intruder = replace(record.objects[0], id="9", category=novel)
    videos = {**catalog.videos, mixed: replace(record, objects=(*record.objects, intruder))}
    changed = rebuilt(catalog, videos=videos.values())
    assert mixed in changed.videos_of(base)
    assert mixed not in changed.base_videos_of(base, 1)
    assert catalog.base_videos_of(base, 1) == catalog.videos_of(base)


def test_absent_classes_and_classes_with_one_video_are_noted(catalog: VideoCatalog) -> None:
    first = next(iter(catalog.videos.values()))
    changed = rebuilt(catalog, videos=[first])
    held = {record.category for record in first.objects}
    assert set(changed.absent_classes) == set(catalog.classes) - held
    assert changed.novel_classes(changed.group_of(min(held))) == tuple(n for n in catalog.classes if n in held)
    assert {problem.kind for problem in changed.problems} == {"absent class", "class with one video"}


def test_a_class_listed_twice_is_rejected(catalog: VideoCatalog) -> None:
    with pytest.raises(LayoutError, match="more than once"):
        rebuilt(catalog, classes=[*catalog.classes, catalog.classes[0]])
