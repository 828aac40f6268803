"""Cached image features: equal to computed ones, found again where they hold, and not where they do not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from episodes.decode import read_frame
from episodes.errors import WeightsError
from episodes.types import Pyramid
from fewshot.runs.encoders import image_fingerprint
from fewshot.runs.features import FeatureStore
from models.backbone import ImageEncoder
from tests.random_clips import shared_trunk

SIDE = 32
LEVELS = ("f4", "f8", "f16", "f32")


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return shared_trunk().image


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    """Three pictures of 64 x 96 pixels."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / "data" / f"{number:05d}.jpg" for number in range(3)]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (64, 96, 3), np.uint8)).save(path)
    return paths


def store(folder: Path, short_side: int = SIDE, fingerprint: str = "encoder") -> FeatureStore:
    return FeatureStore(folder / "cache", fingerprint, short_side)


class Scaled(ImageEncoder):
    """The shared encoder, its features multiplied."""

    def __init__(self, encoder: ImageEncoder, factor: float) -> None:
        torch.nn.Module.__init__(self)
        self.inner, self.factor, self.name = encoder, factor, "scaled"

    def forward(self, frames: Tensor) -> Pyramid:
        features: Pyramid = self.inner(frames)
        return features.map(lambda f: f * self.factor)


def test_cached_features_equal_computed_ones_up_to_float16(
    tmp_path: Path, frames: list[Path], encoder: ImageEncoder
) -> None:
    cache = store(tmp_path)

    assert cache.fill(frames, encoder) == 3

    read = cache([frames[2], frames[0]])
    computed = encoder(torch.stack([read_frame(frames[i], short_side=SIDE, max_long_side=None) for i in (2, 0)])[None])
    for level in LEVELS:
        found, expected = getattr(read, level), getattr(computed, level)
        assert found.dtype == torch.float16
        assert found.shape == expected.shape
        torch.testing.assert_close(found.float(), expected, atol=5e-3, rtol=2e-3)


def test_the_semantic_map_is_kept_where_it_is_asked_for_and_apart(
    tmp_path: Path, frames: list[Path], encoder: ImageEncoder
) -> None:
    semantic = ImageEncoder("package:efficientnet_lite0", semantic=True)
    plain, more = (store(tmp_path, fingerprint=image_fingerprint(each)) for each in (encoder, semantic))

    assert plain.fill(frames, encoder) == more.fill(frames, semantic) == 3

    assert plain(frames).semantic is None
    kept = more(frames).semantic
    assert kept is not None
    assert kept.shape == (1, 3, 1280, 1, 2)
    assert torch.equal(plain(frames).f32, more(frames).f32)


def test_what_is_there_is_not_computed_again(tmp_path: Path, frames: list[Path], encoder: ImageEncoder) -> None:
    store(tmp_path).fill(frames[:2], encoder)

    assert store(tmp_path).fill(frames, encoder) == 1
    assert store(tmp_path).fill(frames, encoder) == 0


def test_progress_counts_every_frame_that_is_computed(
    tmp_path: Path, frames: list[Path], encoder: ImageEncoder
) -> None:
    reported: list[int] = []
    other_size = tmp_path / "data/wide.jpg"
    Image.fromarray(np.zeros((32, 96, 3), np.uint8)).save(other_size)

    done = store(tmp_path).fill([frames[0], other_size, *frames[1:]], encoder, advance=reported.append)

    assert done == reported[-1] == 4
    assert reported == sorted(reported)


def test_a_changed_picture_is_computed_anew(tmp_path: Path, frames: list[Path], encoder: ImageEncoder) -> None:
    store(tmp_path).fill(frames, encoder)
    before = store(tmp_path)(frames[:1]).f8

    Image.new("RGB", (96, 64), (200, 10, 10)).save(frames[0])
    changed = store(tmp_path)

    assert changed.fill(frames, encoder) == 1
    assert not torch.equal(changed(frames[:1]).f8, before)


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move], ids=["copied", "moved"])
def test_a_moved_data_set_is_still_found(
    tmp_path: Path, frames: list[Path], encoder: ImageEncoder, move: Callable[[str, str], object]
) -> None:
    store(tmp_path).fill(frames, encoder)
    before = store(tmp_path)(frames).f16

    move(str(tmp_path / "data"), str(tmp_path / "elsewhere"))
    moved = [tmp_path / "elsewhere" / path.name for path in frames]

    assert store(tmp_path).fill(moved, encoder) == 0
    assert torch.equal(store(tmp_path)(moved).f16, before)


def test_another_size_or_encoder_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {
        store(tmp_path).folder,
        store(tmp_path, short_side=64).folder,
        store(tmp_path, fingerprint="other").folder,
        FeatureStore(tmp_path / "cache", "encoder", SIDE, max_long_side=640).folder,
    }

    assert len(folders) == 4
    assert store(tmp_path).folder in folders


def test_the_fingerprint_follows_weights_normalisation_and_name() -> None:
    first, second = (ImageEncoder("resnet18", pretrained=False) for _ in range(2))
    second.load_state_dict(first.state_dict())
    same = image_fingerprint(first)
    assert image_fingerprint(second) == same

    second.mean = second.mean + 1
    assert image_fingerprint(second) != same
    second.mean = first.mean
    with torch.no_grad():
        next(second.parameters()).view(-1)[0] += 1e-3
    assert image_fingerprint(second) != same


@pytest.mark.parametrize("factor", [float("nan"), 1e30])
def test_features_that_float16_cannot_hold_are_rejected_and_not_kept(
    tmp_path: Path, frames: list[Path], encoder: ImageEncoder, factor: float
) -> None:
    cache = store(tmp_path)

    with pytest.raises(WeightsError, match=r"scaled gives features of .*00000\.jpg.*that float16 cannot hold"):
        cache.fill(frames, Scaled(encoder, factor))

    assert list(tmp_path.glob("cache/**/*.*")) == []


def test_nothing_half_written_is_left_beside_the_files(
    tmp_path: Path, frames: list[Path], encoder: ImageEncoder
) -> None:
    store(tmp_path).fill(frames, encoder)

    files = [path for path in tmp_path.glob("cache/**/*") if path.is_file()]
    assert len(files) == 3
    assert {path.suffix for path in files} == {".safetensors"}


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, frames: list[Path], encoder: ImageEncoder) -> None:
    store(tmp_path).fill(frames[:1], encoder)
    (file,) = tmp_path.glob("cache/**/*.safetensors")
    file.write_bytes(file.read_bytes()[:100])

    with pytest.raises(WeightsError, match=rf"{file} is damaged .*; remove it, and its features are computed again"):
        store(tmp_path)(frames[:1])
