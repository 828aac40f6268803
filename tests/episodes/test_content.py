"""Two benchmarks are the same when they hold the same, wherever they lie; what changed is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from episodes.catalog import VideoCatalog
from episodes.content import BenchmarkContent
from episodes.readers import read_benchmark
from tests.tiny_benchmark import write_tiny_benchmark

FIRST = "disc-ring-00"


def content(root: Path) -> BenchmarkContent:
    return read_benchmark(root).content


@pytest.fixture
def copy(tmp_path: Path, tiny_root: Path) -> Path:
    return Path(shutil.copytree(tiny_root, tmp_path / "copy"))


def _change_json(file: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(file.read_text())
    change(values["videos"])
    file.write_text(json.dumps(values))


def _reword(root: Path) -> None:
    file = root / "meta_expressions/train/meta_expressions.json"
    _change_json(file, lambda videos: videos[FIRST]["expressions"]["0"].update(exp="another sentence"))


def _repaint(root: Path) -> None:
    masks = sorted((root / "train/Annotations" / FIRST).iterdir())
    masks[0].write_bytes(masks[-1].read_bytes())


def _enlarge_picture(root: Path) -> None:
    picture = sorted((root / "train/JPEGImages" / FIRST).iterdir())[0]
    picture.write_bytes(picture.read_bytes() + b"\0")


def _remove_mask(root: Path) -> None:
    sorted((root / "train/Annotations" / FIRST).iterdir())[0].unlink()


def _put_folder_in_place_of_a_mask(root: Path) -> None:
    _remove_mask(root)
    (root / "train/Annotations" / FIRST / "00000.png").mkdir()


def _remove_video(root: Path) -> None:
    _change_json(root / "train/meta.json", lambda videos: videos.pop(FIRST))


def _add_video(root: Path) -> None:
    _change_json(root / "train/meta.json", lambda videos: videos.update({"zz": {"objects": {}}}))


def _reorder_classes(root: Path) -> None:
    file = root / "train/classes.json"
    file.write_text(json.dumps(json.loads(file.read_text())[::-1]))


def _split(root: Path) -> None:
    (root / "splits").mkdir()
    for side, videos in (("train", [FIRST]), ("test", [])):
        (root / f"splits/group1_{side}.json").write_text(json.dumps(videos))


def test_a_copy_elsewhere_is_the_same_benchmark(copy: Path, tiny_root: Path) -> None:
    assert content(copy) == content(tiny_root)
    assert content(copy).changes(content(tiny_root)) == []


def test_another_folder_layout_of_the_same_files_is_the_same_benchmark(tmp_path: Path) -> None:
    layouts = ("sailvos", "sailvos-readme")
    roots = [write_tiny_benchmark(tmp_path / layout / "mini-SAIL-VOS", layout=layout) for layout in layouts]
    assert content(roots[0]) == content(roots[1])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_reword, f"1 video with other frames, objects or sentences ({FIRST})"),
        (_repaint, f"1 video with other masks or pictures ({FIRST})"),
        (_enlarge_picture, f"1 video with other masks or pictures ({FIRST})"),
        (_remove_mask, f"1 video with other masks or pictures ({FIRST})"),
        (_put_folder_in_place_of_a_mask, f"1 video with other masks or pictures ({FIRST})"),
        (_remove_video, f"1 video removed ({FIRST})"),
        (_add_video, "1 video added (zz)"),
        (_reorder_classes, "the class list"),
        (_split, "the split lists"),
    ],
)
def test_whatever_changes_makes_another_benchmark_and_is_named(
    copy: Path, change: Callable[[Path], None], named: str
) -> None:
    before = content(copy)
    change(copy)
    after = content(copy)
    assert after.hash != before.hash
    assert before.changes(after) == [named]


def test_many_changed_videos_are_counted_and_the_first_ones_named(copy: Path) -> None:
    before = content(copy)
    for folder in (copy / "train/Annotations").iterdir():
        (folder / "00000.png").unlink()
    [named] = before.changes(content(copy))
    videos = sorted(before.index)
    assert named == f"{len(videos)} videos with other masks or pictures ({', '.join(videos[:3])}, ...)"


def test_the_order_of_the_videos_does_not_matter(catalog: VideoCatalog) -> None:
    reversed_ = VideoCatalog(
        name="x", root=Path("x"), videos=list(catalog.videos.values())[::-1], classes=catalog.classes
    )
    assert reversed_.content == catalog.content
