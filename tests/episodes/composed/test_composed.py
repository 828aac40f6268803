"""Composed clips as they lie on disk: a clean benchmark, true sentences, masks of what is visible, same bytes."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from episodes.check import check_benchmark
from episodes.composed import ComposedConfig, ComposedError, write_composed
from episodes.readers import read_benchmark
from tests.episodes.composed.drawn_pictures import CLASSES, write_backgrounds, write_objects, write_stills

SMALL = {"width": 160, "height": 96, "frames": 4, "smallest": 0.25}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pictures")
    return {
        "objects": (write_objects(folder / "objects"),),
        "stills": (write_stills(folder / "stills"),),
        "backgrounds": (write_backgrounds(folder / "backgrounds"),),
    }


@pytest.fixture(scope="module")
def root(pictures: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("composed") / "set"
    write_composed(out, config=ComposedConfig(**pictures, **SMALL, videos_per_class=13, leaving=0.15), workers=1)
    return out


@pytest.fixture(scope="module")
def scenes(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "scenes.json").read_text("utf-8"))["videos"])


def masks(root: Path, video: str) -> np.ndarray:
    """(T, H, W) uint8"""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((root / "train/Annotations" / video).iterdir())])


def centres(mask: np.ndarray) -> list[tuple[float, float] | None]:
    return [(float(np.nonzero(m)[1].mean()), float(np.nonzero(m)[0].mean())) if m.any() else None for m in mask]


def pairs_with(scenes: dict[str, Any], attribute: str) -> list[tuple[str, str, str, dict[str, Any], dict[str, Any]]]:
    """(video, id, id of the other object of the class, their entries) of all objects that the attribute identifies."""
    found = []
    for video, record in scenes.items():
        for number, entry in record["objects"].items():
            for other, twin in record["objects"].items():
                if other != number and twin["class"] == entry["class"] and entry["attribute"] == attribute:
                    found.append((video, number, other, entry, twin))
    assert found, attribute
    return found


# --------------------------------------------------------------------------- the benchmark


def test_the_benchmark_is_clean_and_has_the_classes_in_order(root: Path) -> None:
    report = check_benchmark(root)
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    assert json.loads((root / "train/classes.json").read_text("utf-8")) == sorted(CLASSES)
    assert set(read_benchmark(root).videos) == {path.name for path in (root / "train/JPEGImages").iterdir()}


def test_every_class_has_the_videos_that_were_asked_for_or_one_more(scenes: dict[str, Any]) -> None:
    count = Counter(name for record in scenes.values() for name in record["classes"])
    assert set(count) == set(CLASSES)
    assert set(count.values()) <= {13, 14}


def test_no_clip_mixes_groups(scenes: dict[str, Any]) -> None:
    group = {name: index % 4 + 1 for index, name in enumerate(sorted(CLASSES))}
    for record in scenes.values():
        assert {group[entry["class"]] for entry in record["objects"].values()} == {record["group"]}


def test_scenes_have_two_to_four_objects_and_sometimes_three_classes(scenes: dict[str, Any]) -> None:
    entries = [list(r["objects"].values()) for r in scenes.values() if r["kind"] == "scene"]
    assert {len(of) for of in entries} == {2, 3, 4}
    assert {len({e["class"] for e in of}) for of in entries} == {2, 3}


def test_there_are_clips_of_all_kinds(scenes: dict[str, Any]) -> None:
    assert {record["kind"] for record in scenes.values()} == {"scene", "still", "mosaic"}
    assert {record["attribute"] for record in scenes.values()} == {
        "name",
        "caption",
        "position",
        "size",
        "motion",
        "colour",
    }


def test_the_masks_hold_the_visible_pixels_that_the_record_states(root: Path, scenes: dict[str, Any]) -> None:
    covered = absent = 0
    for video, record in scenes.items():
        truth = masks(root, video)
        assert truth.shape == (4, 96, 160)
        assert set(np.unique(truth)) <= {0, *map(int, record["objects"])}
        for number, entry in record["objects"].items():
            pixels = (truth == int(number)).sum(axis=(1, 2)).tolist()
            assert pixels == entry["visible_pixels"]
            assert all(seen <= whole for seen, whole in zip(pixels, entry["whole_pixels"], strict=True))
            covered += sum(seen < whole for seen, whole in zip(pixels, entry["whole_pixels"], strict=True))
            absent += pixels.count(0)
    assert covered > 0, "some object must be partly covered"
    assert absent > 0, "some object must leave the view"


def test_a_mosaic_shows_one_class_in_each_half(root: Path, scenes: dict[str, Any]) -> None:
    mosaics = [video for video, record in scenes.items() if record["kind"] == "mosaic"]
    for video in mosaics:
        truth = masks(root, video)
        assert len(scenes[video]["objects"]) == 2
        assert (set(np.unique(truth[:, :, :80])), set(np.unique(truth[:, :, 80:]))) == ({0, 1}, {0, 2})


def test_frames_are_lit_and_compressed_but_not_empty(root: Path, scenes: dict[str, Any]) -> None:
    for video in list(scenes)[:20]:
        for path in (root / "train/JPEGImages" / video).iterdir():
            assert np.asarray(Image.open(path)).std() > 5


# --------------------------------------------------------------------------- sentences


def test_in_a_two_by_two_clip_class_or_value_alone_leave_two_candidates(scenes: dict[str, Any]) -> None:
    fours = [r for r in scenes.values() if r["attribute"] not in ("name", "caption") and len(r["objects"]) == 4]
    fours = [r for r in fours if all(e["attribute"] == r["attribute"] for e in r["objects"].values())]
    assert fours
    for record in fours:
        entries = list(record["objects"].values())
        for entry in entries:
            assert sum(e["class"] == entry["class"] for e in entries) == 2
            assert sum(e["value"] == entry["value"] for e in entries) == 2
            assert sum((e["class"], e["value"]) == (entry["class"], entry["value"]) for e in entries) == 1


def test_where_the_class_name_alone_is_said_no_other_object_has_it(scenes: dict[str, Any]) -> None:
    for record in scenes.values():
        for entry in record["objects"].values():
            if entry["attribute"] == "name":
                assert sum(e["class"] == entry["class"] for e in record["objects"].values()) == 1


def test_every_sentence_holds_its_class_and_no_other(scenes: dict[str, Any]) -> None:
    for record in scenes.values():
        for entry in record["objects"].values():
            (text,) = entry["expressions"]
            assert [name for name in CLASSES if name in text.replace(",", "").split()] == [entry["class"]]


def test_sentences_of_two_objects_of_a_class_differ(scenes: dict[str, Any]) -> None:
    for record in scenes.values():
        texts = [entry["expressions"][0] for entry in record["objects"].values()]
        assert len(set(texts)) == len(texts)


def test_place_words_are_true_of_the_masks_in_every_frame(root: Path, scenes: dict[str, Any]) -> None:
    for video, number, other, entry, _ in pairs_with(scenes, "position"):
        axis = 0 if entry["value"] in ("left", "right") else 1
        sign = 1 if entry["value"] in ("left", "top") else -1
        truth = masks(root, video)
        places = zip(centres(truth == int(number)), centres(truth == int(other)), strict=True)
        assert min(sign * (b[axis] - a[axis]) for a, b in places if a and b) > 5


def test_size_words_are_true_of_the_masks_in_every_frame(root: Path, scenes: dict[str, Any]) -> None:
    for _, _, _, entry, twin in pairs_with(scenes, "size"):
        large, small = (entry, twin) if entry["value"] == "large" else (twin, entry)
        areas = zip(large["visible_pixels"], small["visible_pixels"], strict=True)
        assert all(a > b for a, b in areas if a and b)


def test_motion_words_are_true_of_the_masks(root: Path, scenes: dict[str, Any]) -> None:
    for video, number, _, entry, twin in pairs_with(scenes, "motion"):
        axis = 0 if entry["value"] in ("left", "right") else 1
        sign = -1 if entry["value"] in ("left", "up") else 1
        seen = [c for c in centres(masks(root, video) == int(number)) if c is not None]
        assert min(sign * (b[axis] - a[axis]) for a, b in pairwise(seen)) > 0
        assert {entry["value"], twin["value"]} in ({"left", "right"}, {"up", "down"})


def test_captions_tell_the_two_objects_apart(scenes: dict[str, Any]) -> None:
    for _, _, _, entry, twin in pairs_with(scenes, "caption"):
        assert entry["caption"] in entry["expressions"][0]
        assert entry["caption"] != twin["caption"]


# --------------------------------------------------------------------------- writing


def test_the_same_pictures_and_seed_give_the_same_bytes_for_any_number_of_workers(
    pictures: dict[str, Any], tmp_path: Path
) -> None:
    config = ComposedConfig(**pictures, **SMALL, videos_per_class=2)
    write_composed(tmp_path / "one", config=config, workers=1)
    write_composed(tmp_path / "two", config=config, workers=2)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    write_composed(tmp_path / "one", config=config)  # kept
    with pytest.raises(ComposedError, match="seed is 0, asked for 1"):
        write_composed(tmp_path / "one", config=config.model_copy(update={"seed": 1}))


def test_other_pictures_are_another_benchmark(pictures: dict[str, Any], tmp_path: Path) -> None:
    config = ComposedConfig(**pictures, **SMALL, videos_per_class=2)
    write_composed(tmp_path / "set", config=config, workers=1)
    more = (*pictures["backgrounds"], write_backgrounds(tmp_path / "more", count=1, width=240))
    with pytest.raises(ComposedError, match="pictures is"):
        write_composed(tmp_path / "set", config=config.model_copy(update={"backgrounds": more}))
