"""The embedded benchmark before it is painted: classes, schedule, words, paths."""

from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from pydantic import ValidationError

from episodes.generated.draws import Draws
from episodes.glyphs.appearance import TEXTURES
from episodes.glyphs.classes import CHARACTERS, CLASS_NAMES, GROUPS
from episodes.glyphs.config import GlyphsConfig
from episodes.glyphs.outlines import outlines
from episodes.glyphs.planning import assignments, plan
from episodes.glyphs.polygons import edges, fill
from episodes.glyphs.words import sentences


def test_there_are_48_names_and_none_is_part_of_another() -> None:
    assert len(set(CLASS_NAMES)) == 48
    assert not [(a, b) for a in CLASS_NAMES for b in CLASS_NAMES if a != b and f" {a} " in f" {b} "]
    assert set(outlines()) == set(CLASS_NAMES)


def test_group_g_holds_the_ids_whose_remainder_is_g() -> None:
    for group, names in enumerate(GROUPS, start=1):
        assert names == tuple(CLASS_NAMES[i - 1] for i in range(1, 49) if (i - 1) % 4 == group - 1)


def test_no_template_holds_a_word_of_a_class_name() -> None:
    values = [("colour", c) for c in ("red", "orange", "yellow", "green", "blue", "purple", "pink")]
    values += [("texture", t) for t in TEXTURES] + [("size", "large"), ("size", "small"), ("name", "")]
    values += [("position", p) for p in ("left", "right", "top", "bottom")]
    values += [("motion", m) for m in ("left", "right", "up", "down")]
    texts = [t for attribute, value in values for t in sentences("", attribute, value, 99, Draws(0, 0))]
    class_words = {word for name in CLASS_NAMES for word in name.split()}
    assert len(texts) > 100
    assert not {word for text in texts for word in text.split()} & class_words
    assert not [text for text in texts if "leftmost" in text or "rightmost" in text]  # no mirror image swaps these


@pytest.mark.parametrize("videos_per_class", [1, 2, 11, 12, 25])
def test_each_class_is_in_exactly_as_many_videos_as_asked_for(videos_per_class: int) -> None:
    config = GlyphsConfig(videos_per_class=videos_per_class)
    videos = assignments(config)
    assert len(videos) == 24 * videos_per_class
    assert [video.index for video in videos] == list(range(len(videos)))
    assert set(Counter(name for video in videos for name in video.classes).values()) == {videos_per_class}


def test_no_video_mixes_groups_and_partners_change() -> None:
    videos = assignments(GlyphsConfig(videos_per_class=11))
    for video in videos:
        assert set(video.classes) <= set(GROUPS[video.group - 1])
    assert len({frozenset(video.classes) for video in videos}) == len(videos)


def test_attributes_come_in_the_wanted_proportions() -> None:
    kinds = Counter(video.attribute for video in assignments(GlyphsConfig(videos_per_class=50)))
    total = sum(kinds.values())
    assert kinds["name"] / total == pytest.approx(0.12, abs=0.01)
    assert kinds["colour"] / total == pytest.approx(0.88 * 0.35, abs=0.01)
    assert kinds["motion"] / total == pytest.approx(0.88 * 0.10, abs=0.01)


def test_one_attribute_can_be_asked_for_alone() -> None:
    config = GlyphsConfig(
        colour=0, object_size=0, texture=0, position=0, motion=1, name_only=0, videos_per_class=2, frames=5
    )
    assert {video.attribute for video in assignments(config)} == {"motion"}


@pytest.mark.parametrize("frames", [3, 4, 8, 13])
@pytest.mark.parametrize("seed", [0, 1])
def test_paths_keep_what_the_words_say_in_every_frame(frames: int, seed: int) -> None:
    config = GlyphsConfig(seed=seed, frames=frames, videos_per_class=4, leaving=0.3)
    for assignment in assignments(config):
        scene = plan(assignment, config, Draws(config.seed, assignment.index))
        for planned in scene.objects:
            x, y = [pose.x for pose in planned.poses], [pose.y for pose in planned.poses]
            if assignment.attribute == "position":
                low, high = (x, y)[planned.value in ("top", "bottom")], (x, y)[planned.value in ("top", "bottom")]
                assert max(low) < 0.5 if planned.value in ("left", "top") else min(high) > 0.5
            if assignment.attribute == "motion":
                track = (x, y)[planned.value in ("up", "down")]
                ordered = sorted(track, reverse=planned.value in ("left", "up"))
                assert track == ordered
                assert abs(track[-1] - track[0]) > 0.15


def test_a_video_depends_on_seed_and_index_alone() -> None:
    config = GlyphsConfig(videos_per_class=2)
    video = assignments(config)[17]
    assert plan(video, config, Draws(0, 17)) == plan(video, config, Draws(0, 17))
    assert plan(video, config, Draws(0, 17)) != plan(video, config, Draws(0, 18))


def test_unusable_configurations_are_rejected() -> None:
    with pytest.raises(ValidationError, match="weather"):
        GlyphsConfig(weather=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="all attribute weights are 0"):
        GlyphsConfig(colour=0, object_size=0, texture=0, position=0, motion=0)
    with pytest.raises(ValidationError, match="motion needs at least 2 frames"):
        GlyphsConfig(frames=1)
    assert all(field.description for field in GlyphsConfig.model_fields.values())


def test_filling_agrees_with_counting_crossings_pixel_by_pixel() -> None:
    draws = Draws(0, 0)
    parts = [draws.noise(7, 2) * 30 - 5, draws.noise(4, 2) * 30 - 5]
    filled = fill(edges(parts), 20, 24)
    rounded = [np.rint(part * 16) / 16 for part in parts]
    for row in range(20):
        for column in range(24):
            x, y = column + 0.5, row + 0.5
            crossings = 0
            for part in rounded:
                for (x0, y0), (x1, y1) in zip(part, np.roll(part, -1, axis=0), strict=True):
                    if (y0 <= y) != (y1 <= y):
                        crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x
            assert filled[row, column] == crossings % 2, (row, column)
    assert fill(edges([]), 3, 4).tolist() == [[0] * 4] * 3


def test_only_flakes_and_steam_are_dropped_from_the_font_shapes() -> None:
    with TTFont(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf") as font:
        parts = {name: font["glyf"][font.getBestCmap()[code]].numberOfContours for name, code in CHARACTERS.items()}
    # Between two contours, an edge does not begin where the one before it ends.
    gaps = {name: (o.ink[:, 0] != np.roll(o.ink[:, 1], 1, axis=0)).any(axis=1).sum() for name, o in outlines().items()}
    kept = {name: max(1, int(count)) for name, count in gaps.items()}
    assert {name for name in parts if kept[name] != parts[name]} == {"snowman", "teacup"}
