"""Objects without a sentence: in no episode, or referred to by the name of their class."""

import json
from pathlib import Path

import pytest

from episodes.readers import read_benchmark
from tests.tiny_benchmark import write_tiny_benchmark

SENTENCES = "meta_expressions/train/meta_expressions.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A benchmark in which object 1 of each video has lost its sentences."""
    root = write_tiny_benchmark(tmp_path / "set", names=["giant_cat", "car_park"], frames=2, size=32)
    index = json.loads((root / SENTENCES).read_text())
    for video in index["videos"].values():
        video["expressions"] = {key: item for key, item in video["expressions"].items() if item["obj_id"] != "1"}
    (root / SENTENCES).write_text(json.dumps(index))
    return root


def test_an_object_without_a_sentence_is_in_no_episode_unless_its_class_may_name_it(root: Path) -> None:
    for name in read_benchmark(root).videos:
        without, by_class = read_benchmark(root).videos[name], read_benchmark(root, unnamed="class").videos[name]
        assert {item.object_id for item in without.expressions} == {"2"}
        assert by_class.expressions[:-1] == without.expressions
        unnamed = by_class.object("1")
        added = by_class.expressions[-1]
        assert (added.id, added.object_id) == ("class-1", "1")
        assert added.text == f"the {unnamed.category.replace('_', ' ')}"


def test_a_video_without_any_sentence_is_named_too(root: Path) -> None:
    (root / SENTENCES).write_text(json.dumps({"videos": {}}))
    catalog = read_benchmark(root, unnamed="class")
    assert all(len(video.expressions) == len(video.objects) == 2 for video in catalog.videos.values())
    assert not any(read_benchmark(root).videos_of(name) for name in catalog.classes)


def test_an_object_that_is_never_visible_gets_no_sentence(root: Path) -> None:
    meta = json.loads((root / "train/meta.json").read_text())
    name = sorted(meta["videos"])[0]
    meta["videos"][name]["objects"]["1"]["frames"] = []
    (root / "train/meta.json").write_text(json.dumps(meta))
    assert {item.object_id for item in read_benchmark(root, unnamed="class").videos[name].expressions} == {"2"}


def test_where_every_object_has_a_sentence_nothing_changes(tmp_path: Path) -> None:
    root = write_tiny_benchmark(tmp_path / "set", frames=2, size=32)
    assert read_benchmark(root, unnamed="class").content == read_benchmark(root).content


def test_the_two_readings_of_a_folder_are_two_benchmarks(root: Path) -> None:
    assert read_benchmark(root, unnamed="class").content.hash != read_benchmark(root).content.hash


def test_categories_outside_the_class_list_follow_it_on_request(root: Path) -> None:
    (root / "train/classes.json").write_text(json.dumps(["giant_cat"]))
    catalog = read_benchmark(root, unnamed="class")
    assert catalog.of_all_categories().classes == ("giant_cat", "car_park")
    assert catalog.of_all_categories().videos_of("car_park")
    assert catalog.videos_of("car_park") == ()
