"""Pictures and masks stay aligned through resizing and padding."""

import pytest
import torch

from episodes.geometry import resize_frames, resize_ids, target_size
from episodes.padding import pad, padded_size, valid_area


def test_the_short_side_decides_unless_the_long_one_is_too_long() -> None:
    assert target_size(720, 1280, 360) == (360, 640)
    assert target_size(1280, 720, 360) == (640, 360)
    assert target_size(360, 1280, 360, max_long_side=640) == (180, 640)
    assert target_size(1, 1000, 1, max_long_side=10) == (1, 10)


def test_sizes_are_padded_up_to_multiples_of_32() -> None:
    assert padded_size(360, 640) == (384, 640)
    assert padded_size(1, 33) == (32, 64)
    area = valid_area((3, 5), (32, 32))
    assert area.sum() == 15
    assert area[:3, :5].all()
    assert pad(torch.ones(2, 3, 5), (32, 32)).sum() == 30


@pytest.mark.parametrize("side", [24, 48, 72, 96, 200])
def test_a_mask_and_a_picture_of_the_same_square_have_the_same_centre(side: int) -> None:
    ids = torch.zeros(1, 48, 48, dtype=torch.uint8)
    ids[:, 10:30, 4:20] = 1
    frames = (ids * 255).unsqueeze(1).expand(1, 3, 48, 48).contiguous()
    mask = resize_ids(ids, (side, side))[0].float()
    picture = resize_frames(frames, (side, side))[0, 0].float()
    for weights in (mask, picture):
        y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
        assert (weights * y).sum() / weights.sum() * 48 / side == pytest.approx(20, abs=0.5)
        assert (weights * x).sum() / weights.sum() * 48 / side == pytest.approx(12, abs=0.5)


def test_resized_masks_hold_no_new_ids() -> None:
    ids = torch.randint(0, 256, (2, 37, 53), dtype=torch.uint8)
    assert set(resize_ids(ids, (71, 90)).unique().tolist()) <= set(ids.unique().tolist())
