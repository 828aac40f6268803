"""Real video in the published layout, with everything odd that occurs in the wild. Skipped where it is absent."""

import pytest

from episodes.catalog import VideoCatalog
from episodes.check import check_benchmark
from episodes.dataset import EpisodeDataset, load_clip
from episodes.errors import SamplingError
from episodes.evaluation_tasks import evaluation_tasks
from episodes.readers import read_benchmark
from episodes.readers.layouts import OFFICIAL_CLASSES
from episodes.sampling import EpisodeSampler
from tests.paths import REAL_CLIPS

pytestmark = pytest.mark.skipif(
    not REAL_CLIPS.is_dir(), reason=f"no real clips at {REAL_CLIPS}; set DAVIS_TINY to their folder"
)


@pytest.fixture(scope="module")
def real() -> VideoCatalog:
    return read_benchmark(REAL_CLIPS)


def test_what_occurs_in_the_wild_is_tolerated_and_reported(real: VideoCatalog) -> None:
    assert len(real.videos) == 23
    assert real.classes == OFFICIAL_CLASSES
    notes = " ".join(real.notes)
    for part in ("video without expressions (17)", "category outside the class list (3)", "absent class (44)"):
        assert part in notes
    real.reject_errors()


def test_every_file_is_sound() -> None:
    kinds = {problem.kind for problem in check_benchmark(REAL_CLIPS).problems}
    assert kinds == {
        "video without expressions",
        "category outside the class list",
        "absent class",
        "class with one video",
    }


def test_classes_with_one_video_are_rejected_or_left_out(real: VideoCatalog) -> None:
    with pytest.raises(SamplingError, match=r"class 'bird' has 1 training video\(s\), 2 needed"):
        EpisodeSampler(real, group=3, split="train", seed=0)
    sampler = EpisodeSampler(real, group=3, split="train", seed=0, small_classes="skip")
    assert sampler.classes == ("dog", "sedan")
    assert sampler.skipped == ("bird", "person")
    with pytest.raises(SamplingError, match=r"class 'person' has 1 video\(s\), 2 needed"):
        evaluation_tasks(real, real.novel_classes(4), seed=0, support_videos=1, support_frames=5)
    tasks = evaluation_tasks(
        real, real.novel_classes(4), seed=0, support_videos=1, support_frames=5, small_classes="skip"
    )
    assert [task.category for task in tasks] == ["dog"]


def test_an_episode_of_real_clips_loads(real: VideoCatalog) -> None:
    sampler = EpisodeSampler(real, group=3, split="train", seed=0, small_classes="skip")
    episode = EpisodeDataset(real, sampler, 90)[0]
    assert episode.support.clips.frames is not None
    assert episode.support.clips.frames.shape == (1, 5, 3, 96, 160)
    assert episode.support.masks[:, 2].any()
    task = evaluation_tasks(
        real, real.novel_classes(4), seed=0, support_videos=1, support_frames=5, small_classes="skip"
    )[0]
    clip, truth = load_clip(real, task.queries[0], task.category, task.category, short_side=90)
    assert truth.masks.shape == (1, 8, *clip.size)


def test_by_class_name_every_object_can_be_referred_to() -> None:
    named = read_benchmark(REAL_CLIPS, unnamed="class").of_all_categories()
    counts = {name: len(named.videos_of(name)) for name in named.classes if named.videos_of(name)}
    assert sum(counts.values()) == len(named.videos)
    assert set(counts.values()) == {2, 3}
    assert named.expression("kite-surf", "class-1").text == "the kite surfer"
    assert [item.text for item in named.videos["dog"].expressions] == ["a dog walking"]
