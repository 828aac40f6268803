"""Pictures and masks are read exactly, or the file is named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from episodes.decode import MaskCache, decode_mask, decode_picture, read_frame, read_mask
from episodes.errors import ReadError


@pytest.fixture
def ids() -> np.ndarray:
    return (np.arange(40 * 30) % 256).astype(np.uint8).reshape(30, 40)


@pytest.fixture
def mask_file(tmp_path: Path, ids: np.ndarray) -> Path:
    mask = Image.fromarray(ids)
    mask.putpalette([7] * 768)  # every index has the same colour: only the indices tell objects apart
    mask.save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, size=(100, 140, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "frame.jpg", quality=95)
    return tmp_path / "frame.jpg"


def test_palette_indices_are_read_as_stored(mask_file: Path, ids: np.ndarray) -> None:
    with Image.open(mask_file) as picture:
        assert picture.mode == "P"
    assert (decode_mask(mask_file) == ids).all()
    assert (read_mask(mask_file) == ids).all()


def test_a_mask_in_colours_is_rejected(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "rgb.png")
    with pytest.raises(ReadError, match=r"rgb\.png.*'RGB'"):
        decode_mask(tmp_path / "rgb.png")


@pytest.mark.parametrize("kept", [0, 1, 30, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["picture", "mask"])
def test_a_cut_off_file_is_named(kind: str, kept: float, picture_file: Path, mask_file: Path) -> None:
    file, decode = (picture_file, decode_picture) if kind == "picture" else (mask_file, decode_mask)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ReadError, match=file.name):
        decode(file)


def complaint(file: Path) -> str | None:
    try:
        decode_mask(file)
    except ReadError as error:
        return str(error)
    return None


def test_damage_anywhere_gives_an_array_or_an_error_with_the_file_name(mask_file: Path) -> None:
    content = mask_file.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        mask_file.write_bytes(bytes(damaged))
        assert str(mask_file) in (complaint(mask_file) or str(mask_file))


def test_missing_files_are_named(tmp_path: Path) -> None:
    for decode in (decode_picture, decode_mask, read_mask):
        with pytest.raises(ReadError, match=r"absent\.png.*missing"):
            decode(tmp_path / "absent.png")


def test_a_mask_that_was_read_is_not_decoded_again_until_its_file_changes(mask_file: Path) -> None:
    cache = MaskCache(limit=10_000)
    first = cache.read(mask_file)
    assert cache.read(mask_file) is first
    assert not first.flags.writeable
    Image.new("L", (40, 30), 3).save(mask_file)
    assert (cache.read(mask_file) == 3).all()


def test_the_mask_cache_never_holds_more_than_its_limit(tmp_path: Path) -> None:
    cache = MaskCache(limit=3 * 64)
    files = [tmp_path / f"{number}.png" for number in range(6)]
    for number, file in enumerate(files):
        Image.new("L", (8, 8), number).save(file)
    for file in files:
        cache.read(file)
        assert cache.held <= cache.limit
    kept = cache.read(files[-1])
    assert cache.read(files[-1]) is kept
    assert (cache.read(files[0]) == 0).all()


def test_a_frame_is_scaled_to_its_short_side_and_padded(picture_file: Path) -> None:
    frame = read_frame(picture_file, short_side=50)
    assert frame.shape == (3, 64, 96)
    assert frame.dtype == torch.uint8
    assert frame[:, :50, :70].float().std() > 1
    assert not frame[:, 50:].any()
    assert not frame[:, :, 70:].any()
    assert read_frame(picture_file, short_side=50, max_long_side=35).shape == (3, 32, 64)
