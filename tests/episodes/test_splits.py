"""Split files confine training and testing of a group to lists of videos."""

import json
from pathlib import Path
from typing import Any

import pytest

from episodes.catalog import VideoCatalog
from episodes.errors import LayoutError
from episodes.readers import read_benchmark
from tests.tiny_benchmark import write_tiny_benchmark


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_benchmark(tmp_path / "tiny", size=16, frames=1)


def write_splits(root: Path, train: Any, test: Any, group: int = 2) -> VideoCatalog:
    (root / "splits").mkdir(exist_ok=True)
    for side, content in (("train", train), ("test", test)):
        (root / f"splits/group{group}_{side}.json").write_text(json.dumps(content))
    return read_benchmark(root)


@pytest.mark.parametrize(
    "wrap", [list, lambda names: {"videos": list(names)}, lambda names: {"videos": {n: {} for n in names}}]
)
def test_each_side_sees_its_own_videos_in_every_accepted_form(root: Path, wrap: Any) -> None:
    names = sorted(read_benchmark(root).videos)
    catalog = write_splits(root, wrap(names[::2]), wrap(names[1::2]))

    assert sorted(catalog.part(2, "train").videos) == names[::2]
    assert sorted(catalog.part(2, "test").videos) == names[1::2]
    assert catalog.part(2, "test").classes == catalog.classes
    assert catalog.part(1, "train") is catalog  # without files of its group nothing is confined
    assert catalog.notes == ()


def test_unknown_videos_are_reported_and_left_out(root: Path) -> None:
    names = sorted(read_benchmark(root).videos)
    catalog = write_splits(root, [*names[:10], "gone"], names[10:])

    assert "gone" not in catalog.part(2, "train").videos
    assert "split names an unknown video (1): 1 of 11 videos are not in the index: ['gone']" in catalog.notes[0]


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_class_that_a_list_leaves_too_few_videos_is_named_with_the_file(root: Path, side: str) -> None:
    whole = read_benchmark(root)
    category = (whole.base_classes(2) if side == "train" else whole.novel_classes(2))[0]
    names = sorted(whole.videos)
    lists = {"train": names[::2], "test": names[1::2]}
    gone = [name for name in lists[side] if category in name][1:]  # one video is left
    lists[side] = [name for name in lists[side] if name not in gone]

    problems = write_splits(root, lists["train"], lists["test"]).problems

    assert {(problem.kind, problem.severity) for problem in problems} == {("class too small in a split", "warning")}
    assert {problem.file for problem in problems} == {str(root / f"splits/group2_{side}.json")}
    assert f"class {category!r} has 1 usable video(s)" in problems[0].detail


def test_a_video_in_both_lists_is_rejected_before_training(root: Path) -> None:
    names = sorted(read_benchmark(root).videos)
    catalog = write_splits(root, names[:10], names[9:])

    with pytest.raises(LayoutError, match=r"group2_test\.json: 1 videos are in the training list of group 2 too"):
        catalog.reject_errors()


@pytest.mark.parametrize("content", [3, {"train": []}, [1, 2], {"videos": 5}])
def test_other_content_is_rejected_with_what_is_accepted(root: Path, content: Any) -> None:
    with pytest.raises(LayoutError, match=r"group2_train\.json: must be a list of video ids, or an object"):
        write_splits(root, content, [])


def test_one_file_of_a_pair_is_not_enough(root: Path) -> None:
    write_splits(root, [], [])
    (root / "splits/group2_test.json").unlink()

    with pytest.raises(LayoutError, match=r"group2_test\.json: not found"):
        read_benchmark(root)
