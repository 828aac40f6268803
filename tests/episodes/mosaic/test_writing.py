"""A written mosaic is a sound benchmark whose halves are the source's videos with their own objects and sentences."""

import json
from pathlib import Path

import numpy as np
import pytest

from episodes.catalog import VideoCatalog
from episodes.check import check_benchmark
from episodes.decode import decode_mask, decode_picture
from episodes.evaluation_tasks import wrong_class_support
from episodes.mosaic import MosaicError, write_mosaics
from episodes.pair_tasks import pair_tasks
from episodes.readers import read_benchmark
from tests.paths import REAL_CLIPS
from tests.single_objects import SIZES, write_single_objects


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_single_objects(tmp_path_factory.mktemp("mosaic") / "source")


@pytest.fixture(scope="module")
def mosaics(source: Path) -> VideoCatalog:
    write_mosaics(source, source.parent / "mosaics")
    return read_benchmark(source.parent / "mosaics")


def test_the_check_finds_nothing(mosaics: VideoCatalog) -> None:
    assert check_benchmark(mosaics.root).problems == ()
    assert len(mosaics.videos) == 3


def test_each_half_is_its_source_with_its_object(mosaics: VideoCatalog, source: Path) -> None:
    scenes = json.loads((mosaics.root / "scenes.json").read_text())["videos"]
    for name, video in mosaics.videos.items():
        halves = scenes[name]["objects"]
        assert name == f"{halves['1']['source']}+{halves['2']['source']}"
        heights = [SIZES[halves[number]["class"]][0] for number in ("1", "2")]
        for frame in video.frames:
            picture, ids = decode_picture(video.frame_path(frame)), decode_mask(video.mask_path(frame))
            assert len(picture) == len(ids) == min(heights)
            assert set(np.unique(ids)) in ({0, 1, 2}, {0})
            border = round(SIZES[halves["1"]["class"]][1] * min(heights) / heights[0])
            assert not (ids[:, border:] == 1).any()
            assert not (ids[:, :border] == 2).any()
            assert picture[ids == 0].mean() < 180
            assert not ids.any() or picture[ids > 0].mean() > 200


def test_frames_are_those_of_the_shorter_video_in_which_the_object_is_seen(mosaics: VideoCatalog) -> None:
    for name, video in mosaics.videos.items():
        assert len(video.frames) == min(3 + int(half[-1]) for half in name.split("+"))
        assert {record.frames for record in video.objects} == {video.frames} or len(video.frames) == 4


def test_sentences_are_the_sources_own_or_name_the_class(mosaics: VideoCatalog) -> None:
    for name, video in mosaics.videos.items():
        for record, half in zip(video.objects, name.split("+"), strict=True):
            (sentence,) = [item.text for item in video.expressions if item.object_id == record.id]
            own = f"cat number {half[-1]}" if record.category == "cat" else f"the {record.category.replace('_', ' ')}"
            assert sentence == own


def test_the_same_mosaics_are_kept_and_others_rejected(mosaics: VideoCatalog, source: Path) -> None:
    before = (mosaics.root / "train/meta.json").stat().st_mtime_ns
    plan = write_mosaics(source, mosaics.root)
    assert (mosaics.root / "train/meta.json").stat().st_mtime_ns == before
    assert [mosaic.name for mosaic in plan.mosaics] == list(mosaics.videos)
    with pytest.raises(MosaicError, match=r"another recipe .seed is 0, asked for 1"):
        write_mosaics(source, mosaics.root, seed=1)


def test_writing_twice_gives_the_same_benchmark(mosaics: VideoCatalog, source: Path, tmp_path: Path) -> None:
    write_mosaics(source, tmp_path / "again")
    assert read_benchmark(tmp_path / "again").content == mosaics.content


@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason=f"no real clips at {REAL_CLIPS}; set DAVIS_TINY to their folder")
def test_mosaics_of_real_clips_never_show_a_video_in_support_and_query(tmp_path: Path) -> None:
    plan = write_mosaics(REAL_CLIPS, tmp_path / "mosaics")
    assert (len(plan.mosaics), len(plan.left_out)) == (11, 1)
    catalog = read_benchmark(tmp_path / "mosaics")
    assert check_benchmark(catalog.root).problems == ()
    tasks = pair_tasks(catalog, catalog.classes, support_videos=1, support_frames=5)
    assert len(catalog.classes) == 10
    for task in tasks:
        shown = {half for clip in task.support for half in clip.video.split("+")}
        for query in task.queries:
            assert not shown & set(query.video.split("+"))
            assert wrong_class_support(catalog, task, query, shots=1, support_frames=5) is not None
