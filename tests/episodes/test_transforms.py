"""Augmentation: drawn from the given generator alone, one change for a whole clip, sentences that stay true."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from episodes.config import AugmentConfig
from episodes.transforms import ClipChange, draw_change, mirror_sentence

STRONG = AugmentConfig(scale=(0.5, 1.5), flip=0.5, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.2)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("the dog on the left", "the dog on the right"),
        ("Left dog, right of the LEFT cat", "Right dog, left of the RIGHT cat"),
        ("the leftmost of the rightward dogs", "the rightmost of the leftward dogs"),
        ("the left-hand dog", "the right-hand dog"),
        ("leftover food beside a bright copyright sign", "leftover food beside a bright copyright sign"),
        ("turning clockwise", "turning counterclockwise"),
        ("turning anti-clockwise", "turning clockwise"),
        ("a dog above a cat", "a dog above a cat"),
    ],
)
def test_a_mirror_swaps_left_and_right_as_whole_words(text: str, mirrored: str) -> None:
    assert mirror_sentence(text) == mirrored
    if "clockwise" not in text:
        assert mirror_sentence(mirrored) == text


def test_the_same_generator_gives_the_same_change_and_no_global_state_is_touched() -> None:
    frames, ids = clip()
    before = torch.get_rng_state()
    first, second = (draw_change(STRONG, np.random.default_rng(5), 100) for _ in range(2))
    first.change(frames, ids)
    assert first == second
    assert first != draw_change(STRONG, np.random.default_rng(6), 100)
    assert torch.equal(before, torch.get_rng_state())


def test_switching_one_change_off_leaves_the_others_as_they_were() -> None:
    plain = STRONG.model_copy(update={"flip": 0.0, "brightness": 0.0})
    for seed in range(20):
        all_on, some_off = (draw_change(c, np.random.default_rng(seed), 100) for c in (STRONG, plain))
        assert some_off.short_side == all_on.short_side
        assert some_off.colour[1:] == all_on.colour[1:]
        assert some_off.colour[0] == 1.0
        assert not some_off.flip


def test_draws_stay_in_their_ranges_and_use_them() -> None:
    drawn = [draw_change(STRONG, np.random.default_rng(seed), 100) for seed in range(300)]
    sides = [change.short_side for change in drawn]
    assert 50 <= min(sides) < 60
    assert 140 < max(sides) <= 150
    assert 100 < sum(change.flip for change in drawn) < 200
    assert all(0.5 <= value <= 1.5 for change in drawn for value in change.colour[:3])
    assert all(abs(change.colour[3]) <= 0.2 for change in drawn)


def clip() -> tuple[torch.Tensor, torch.Tensor]:
    """Three equal frames of noise, and ids that say in which column a pixel lies."""
    frame = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    ids = torch.arange(30, dtype=torch.uint8).expand(3, 20, 30).contiguous()
    return frame.repeat(3, 1, 1, 1), ids


def test_all_frames_of_a_clip_change_alike_and_colours_leave_masks_alone() -> None:
    frames, ids = clip()
    change = draw_change(STRONG.model_copy(update={"flip": 0.0}), np.random.default_rng(3), 20)
    changed, same = change.change(frames, ids)
    assert not torch.equal(changed, frames)
    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])
    assert torch.equal(same, ids)


def test_a_flip_mirrors_frames_masks_and_words_together() -> None:
    frames, ids = clip()
    change = ClipChange(20, flip=True, colour=(1.0, 1.0, 1.0, 0.0), order=(0, 1, 2, 3))
    flipped, flipped_ids = change.change(frames, ids)
    assert torch.equal(flipped, frames.flip(-1))
    assert torch.equal(flipped_ids, ids.flip(-1))
    assert change.sentence("on the left") == "on the right"


def test_senseless_ranges_are_rejected() -> None:
    for wrong in ({"scale": (2.0, 1.0)}, {"scale": (0.0, 1.0)}, {"flip": 1.5}, {"hue": 0.7}, {"blur": 1}):
        with pytest.raises(ValidationError):
            AugmentConfig(**wrong)
