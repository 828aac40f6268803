"""Episodes are a pure function of (seed, split, index), and never mix what must stay apart."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from episodes.catalog import GROUPS, VideoCatalog
from episodes.errors import SamplingError
from episodes.files import json_digest
from episodes.sampling import EpisodeSampler, held_out_videos, rank_slice
from episodes.types import EpisodeSpec
from tests.paths import ROOT

COUNT = 60


def sampler(catalog: VideoCatalog, **changes: object) -> EpisodeSampler:
    given = {"group": 1, "split": "train", "seed": 0, "shots": 2, "name_shuffle": 0.9, "validation_videos": 1}
    return EpisodeSampler(catalog, **{**given, **changes})  # type: ignore[arg-type]


def specs(catalog: VideoCatalog, **changes: object) -> list[EpisodeSpec]:
    drawn = sampler(catalog, **changes)
    return [drawn[index] for index in range(COUNT)]


def hash_of(drawn: list[EpisodeSpec]) -> str:
    return json_digest(drawn)


# ---------------------------------------------------------------------- purity


def test_an_episode_does_not_depend_on_what_was_drawn_before(catalog: VideoCatalog) -> None:
    forwards = specs(catalog)
    drawn = sampler(catalog)
    assert [drawn[index] for index in reversed(range(COUNT))] == forwards[::-1]


def test_seed_split_and_index_each_change_the_episodes(catalog: VideoCatalog) -> None:
    hashes = {hash_of(specs(catalog, seed=seed, split=split)) for seed in (0, 1) for split in ("train", "val")}
    assert len(hashes) == 4
    assert len({(spec.support, spec.query) for spec in specs(catalog)}) > COUNT / 2


def test_the_manifest_hash_sees_every_field(catalog: VideoCatalog) -> None:
    spec = specs(catalog)[0]
    changed = [
        replace(spec, alias="x"),
        replace(spec, support=spec.support[::-1]),
        replace(spec, query=replace(spec.query, frames=spec.query.frames[1:])),
        replace(spec, index=1),
    ]
    assert len({hash_of([item]) for item in [spec, *changed]}) == 5


def test_two_processes_with_other_hash_seeds_draw_the_same_list(tiny_root: Path, catalog: VideoCatalog) -> None:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from episodes.readers import read_benchmark\n"
        "from dataclasses import asdict\n"
        "from episodes.sampling import EpisodeSampler, rank_slice\n"
        "sampler = EpisodeSampler(read_benchmark(Path(sys.argv[1])), group=1, split='train', seed=0, shots=2,\n"
        "                         name_shuffle=0.9, validation_videos=1)\n"
        f"indices = rank_slice(0, {COUNT}, rank=int(sys.argv[2]), processes=2)\n"
        "print(json.dumps([asdict(sampler[index]) for index in indices]))\n"
    )
    parts = []
    for rank, hash_seed in enumerate(("1", "4711")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program, str(tiny_root), str(rank)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        parts += json.loads(done.stdout)
    assert json_digest(sorted(parts, key=lambda item: item["index"])) == hash_of(specs(catalog))


def test_rank_slices_share_out_every_index_once() -> None:
    for processes in (1, 2, 3, 4):
        slices = [rank_slice(5, 17, rank=rank, processes=processes) for rank in range(processes)]
        assert sorted(index for part in slices for index in part) == list(range(5, 17))


# ---------------------------------------------------------------------- what stays apart


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("split", ["train", "val"])
def test_no_video_is_twice_in_an_episode_and_all_belong_to_its_class(
    catalog: VideoCatalog, group: int, split: str
) -> None:
    for spec in specs(catalog, group=group, split=split):
        videos = [spec.query.video, *(clip.video for clip in spec.support)]
        assert len(set(videos)) == len(videos) == 3
        for clip in (*spec.support, spec.query):
            assert (clip.object_id, clip.expression_id) in [
                (shown.id, sentence.id) for shown, sentence in catalog.referable(clip.video, spec.category)
            ]
            assert set(clip.frames) <= set(catalog.videos[clip.video].frames)


@pytest.mark.parametrize("group", GROUPS)
def test_base_episodes_show_no_object_of_a_novel_class_and_no_novel_name(catalog: VideoCatalog, group: int) -> None:
    novel = set(catalog.novel_classes(group))
    for split in ("train", "val"):
        for spec in specs(catalog, group=group, split=split):
            assert spec.category not in novel
            assert spec.alias not in novel
            for clip in (*spec.support, spec.query):
                assert novel.isdisjoint(record.category for record in catalog.videos[clip.video].objects)


def test_a_held_out_video_is_the_query_in_validation_and_nothing_in_training(catalog: VideoCatalog) -> None:
    held = held_out_videos(catalog, group=1, videos=1)
    train = specs(catalog)
    assert held.isdisjoint(clip.video for spec in train for clip in (*spec.support, spec.query))
    for spec in specs(catalog, split="val"):
        assert spec.query.video in held
        assert spec.query.frames == catalog.videos[spec.query.video].frames
        assert held.isdisjoint(clip.video for clip in spec.support)


def test_without_a_group_every_class_is_drawn_and_has_its_held_out_video(catalog: VideoCatalog) -> None:
    assert {spec.category for spec in specs(catalog, group=None)} == set(catalog.classes)
    assert {spec.category for spec in specs(catalog, group=None, split="val")} == set(catalog.classes)
    held = held_out_videos(catalog, group=None, videos=1)
    assert all(held.intersection(catalog.videos_of(name)) for name in catalog.classes)


def test_every_base_class_has_its_held_out_videos_whatever_the_seed(catalog: VideoCatalog) -> None:
    for videos in (1, 2, 3):
        held = held_out_videos(catalog, group=1, videos=videos)
        assert all(sum(v in held for v in catalog.base_videos_of(c, 1)) == videos for c in catalog.base_classes(1))
    assert held_out_videos(catalog, group=1, videos=0) == frozenset()


# ---------------------------------------------------------------------- distribution


def test_every_class_comes_once_in_each_round_in_changing_order(catalog: VideoCatalog) -> None:
    categories = [spec.category for spec in specs(catalog)]
    rounds = [tuple(categories[start : start + 6]) for start in range(0, COUNT, 6)]
    assert all(sorted(part) == sorted(catalog.base_classes(1)) for part in rounds)
    assert len(set(rounds)) > 5


def test_all_objects_sentences_and_videos_are_reached(catalog: VideoCatalog) -> None:
    drawn = sampler(catalog)
    reached = {
        (clip.video, clip.object_id, clip.expression_id)
        for index in range(1500)
        for clip in (*drawn[index].support, drawn[index].query)
    }
    held = held_out_videos(catalog, group=1, videos=1)
    wanted = {
        (video, shown.id, sentence.id)
        for name in catalog.base_classes(1)
        for video in catalog.base_videos_of(name, 1)
        if video not in held
        for shown, sentence in catalog.referable(video, name)
    }
    assert reached == wanted


@pytest.mark.parametrize(
    ("share", "split", "low", "high"), [(0.9, "train", 40, 60), (0.0, "train", 0, 0), (0.9, "val", 0, 0)]
)
def test_names_are_shuffled_as_often_as_asked_and_never_in_validation(
    catalog: VideoCatalog, share: float, split: str, low: int, high: int
) -> None:
    drawn = specs(catalog, name_shuffle=share, split=split)
    assert low <= sum(spec.alias != spec.category for spec in drawn) <= high


def test_clips_have_the_lengths_that_were_asked_for(catalog: VideoCatalog) -> None:
    for spec in specs(catalog, support_frames=3, query_frames=4):
        assert [len(clip.frames) for clip in spec.support] == [3, 3]
        assert len(spec.query.frames) == 4
        for clip in (*spec.support, spec.query):
            assert list(clip.frames) == sorted(clip.frames)


# ---------------------------------------------------------------------- rejections


@pytest.mark.parametrize("split", ["train", "val"])
def test_too_many_shots_are_rejected_with_the_numbers(catalog: VideoCatalog, split: str) -> None:
    # 5 videos a class, 1 held out: 4 for training, so 3 shots and a query, or 4 shots in validation.
    most = 3 if split == "train" else 4
    sampler(catalog, shots=most, split=split)
    needed = most + 2 if split == "train" else most + 1
    with pytest.raises(SamplingError, match=rf"class 'square' has 4 training video\(s\), {needed} needed") as caught:
        sampler(catalog, shots=most + 1, split=split)
    assert "episodes.shots" in str(caught.value)


def test_small_classes_can_be_left_out_instead(catalog: VideoCatalog) -> None:
    small = catalog.base_classes(1)[0]
    keep = catalog.videos_of(small)[:1]
    videos = [v for v in catalog.videos.values() if v.id in keep or small not in {o.category for o in v.objects}]
    root, classes = catalog.root, catalog.classes
    thinned = VideoCatalog(name="thin", root=root, videos=videos, classes=classes)
    with pytest.raises(SamplingError, match=f"class '{small}' has"):
        sampler(thinned)
    drawn = sampler(thinned, small_classes="skip")
    assert small in drawn.skipped
    assert small not in {drawn[index].category for index in range(COUNT)}
    with pytest.raises(SamplingError):
        sampler(thinned, small_classes="skip", shots=50)


def test_senseless_numbers_are_rejected(catalog: VideoCatalog) -> None:
    for wrong in ({"split": "test"}, {"shots": 0}, {"support_frames": 0}, {"split": "val", "validation_videos": 0}):
        with pytest.raises(SamplingError):
            sampler(catalog, **wrong)
    with pytest.raises(IndexError):
        sampler(catalog)[-1]
