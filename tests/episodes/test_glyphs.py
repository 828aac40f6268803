"""The embedded benchmark as it lies on disk: true sentences, fair distractors, same pixels everywhere."""

import colorsys
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from episodes.glyphs import GlyphsConfig, GlyphsError, write_glyphs
from episodes.glyphs.appearance import COLOURS, hue_distance
from episodes.glyphs.classes import CLASS_NAMES, GROUPS
from episodes.glyphs.contact_sheet import contact_sheet

SMALL = GlyphsConfig(seed=5, size=96, frames=4, videos_per_class=2, expressions_per_object=3, leaving=0.15)
TINY = GlyphsConfig(seed=1, size=48, frames=3, videos_per_class=1)

# What a reader understands, written down apart from the generator's own templates.
SIGNALS = {
    ("size", "large"): {"large", "larger", "big", "bigger"},
    ("size", "small"): {"small", "smaller", "little", "tiny"},
    ("texture", "plain"): {"plain", "unpatterned", "single-tone", "without any pattern", "no pattern"},
    ("texture", "striped"): {"striped", "stripy", "stripes"},
    ("texture", "dotted"): {"dotted", "spotted", "dots"},
    ("texture", "checkered"): {"checkered", "chequered", "checks"},
    ("position", "top"): {"upper", "top"},
    ("position", "bottom"): {"lower", "bottom"},
    ("motion", "up"): {"up", "upwards"},
    ("motion", "down"): {"down", "downwards"},
    **{("colour", colour): {colour} for colour in COLOURS},
}
MOVING = {"moving", "moves", "drifts", "going"}


def has(text: str, phrase: str) -> bool:
    """Whole words only."""
    return f" {phrase} " in f" {text} "


def understood(text: str) -> set[tuple[str, str]]:
    """All (attribute, value) facts that a sentence states."""
    facts = {fact for fact, phrases in SIGNALS.items() if any(has(text, phrase) for phrase in phrases)}
    kind = "motion" if any(has(text, word) for word in MOVING) else "position"
    return facts | {(kind, side) for side in ("left", "right") if has(text, side)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("glyphs") / "set"
    write_glyphs(out, config=SMALL, workers=1)
    return out


@pytest.fixture(scope="module")
def scenes(root: Path) -> dict[str, Any]:
    return dict(read(root / "scenes.json")["videos"])


@pytest.fixture(scope="module")
def expressions(root: Path) -> dict[str, Any]:
    return dict(read(root / "meta_expressions/train/meta_expressions.json")["videos"])


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def masks(root: Path, video: str) -> np.ndarray:
    """(T, H, W) uint8"""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((root / "train/Annotations" / video).iterdir())])


def pictures(root: Path, video: str) -> np.ndarray:
    """(T, H, W, 3) uint8"""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((root / "train/JPEGImages" / video).iterdir())])


def objects_with(scenes: dict[str, Any], attribute: str) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """(video, id, entry, entry of the other object of the same class) of all videos with that attribute."""
    found = []
    for video, record in scenes.items():
        if record["attribute"] == attribute:
            for number, entry in record["objects"].items():
                (twin,) = (e for n, e in record["objects"].items() if n != number and e["class"] == entry["class"])
                found.append((video, number, entry, twin))
    assert found
    return found


def centroids(mask: np.ndarray) -> list[tuple[float, float] | None]:
    """x, y of each frame's visible pixels."""
    return [(float(np.nonzero(m)[1].mean()), float(np.nonzero(m)[0].mean())) if m.any() else None for m in mask]


# --------------------------------------------------------------------------- sentences


def test_each_sentence_states_the_fact_of_the_scene_record_and_nothing_else(
    scenes: dict[str, Any], expressions: dict[str, Any]
) -> None:
    count = 0
    for video, record in expressions.items():
        for item in record["expressions"].values():
            entry = scenes[video]["objects"][item["obj_id"]]
            fact = set() if entry["attribute"] == "name" else {(entry["attribute"], entry["value"])}
            assert understood(item["exp"]) == fact, item["exp"]
            assert [name for name in CLASS_NAMES if has(item["exp"], name)] == [entry["class"]], item["exp"]
            count += 1
    assert count >= 3 * 4 * 36


