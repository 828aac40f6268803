"""From specs to tensors: the right pixels, the right words, the same for any number of workers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from episodes.catalog import VideoCatalog
from episodes.config import AugmentConfig
from episodes.dataset import (
    EpisodeDataset,
    collate,
    join_clips,
    join_truths,
    load_clip,
    load_masks,
    load_other_objects,
    rename,
)
from episodes.decode import decode_mask, read_frame
from episodes.errors import ConfigError, ReadError
from episodes.evaluation_tasks import evaluation_tasks
from episodes.files import json_digest
from episodes.readers import read_benchmark
from episodes.sampling import EpisodeSampler
from episodes.types import ClipRef, Clips, Episode, Pyramid
from tests.tiny_benchmark import write_tiny_benchmark

AUGMENT = AugmentConfig(scale=(0.6, 1.5), brightness=0.3, hue=0.1)


def dataset(catalog: VideoCatalog, *, split: str = "train", **options: object) -> EpisodeDataset:
    sampler = EpisodeSampler(
        catalog, group=1, split=split, seed=0, shots=2, name_shuffle=0.9, validation_videos=1, support_frames=3
    )
    return EpisodeDataset(catalog, sampler, 48, **options)  # type: ignore[arg-type]


def some_ref(catalog: VideoCatalog) -> tuple[ClipRef, str]:
    video = catalog.videos["disc-ring-00"]
    expression = video.expressions[0]
    ref = ClipRef(video.id, expression.object_id, expression.id, video.frames[2:6])
    return ref, video.object(expression.object_id).category


def fake_features(paths: list[Path]) -> Pyramid:
    """Features of pictures of 64 x 64 (48 x 64 padded) that tell the frame: its first letters as a number."""
    values = torch.tensor([float(path.stem) for path in paths]).view(1, -1, 1, 1, 1)
    return Pyramid(*(values.expand(1, len(paths), 2, 64 // stride, 64 // stride) for stride in (4, 8, 16, 32)))


# ---------------------------------------------------------------------- clips


def test_masks_are_those_of_the_object_and_of_its_class(catalog: VideoCatalog) -> None:
    ref, category = some_ref(catalog)
    clip, truth = load_clip(catalog, ref, category, category, short_side=48)
    video = catalog.videos[ref.video]
    ids = np.stack([decode_mask(video.mask_path(frame)) for frame in ref.frames])
    assert truth.class_masks is not None
    assert truth.masks.shape == (1, 4, *clip.size) == (1, 4, 64, 64)
    assert np.array_equal(truth.masks[0, :, :48, :64].numpy(), ids == int(ref.object_id))
    members = [int(record.id) for record in video.objects_of(category)]
    assert len(members) == 2
    assert np.array_equal(truth.class_masks[0, :, :48, :64].numpy(), np.isin(ids, members))
    assert not truth.masks[..., 48:, :].any()
    assert clip.valid[0, :48].all()
    assert not clip.valid[0, 48:].any()


def test_times_are_positions_in_the_whole_video(catalog: VideoCatalog) -> None:
    ref, category = some_ref(catalog)
    clip, _ = load_clip(catalog, ref, category, category, short_side=48)
    assert clip.times[0].tolist() == pytest.approx([2 / 8, 3 / 8, 4 / 8, 5 / 8])


def test_a_clip_has_the_pictures_that_a_feature_store_would_encode(catalog: VideoCatalog) -> None:
    ref, category = some_ref(catalog)
    for side in (48, 30, 80):
        clip, _ = load_clip(catalog, ref, category, category, short_side=side)
        assert clip.frames is not None
        for position, frame in enumerate(ref.frames):
            path = catalog.videos[ref.video].frame_path(frame)
            assert torch.equal(clip.frames[0, position], read_frame(path, short_side=side))


def test_original_masks_keep_the_files_resolution(catalog: VideoCatalog) -> None:
    ref, _ = some_ref(catalog)
    masks = load_masks(catalog, ref)
    assert masks.shape == (4, 48, 64)
    assert masks.dtype == bool
    assert masks.any()


def test_features_stand_for_pictures_that_are_then_not_decoded(
    catalog: VideoCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("episodes.dataset.decode_picture", lambda path: pytest.fail(f"decoded {path}"))
    episode = dataset(catalog, features=fake_features)[0]
    assert episode.support.clips.frames is None
    assert episode.support.clips.features is not None
    frames = [[float(frame) for frame in clip.frames] for clip in episode.specs[0].support]
    assert episode.support.clips.features.f16[:, :, 0, 0, 0].tolist() == frames


def test_features_of_another_size_are_rejected(catalog: VideoCatalog) -> None:
    ref, category = some_ref(catalog)
    with pytest.raises(ReadError, match="features"):
        load_clip(catalog, ref, category, category, short_side=100, features=fake_features)


def test_features_and_augmentation_exclude_each_other(catalog: VideoCatalog) -> None:
    with pytest.raises(ConfigError):
        dataset(catalog, features=fake_features, augment=AUGMENT)


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("the giant panda on the left", "the snow owl on the left"),
        ("Giant_Panda", "Snow owl"),
        ("a giant-panda eats", "a snow owl eats"),
        ("giant pandas", "giant pandas"),
        ("a supergiant panda", "a supergiant panda"),
    ],
)
def test_a_class_name_is_replaced_as_whole_words(text: str, renamed: str) -> None:
    assert rename(text, "giant_panda", "snow_owl") == renamed


def test_the_article_follows_the_new_name() -> None:
    assert rename("an anchor, An anchor, a red anchor, the anchor", "anchor", "gear") == (
        "a gear, A gear, a red gear, the gear"
    )
    assert rename("a gear", "gear", "anchor") == "an anchor"
    assert rename("banana gear", "gear", "anchor") == "banana anchor"


def test_a_class_that_keeps_its_name_keeps_its_sentence() -> None:
    assert rename("an Gear", "gear", "gear") == "an Gear"


def test_support_and_query_call_the_class_by_the_same_name(catalog: VideoCatalog) -> None:
    data = dataset(catalog)
    for index in range(20):
        episode = data[index]
        spec = episode.specs[0]
        for text in (*episode.support.clips.sentences, *episode.query.sentences):
            assert spec.alias in text.split()
            assert spec.alias == spec.category or spec.category not in text.split()


# ---------------------------------------------------------------------- determinism


def same(a: Episode, b: Episode) -> bool:
    def tensors(episode: Episode) -> list[Tensor]:
        clips = [getattr(c, n) for c in (episode.support.clips, episode.query) for n in ("frames", "valid", "times")]
        return [*clips, episode.support.masks, *vars(episode.truth).values()]

    words = [(episode.support.clips.sentences, episode.query.sentences) for episode in (a, b)]
    return a.specs == b.specs and words[0] == words[1] and all(map(torch.equal, tensors(a), tensors(b)))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_episodes(catalog: VideoCatalog, workers: int) -> None:
    data = dataset(catalog, augment=AUGMENT)
    batches = [[0, 1, 2], [3, 4, 5]]
    expected = [collate([data[index] for index in batch]) for batch in batches]
    loader = DataLoader(
        data, batch_sampler=batches, num_workers=workers, collate_fn=collate, multiprocessing_context="forkserver"
    )
    found = list(loader)
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    hashes = {json_digest([s for batch in part for s in batch.specs]) for part in (found, expected)}
    assert len(hashes) == 1


def test_augmentation_changes_training_clips_each_in_its_own_way_and_validation_never(catalog: VideoCatalog) -> None:
    plain, changed = dataset(catalog), dataset(catalog, augment=AUGMENT)
    assert same(changed[3], changed[3])
    assert not same(plain[3], changed[3])
    sizes = {int(changed[index].query.valid.sum()) for index in range(10)}
    assert len(sizes) > 3
    assert same(dataset(catalog, split="val", augment=AUGMENT)[3], dataset(catalog, split="val")[3])


def test_flipped_clips_keep_true_sentences(catalog: VideoCatalog) -> None:
    flipped = dataset(catalog, augment=AugmentConfig(flip=1.0))
    checked = 0
    for index in range(30):
        words, masks = flipped[index].query.sentences[0].split(), flipped[index].truth.masks
        if "left" in words or "right" in words:
            columns = torch.arange(masks.shape[-1]).float()
            centre = (masks[0].float() * columns).sum() / masks[0].sum()
            assert ("left" in words) == bool(centre < 32)
            checked += 1
    assert checked > 3


# ---------------------------------------------------------------------- batches


def test_clips_of_different_sizes_are_padded_to_the_largest(catalog: VideoCatalog) -> None:
    ref, category = some_ref(catalog)
    loaded = [load_clip(catalog, ref, category, category, short_side=side) for side in (30, 96)]
    (small, small_truth), (large, _) = loaded
    batch, truth = join_clips([small, large]), join_truths([truth for _, truth in loaded])
    assert truth.masks.shape == (2, 4, *batch.size) == (2, 4, 96, 128)
    assert batch.valid.flatten(1).sum(1).tolist() == [30 * 40, 96 * 128]
    assert torch.equal(truth.masks[:1, :, :32, :64], small_truth.masks)
    assert not truth.masks[0, :, 32:].any()
    assert batch.sentences == small.sentences + large.sentences


def test_features_are_padded_like_their_pictures(catalog: VideoCatalog) -> None:
    def features(side: int) -> Pyramid:
        return Pyramid(*(torch.ones(1, 4, 2, side // s, side // s) for s in (4, 8, 16, 32)))

    def clip(side: int) -> Clips:
        whole = torch.ones(1, side, side, dtype=torch.bool)
        return Clips(whole, torch.zeros(1, 4), ("x",), features=features(side))

    batch = join_clips([clip(32), clip(96)])
    assert batch.features is not None
    assert batch.features.f4.shape == (2, 4, 2, 24, 24)
    assert batch.features.f32.shape == (2, 4, 2, 3, 3)
    assert batch.features.f32[0].sum() == 4 * 2


def test_a_batch_keeps_episodes_and_their_shots_side_by_side(catalog: VideoCatalog) -> None:
    data = dataset(catalog)
    batch = collate([data[0], data[1]])
    assert batch.shots == 2
    assert len(batch.support) == 4
    assert torch.equal(batch.support.select([2, 3]).masks, data[1].support.masks)


def test_what_cannot_be_one_batch_is_rejected(catalog: VideoCatalog) -> None:
    ref, category = some_ref(catalog)
    shorter = ClipRef(ref.video, ref.object_id, ref.expression_id, ref.frames[:2])
    clips = [load_clip(catalog, item, category, category, short_side=48)[0] for item in (ref, shorter)]
    with pytest.raises(ValueError, match=r"\[2, 4\] frames"):
        join_clips(clips)
    one_shot = EpisodeDataset(catalog, EpisodeSampler(catalog, group=1, split="train", seed=0, shots=1), 48)
    with pytest.raises(ValueError, match="shots"):
        collate([dataset(catalog)[0], one_shot[0]])


# ---------------------------------------------------------------------- bad files


@pytest.fixture
def broken(tmp_path: Path) -> VideoCatalog:
    return read_benchmark(write_tiny_benchmark(tmp_path, classes=4, size=32, frames=9))


def test_a_mask_of_another_size_than_its_picture_is_named(broken: VideoCatalog) -> None:
    video = next(iter(broken.videos.values()))
    sentence = video.expressions[0]
    ref, category = ClipRef(video.id, sentence.object_id, sentence.id, video.frames), video.objects[0].category
    for frame in video.frames:
        Image.new("L", (16, 16)).save(video.mask_path(frame))
    with pytest.raises(ReadError, match=r"00000\.jpg: 32 x 32, but its mask is 16 x 16"):
        load_clip(broken, ref, category, category, short_side=32)
    Image.new("L", (8, 16)).save(video.mask_path(video.frames[3]))
    with pytest.raises(ReadError, match=r"00015\.png: 8 x 16, but 00000\.png is 16 x 16"):
        load_clip(broken, ref, category, category, short_side=32)


def test_a_corrupt_or_missing_picture_is_named_also_from_a_worker(broken: VideoCatalog) -> None:
    for video in broken.videos.values():
        for frame in video.frames:
            video.frame_path(frame).write_bytes(b"\xff\xd8\xff no picture")
    data = EpisodeDataset(broken, EpisodeSampler(broken, group=1, split="train", seed=0), 32)
    with pytest.raises(ReadError, match=r"\.jpg"):
        data[0]
    loader = DataLoader(
        data, batch_sampler=[[0]], num_workers=1, collate_fn=collate, multiprocessing_context="forkserver"
    )
    with pytest.raises(ReadError, match=r"\.jpg"):
        next(iter(loader))


def test_other_objects_are_all_that_the_index_lists_but_the_clips_own(catalog: VideoCatalog) -> None:
    task = evaluation_tasks(catalog, catalog.novel_classes(1), seed=0, support_videos=1, support_frames=2)[0]
    query = task.queries[0]
    video = catalog.videos[query.video]
    others = load_other_objects(catalog, query, (48, 64))
    own = load_masks(catalog, query)
    assert set(np.unique(others)) == {0} | {int(r.id) for r in video.objects if r.id != query.object_id}
    assert not others[own].any()
    assert load_other_objects(catalog, query, (12, 16)).shape == (len(query.frames), 12, 16)
