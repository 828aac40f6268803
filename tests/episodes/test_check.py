"""The check finds each kind of damage, names its file, and nothing in a sound benchmark."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from episodes.check import CheckReport, check_benchmark, require_visible
from episodes.errors import LayoutError
from episodes.readers import read_benchmark
from tests.tiny_benchmark import write_tiny_benchmark

VIDEO = "disc-ring-00"
FRAME = f"train/JPEGImages/{VIDEO}/00000.jpg"
MASK = f"train/Annotations/{VIDEO}/00000.png"
META = "train/meta.json"
EXPRESSIONS = "meta_expressions/train/meta_expressions.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_benchmark(tmp_path / "tiny", videos_per_class=2, size=24, frames=2)


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content["videos"])
    file.write_text(json.dumps(content))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-60])


def blank(folder: Path) -> None:
    for file in folder.iterdir():
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(file)


def only(report: CheckReport) -> tuple[str, str, str]:
    """(kind, severity, file) of the report's only problem."""
    assert len(report.problems) == 1, report.as_table()
    problem = report.problems[0]
    return problem.kind, problem.severity, str(Path(problem.file).relative_to(report.root))


def test_a_sound_benchmark_has_no_problem(root: Path) -> None:
    report = check_benchmark(root)
    assert report.problems == ()
    assert not report.stops_training
    assert report.as_table() == f"{root}: 8 videos, 16 frames, 0 errors, 0 warnings: nothing would stop training"


DAMAGE: dict[str, tuple[Callable[[Path], object], tuple[str, str, str]]] = {
    "missing frame": (lambda root: (root / FRAME).unlink(), ("missing frame", "error", FRAME)),
    "missing mask": (lambda root: (root / MASK).unlink(), ("missing mask", "error", MASK)),
    "small mask": (lambda root: Image.new("L", (9, 24), 1).save(root / MASK), ("size mismatch", "error", MASK)),
    "cut frame": (lambda root: cut(root / FRAME), ("unreadable picture", "error", FRAME)),
    "cut mask": (lambda root: cut(root / MASK), ("unreadable picture", "error", MASK)),
    "text as a frame": (lambda root: (root / FRAME).write_text("x"), ("unreadable picture", "error", FRAME)),
    "colour mask": (lambda root: Image.new("RGB", (24, 24)).save(root / MASK), ("unreadable picture", "error", MASK)),
    "video absent from the index": (
        lambda root: (root / "train/JPEGImages/stranger").mkdir(),
        ("id absent from meta", "warning", "train/JPEGImages/stranger"),
    ),
    "unknown object of an expression": (
        lambda root: edit(root / EXPRESSIONS, lambda v: v[VIDEO]["expressions"]["0"].update(obj_id="9")),
        ("expression of an unknown object", "error", EXPRESSIONS),
    ),
    "expressions of an unknown video": (
        lambda root: edit(root / EXPRESSIONS, lambda v: v.update(stranger={"frames": [], "expressions": {}})),
        ("id absent from meta", "warning", EXPRESSIONS),
    ),
    "object that no mask shows": (
        lambda root: edit(
            root / META, lambda v: v[VIDEO]["objects"].update({"7": {"category": "disc", "frames": ["00000"]}})
        ),
        ("object with no visible frame", "warning", f"train/Annotations/{VIDEO}"),
    ),
    "object without frames": (
        lambda root: edit(root / META, lambda v: v[VIDEO]["objects"].update({"7": {"category": "disc", "frames": []}})),
        ("object with no visible frame", "warning", META),
    ),
    "video without expressions": (
        lambda root: edit(root / META, lambda v: v.update(quiet={"objects": {}})),
        ("video without expressions", "warning", EXPRESSIONS),
    ),
    "category outside the list": (
        lambda root: edit(
            root / META, lambda v: v.update(odd={"objects": {"1": {"category": "unicorn", "frames": []}}})
        ),
        ("category outside the class list", "warning", META),
    ),
    "frame name that leaves the root": (
        lambda root: edit(root / EXPRESSIONS, lambda v: v[VIDEO]["frames"].append("../../x")),
        ("path that leaves the root", "error", EXPRESSIONS),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_each_kind_of_damage_is_found_with_its_file(root: Path, name: str) -> None:
    damage, expected = DAMAGE[name]
    damage(root)
    report = check_benchmark(root)
    found = {(p.kind, p.severity, str(Path(p.file).relative_to(root))) for p in report.problems}
    assert expected in found
    assert report.stops_training == (expected[1] == "error")
    others = found - {expected}
    # An entry made odd in one way may be odd in a second one, but never stop training for it.
    assert all(severity == "warning" for _, severity, _ in others), others


def test_an_object_with_a_sentence_and_no_pixel_stops_training(root: Path) -> None:
    blank(root / f"train/Annotations/{VIDEO}")
    report = check_benchmark(root)
    assert [(p.kind, p.severity) for p in report.problems] == [("object with no visible frame", "error")] * 2


def test_training_and_evaluation_reject_the_objects_that_the_check_says_have_no_pixel(root: Path) -> None:
    catalog = read_benchmark(root)
    objects = [(video.id, record.id) for video in catalog.videos.values() for record in video.objects]
    require_visible(catalog, objects)

    blank(root / f"train/Annotations/{VIDEO}")

    with pytest.raises(
        LayoutError, match=rf"object 1 .* of video '{VIDEO}' has no pixel in any of its 2 listed"
    ) as info:
        require_visible(catalog, objects)
    assert "data check" in str(info.value)
    require_visible(catalog, [pair for pair in objects if pair[0] != VIDEO])


def test_an_object_that_one_listed_frame_shows_is_accepted(root: Path) -> None:
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(root / MASK)

    require_visible(read_benchmark(root), [(VIDEO, "1"), (VIDEO, "2")])


def test_a_frame_without_its_object_is_a_warning_once_for_each_object(root: Path) -> None:
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(root / MASK)
    report = check_benchmark(root)
    assert [problem.kind for problem in report.problems] == ["frame without the object"] * 2
    assert not report.stops_training


def test_a_pixel_value_that_no_object_has_is_reported_once_for_a_video(root: Path) -> None:
    edit(root / META, lambda videos: videos[VIDEO]["objects"].pop("2"))
    edit(root / EXPRESSIONS, lambda videos: [videos[VIDEO]["expressions"].pop(key) for key in ("2", "3")])
    kinds = [problem.kind for problem in check_benchmark(root).problems]
    assert kinds.count("id absent from meta") == 1


def test_a_class_with_one_video_stops_training(root: Path) -> None:
    edit(root / EXPRESSIONS, lambda videos: videos[VIDEO]["expressions"].clear())
    report = check_benchmark(root)
    assert [(p.kind, p.severity) for p in report.problems[:2]] == [("class with one video", "error")] * 2
    assert "'disc-ring-01'" in report.problems[0].detail


def test_the_table_and_the_json_tell_the_same(root: Path) -> None:
    (root / FRAME).unlink()
    cut(root / MASK)
    report = check_benchmark(root)
    content = json.loads(json.dumps(report.as_json()))
    assert content["errors"] == 2
    assert content["stops_training"] is True
    assert [problem["kind"] for problem in content["problems"]] == ["missing frame", "unreadable picture"]
    lines = report.as_table().splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:4] == ["error", "missing", "frame", FRAME]
    assert lines[-1].endswith("2 errors, 0 warnings: a training that meets the errors stops")


def test_a_folder_without_an_index_is_a_layout_error(tmp_path: Path) -> None:
    with pytest.raises(LayoutError):
        check_benchmark(tmp_path)