def test_each_object_has_as_many_different_sentences_as_asked_for(scenes: dict[str, Any]) -> None:
    for record in scenes.values():
        for entry in record["objects"].values():
            assert len(set(entry["expressions"])) == len(entry["expressions"]) == 3


def test_without_words_or_without_class_two_objects_remain(scenes: dict[str, Any]) -> None:
    for record in scenes.values():
        entries = list(record["objects"].values())
        if record["attribute"] == "name":
            assert sorted(e["class"] for e in entries) == sorted(record["classes"])
            continue
        assert len(entries) == 4
        for entry in entries:
            assert sum(e["class"] == entry["class"] for e in entries) == 2
            assert sum(e["value"] == entry["value"] for e in entries) == 2
            assert sum((e["class"], e["value"]) == (entry["class"], entry["value"]) for e in entries) == 1


def test_a_novel_class_name_occurs_in_no_sentence_of_another_group(
    scenes: dict[str, Any], expressions: dict[str, Any]
) -> None:
    for group, names in enumerate(GROUPS, start=1):
        base = [
            item["exp"]
            for video, record in expressions.items()
            if scenes[video]["group"] != group
            for item in record["expressions"].values()
        ]
        words = {word for name in names for word in name.split()} - {"sign"}
        assert base
        assert not [text for text in base if any(has(text, name) for name in {*names, *words})]


# --------------------------------------------------------------------------- the facts in the pixels


def test_colour_words_match_the_mean_hue_under_the_mask(root: Path, scenes: dict[str, Any]) -> None:
    for video, number, entry, twin in objects_with(scenes, "colour"):
        inside = pictures(root, video)[masks(root, video) == int(number)] / 255
        hues = np.array([colorsys.rgb_to_hsv(*pixel)[:2] for pixel in inside])
        angle = hues[:, 0] * 2 * np.pi
        hue = np.degrees(np.arctan2((np.sin(angle) * hues[:, 1]).sum(), (np.cos(angle) * hues[:, 1]).sum())) % 360
        own, other = (hue_distance(hue, COLOURS[name][0]) for name in (entry["value"], twin["value"]))
        assert own < 30, (video, number, entry["value"], hue)
        assert own < other


def test_size_words_match_the_order_of_mask_areas(scenes: dict[str, Any]) -> None:
    for _, _, entry, twin in objects_with(scenes, "size"):
        large, small = (entry, twin) if entry["value"] == "large" else (twin, entry)
        assert large["size"] >= 1.6 * small["size"]
        assert max(large["whole_pixels"]) > 2 * max(small["whole_pixels"])


def test_position_words_match_the_order_of_mask_centres_in_every_frame(root: Path, scenes: dict[str, Any]) -> None:
    for video, number, entry, _ in objects_with(scenes, "position"):
        axis = 0 if entry["value"] in ("left", "right") else 1
        sign = -1 if entry["value"] in ("left", "top") else 1
        planned = [sign * (centre[axis] - SMALL.size / 2) for centre in entry["centre"]]
        seen = [c for c in centroids(masks(root, video) == int(number)) if c is not None]
        assert min(planned) > 0
        assert min(sign * (centre[axis] - SMALL.size / 2) for centre in seen) > 0, (video, number, entry["value"])


def test_motion_words_match_the_drift_of_mask_centres(root: Path, scenes: dict[str, Any]) -> None:
    for video, number, entry, twin in objects_with(scenes, "motion"):
        axis = 0 if entry["value"] in ("left", "right") else 1
        sign = -1 if entry["value"] in ("left", "up") else 1
        steps = [sign * (after[axis] - before[axis]) for before, after in pairwise(entry["centre"])]
        assert min(steps) > 0
        assert sum(steps) > 0.15 * SMALL.size
        assert {entry["value"], twin["value"]} in ({"left", "right"}, {"up", "down"})
        seen = [c for c in centroids(masks(root, video) == int(number)) if c is not None]
        assert sign * (seen[-1][axis] - seen[0][axis]) > 0.03 * SMALL.size, (video, number, entry["value"])


def test_texture_words_match_the_painted_texture_and_the_twin_has_another(scenes: dict[str, Any]) -> None:
    named = objects_with(scenes, "texture")
    assert {entry["texture"] == entry["value"] for _, _, entry, _ in named} == {True}
    assert all(entry["texture"] != twin["texture"] for _, _, entry, twin in named)


# --------------------------------------------------------------------------- the files


