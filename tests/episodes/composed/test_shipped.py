"""The pictures that come with the project: enough classes for four groups, and a licence for every file."""

import csv
from pathlib import Path

import pytest

from episodes.composed.config import ComposedConfig
from episodes.composed.pictures import SHIPPED, Library, read_library
from episodes.composed.planning import assignments

FREE = {"MIT", "CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-US", "CC-BY-4.0"}


@pytest.fixture(scope="module")
def library() -> Library:
    return read_library(ComposedConfig())


def rows() -> list[dict[str, str]]:
    with (SHIPPED / "licences.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_group_has_seven_classes_of_four_objects_at_least(library: Library) -> None:
    assert all(len(group) >= 7 for group in library.groups)
    assert min(len(members) for members in library.classes.values()) >= 4
    assert len(library.backgrounds) >= 40


def test_the_licence_list_names_every_picture_and_nothing_else() -> None:
    pictures = {path.relative_to(SHIPPED) for path in SHIPPED.rglob("*") if path.suffix in (".webp", ".jpg", ".png")}
    assert {Path(row["path"]) for row in rows()} == pictures


def test_every_licence_allows_to_pass_the_picture_on_and_names_the_author() -> None:
    text = (SHIPPED / "LICENCES.md").read_text("utf-8")
    for row in rows():
        assert row["licence"] in FREE
        assert row["author"]
        assert row["source"]
        assert row["licence"] in text


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 8_000_000


def test_what_real_clips_are_evaluated_on_is_not_in_it(library: Library) -> None:
    tested = {"bird", "duck", "swan", "dog", "horse", "car", "bicycle", "motorbike", "scooter", "person", "parachute"}
    assert not tested & set(library.classes)


def test_the_default_has_some_hundred_clips_of_all_kinds_that_the_pictures_allow(library: Library) -> None:
    videos = assignments(ComposedConfig(), library)
    assert {video.kind for video in videos} == {"scene", "mosaic"}  # there are no photographs with masks among them
    assert 300 < len(videos) < 400
