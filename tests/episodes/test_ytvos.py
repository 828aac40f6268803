"""The reader accepts what occurs in the wild, names what it leaves out, and rejects what it cannot trust."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from episodes.catalog import GROUPS
from episodes.errors import LayoutError
from episodes.readers import read_benchmark
from episodes.readers.layouts import OFFICIAL_CLASSES
from tests.tiny_benchmark import write_tiny_benchmark

META = "train/meta.json"
EXPRESSIONS = "meta_expressions/train/meta_expressions.json"
VIDEO = "disc-ring-00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_benchmark(tmp_path / "tiny", size=16, frames=2)


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(file.read_text())
    change(content["videos"])
    file.write_text(json.dumps(content))


def test_a_sound_benchmark_has_no_notes(root: Path) -> None:
    catalog = read_benchmark(root)
    assert catalog.notes == ()
    assert len(catalog.videos) == 16
    record = catalog.videos[VIDEO]
    assert record.frames == ("00000", "00005")
    assert all(record.frame_path(f).is_file() and record.mask_path(f).is_file() for f in record.frames)


def test_opening_touches_no_frame(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **options: (touched.append(str(self)), stat(self, **options))[1])
    read_benchmark(root)
    assert touched
    assert not any("JPEGImages" in path or "Annotations" in path for path in touched)


def test_train_json_is_read_where_meta_json_is_missing(root: Path) -> None:
    (root / META).rename(root / "train/train.json")
    assert len(read_benchmark(root).videos) == 16


@pytest.mark.parametrize("name", ["mini-ref-youtube-vos", "Mini-Ref-YouTube-VOS"])
def test_the_folder_above_the_release_is_accepted(root: Path, name: str) -> None:
    root.rename(root.parent / name)
    assert read_benchmark(root.parent).root == root.parent / name


def test_classes_are_the_official_ones_in_their_order_without_a_class_file(root: Path) -> None:
    (root / "train/classes.json").unlink()
    for file in (root / META,):
        for shape, name in zip(("disc", "ring", "square", "bar", "triangle"), OFFICIAL_CLASSES, strict=False):
            file.write_text(file.read_text().replace(f'"category": "{shape}"', f'"category": "{name}"'))
    catalog = read_benchmark(root)
    assert catalog.classes == OFFICIAL_CLASSES
    assert len(OFFICIAL_CLASSES) == 48
    assert catalog.class_id("hat") == 1
    assert catalog.class_id("person") == 48
    assert "category outside the class list (3)" in " ".join(catalog.notes)
    assert "absent class (43)" in " ".join(catalog.notes)


def test_classes_follow_the_alphabet_when_nothing_orders_them(root: Path) -> None:
    (root / "train/classes.json").unlink()
    catalog = read_benchmark(root)
    assert catalog.classes == tuple(sorted(catalog.classes))
    assert "classes without an order" in catalog.notes[0]


def test_videos_in_only_one_of_the_two_files_are_noted(root: Path) -> None:
    edit(root / EXPRESSIONS, lambda videos: videos.update(stranger=videos.pop(VIDEO)))
    catalog = read_benchmark(root)
    assert "stranger" not in catalog.videos
    assert catalog.videos[VIDEO].expressions == ()
    assert catalog.videos[VIDEO].frames == ("00000", "00005")  # from its objects
    assert VIDEO not in catalog.videos_of("disc")
    notes = " ".join(catalog.notes)
    assert "'stranger'" in notes
    assert f"video without expressions (1): video '{VIDEO}'" in notes


def test_ids_may_be_numbers_and_have_gaps_and_frames_come_in_time_order(root: Path) -> None:
    def change(videos: dict[str, Any]) -> None:
        entry = videos[VIDEO]
        entry["expressions"] = {"10": {"exp": "b", "obj_id": 1}, "7": {"exp": "a", "obj_id": "1"}}
        entry["frames"] = ["00005", "00000", "00005"]

    edit(root / EXPRESSIONS, change)
    record = read_benchmark(root).videos[VIDEO]
    assert [(item.id, item.text) for item in record.expressions] == [("7", "a"), ("10", "b")]
    assert record.frames == ("00000", "00005")


def test_an_expression_of_an_unknown_object_is_kept_out_and_can_be_rejected(root: Path) -> None:
    edit(root / EXPRESSIONS, lambda videos: videos[VIDEO]["expressions"]["0"].update(obj_id="77"))
    catalog = read_benchmark(root)
    assert "0" not in [item.id for item in catalog.videos[VIDEO].expressions]
    with pytest.raises(LayoutError, match=r"meta_expressions\.json: expression '0' of video 'disc-ring-00' .*'77'"):
        catalog.reject_errors()


def test_an_object_without_a_visible_frame_is_in_no_episode(root: Path) -> None:
    edit(root / META, lambda videos: videos[VIDEO]["objects"]["1"].update(frames=[]))
    catalog = read_benchmark(root)
    shown = {record.id for name in catalog.classes for record, _ in catalog.referable(VIDEO, name)}
    assert shown == {"2"}
    assert "object with no visible frame (1)" in " ".join(catalog.notes)


def test_frames_that_the_video_lacks_are_taken_from_the_object(root: Path) -> None:
    edit(root / META, lambda videos: videos[VIDEO]["objects"]["1"].update(frames=["00000", "00099"]))
    catalog = read_benchmark(root)
    assert catalog.videos[VIDEO].object("1").frames == ("00000",)
    assert "'00099'" in " ".join(catalog.notes)


def test_an_object_without_a_frame_list_counts_as_always_visible(root: Path) -> None:
    edit(root / META, lambda videos: videos[VIDEO]["objects"]["1"].pop("frames"))
    assert read_benchmark(root).videos[VIDEO].object("1").frames == ("00000", "00005")


def test_a_category_outside_the_class_list_is_kept_and_in_no_group(root: Path) -> None:
    edit(root / META, lambda videos: videos[VIDEO]["objects"]["1"].update(category="unicorn"))
    catalog = read_benchmark(root)
    assert catalog.videos[VIDEO].object("1").category == "unicorn"
    for group in GROUPS:
        assert "unicorn" not in (*catalog.base_classes(group), *catalog.novel_classes(group))
    assert [problem.kind for problem in catalog.problems] == ["category outside the class list"]


def test_odd_object_ids_and_empty_sentences_are_left_out_and_noted(root: Path) -> None:
    edit(root / META, lambda videos: videos[VIDEO]["objects"].update({"256": {"category": "disc", "frames": []}}))
    edit(root / EXPRESSIONS, lambda videos: videos[VIDEO]["expressions"]["0"].update(exp="  "))
    catalog = read_benchmark(root)
    assert [record.id for record in catalog.videos[VIDEO].objects] == ["1", "2"]
    notes = " ".join(catalog.notes)
    assert "object id is not a palette value (1)" in notes
    assert "expression without words (1)" in notes


@pytest.mark.parametrize("evil", ["../outside", "..", "a/b", "/etc", "a\\b", ""])
@pytest.mark.parametrize("file", [META, EXPRESSIONS])
def test_a_video_id_that_leaves_the_root_is_rejected(root: Path, file: str, evil: str) -> None:
    edit(root / file, lambda videos: videos.update({evil: videos.pop(VIDEO)}))
    with pytest.raises(LayoutError, match="not a plain file name"):
        read_benchmark(root)


@pytest.mark.parametrize("file", [META, EXPRESSIONS])
def test_a_frame_name_that_leaves_the_root_is_rejected(root: Path, file: str) -> None:
    def change(videos: dict[str, Any]) -> None:
        entry = videos[VIDEO]["objects"]["1"] if file == META else videos[VIDEO]
        entry["frames"].append("../../secret")

    edit(root / file, change)
    with pytest.raises(LayoutError, match=r"\.\./\.\./secret"):
        read_benchmark(root)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"videos": []}', '{"other": {}}', '{"videos": {"v": 3}}', '{"videos": {"v": {"objects": {"1": {}}}}}'],
)
def test_a_broken_index_is_named(root: Path, content: str) -> None:
    (root / META).write_text(content)
    with pytest.raises(LayoutError, match=r"meta\.json"):
        read_benchmark(root)


def test_deep_nesting_and_wrong_encoding_are_layout_errors(root: Path) -> None:
    for content in (b"[" * 200_000, b"\xff\xfe{}"):
        (root / EXPRESSIONS).write_bytes(content)
        with pytest.raises(LayoutError, match="not readable as JSON"):
            read_benchmark(root)


def test_expression_ids_may_have_gaps_and_others_than_numbers_are_kept_and_named(root: Path) -> None:
    def rename(videos: dict[str, Any]) -> None:
        said = videos[VIDEO]["expressions"]
        videos[VIDEO]["expressions"] = {"7": said["0"], "three": said["1"]}

    edit(root / EXPRESSIONS, rename)
    catalog = read_benchmark(root)

    assert [item.id for item in catalog.videos[VIDEO].expressions] == ["7", "three"]
    assert [problem.kind for problem in catalog.problems] == ["expression id is not a number"]
    assert "'three'" in catalog.problems[0].detail


def test_a_missing_folder_or_index_says_what_was_looked_for(root: Path, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no such folder"):
        read_benchmark(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match=r"Looked for train/ and Images/ in it and in its folders mini-ref"):
        read_benchmark(tmp_path / "empty")
    (root / EXPRESSIONS).unlink()
    with pytest.raises(LayoutError, match=r"meta_expressions\.json: not found"):
        read_benchmark(root)