def test_layout_and_meta_list_each_frame_in_which_an_object_is_seen(root: Path, scenes: dict[str, Any]) -> None:
    meta = read(root / "train/meta.json")["videos"]
    assert sorted(meta) == sorted(p.name for p in (root / "train/JPEGImages").iterdir())
    assert read(root / "train/classes.json") == list(CLASS_NAMES)
    empty = covered = 0
    for video, record in meta.items():
        frames = scenes[video]["frames"]
        truth = masks(root, video)
        assert truth.shape == (4, 96, 96)
        assert pictures(root, video).shape == (4, 96, 96, 3)
        assert set(np.unique(truth)) <= {0, *(int(number) for number in record["objects"])}
        for number, entry in record["objects"].items():
            pixels = (truth == int(number)).sum(axis=(1, 2))
            assert entry["frames"] == [name for name, count in zip(frames, pixels, strict=True) if count]
            assert 2 * len(entry["frames"]) >= len(frames)
            stored = scenes[video]["objects"][number]
            assert stored["visible_pixels"] == pixels.tolist()
            empty += int((pixels == 0).sum())
            covered += sum(seen < whole for seen, whole in zip(pixels, stored["whole_pixels"], strict=True))
    assert empty > 0, "some object must leave the view"
    assert covered > 0, "some object must be partly covered"


def test_masks_are_palette_pictures(root: Path) -> None:
    with Image.open(next((root / "train/Annotations").rglob("*.png"))) as image:
        assert image.mode == "P"
        assert image.getpalette()[:6] == [0, 0, 0, 128, 0, 0]  # type: ignore[index]


def test_a_seed_gives_the_same_arrays_for_any_number_of_workers(tmp_path: Path) -> None:
    write_glyphs(tmp_path / "one", config=TINY, workers=1)
    write_glyphs(tmp_path / "two", config=TINY, workers=2)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_another_seed_gives_other_arrays(tmp_path: Path) -> None:
    write_glyphs(tmp_path / "one", config=TINY, workers=1)
    write_glyphs(tmp_path / "two", config=TINY.model_copy(update={"seed": 2}), workers=1)
    assert read(tmp_path / "one/glyphs.json")["content"] != read(tmp_path / "two/glyphs.json")["content"]


def test_the_pixels_are_those_of_this_generator_version(tmp_path: Path) -> None:
    # If this fails, the pictures changed: raise VERSION in episodes/glyphs/config.py and write the new hash here.
    write_glyphs(tmp_path / "set", config=TINY, workers=1)
    assert (
        read(tmp_path / "set/glyphs.json")["content"]
        == "d3ae969adde46d4d891b5b6ec834f780e7511b4f18c96ac541393bb71aec1d9c"
    )


# --------------------------------------------------------------------------- writing safely


def test_the_same_benchmark_is_reused_and_another_is_rejected(tmp_path: Path) -> None:
    out = tmp_path / "set"
    out.mkdir()  # an empty folder is as good as none
    calls: list[tuple[int, int]] = []
    write_glyphs(out, config=TINY, workers=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, 24) for i in range(24)]
    before = (out / "glyphs.json").stat().st_mtime_ns
    write_glyphs(out, config=TINY, workers=1)
    assert (out / "glyphs.json").stat().st_mtime_ns == before
    with pytest.raises(GlyphsError, match="seed is 1, asked for 9"):
        write_glyphs(out, config=TINY.model_copy(update={"seed": 9}))


def test_a_folder_with_other_things_is_rejected_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(GlyphsError, match=r"not empty and has no glyphs\.json"):
        write_glyphs(tmp_path, config=TINY)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(GlyphsError, match="is a file"):
        write_glyphs(tmp_path / "notes.txt", config=TINY)
    with pytest.raises(GlyphsError, match="could not be written"):
        write_glyphs(tmp_path / "notes.txt" / "set", config=TINY)


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_glyphs(tmp_path / "set", config=TINY, workers=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(GlyphsError, match="No space left on device"):
        write_glyphs(tmp_path / "set", config=TINY, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_the_contact_sheet_is_drawn_from_the_files(root: Path) -> None:
    with Image.open(root / "contact_sheet.png") as sheet:
        assert sheet.width > 1000
        assert sheet.height > 1000
        assert ImageChops.difference(sheet, contact_sheet(root)).getbbox() is None
