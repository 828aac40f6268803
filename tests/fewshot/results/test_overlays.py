"""Overlay pages show what they claim to show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from episodes.types import Clips, Pyramid
from fewshot.results.overlays import ClipPicture, draw_overlay, write_overlay


def _clip(frames: int = 4, height: int = 48, width: int = 64, text: str = "the small blue anchor") -> ClipPicture:
    masks = np.zeros((frames, height, width), dtype=np.bool_)
    masks[:, 10:30, 10:30] = True
    pictures = np.full((frames, height, width, 3), (90, 110, 130), dtype=np.uint8)
    return ClipPicture(pictures, masks, text)


def _batch(frames: torch.Tensor | None) -> tuple[Clips, torch.Tensor]:
    masks = torch.zeros(2, 3, 64, 96, dtype=torch.bool)
    masks[1, :, 5:20, 5:20] = True
    valid = torch.zeros(2, 64, 96, dtype=torch.bool)
    valid[:, :50, :70] = True
    pyramid = Pyramid(*(torch.zeros(2, 3, 4, 64 // s, 96 // s) for s in (4, 8, 16, 32)))
    return Clips(valid, torch.zeros(2, 3), ("a", "b"), frames, pyramid), masks


def test_a_page_is_an_rgb_array_with_a_row_for_each_shot_and_three_for_the_query() -> None:
    query = _clip()

    one = draw_overlay([_clip()], query, query.masks, title="cma 1-shot")
    five = draw_overlay([_clip()] * 5, query, query.masks, title="cma 5-shot")

    assert one.dtype == np.uint8
    assert one.ndim == 3
    assert one.shape[2] == 3
    assert one.shape[0] > 4 * 160
    assert five.shape[0] - one.shape[0] >= 4 * 160
    assert five.shape[1] == one.shape[1]


def test_the_page_depends_on_prediction_truth_support_mask_sentence_and_scores() -> None:
    query, support = _clip(), _clip()
    nothing = np.zeros_like(query.masks)
    page = draw_overlay([support], query, query.masks, title="t", scores=[1.0] * 4)

    others = [
        draw_overlay([support], query, nothing, title="t", scores=[1.0] * 4),
        draw_overlay([support], replace(query, masks=nothing), query.masks, title="t", scores=[1.0] * 4),
        draw_overlay([replace(support, masks=nothing)], query, query.masks, title="t", scores=[1.0] * 4),
        draw_overlay([support], replace(query, text="another"), query.masks, title="t", scores=[1.0] * 4),
        draw_overlay([support], query, query.masks, title="t", scores=[0.5] * 4),
    ]

    assert all(other.shape != page.shape or (other != page).any() for other in others)


def test_an_object_keeps_nearly_its_own_colours_and_the_rest_fades() -> None:
    clip = _clip(frames=1, height=160, width=160)
    support = replace(clip, frames=np.full_like(clip.frames, 200) * np.array([1, 0, 0], np.uint8))

    page = draw_overlay([support], clip, clip.masks, title="")

    rows = page[: page.shape[0] // 4].astype(int)
    red = (rows[..., 0] > 120) & (rows[..., 0] - rows[..., 1] > 80)
    assert 200 < red.sum() < 450  # the 20 x 20 object less its outline; elsewhere the red picture is grey


def test_long_clips_show_their_first_and_last_frame_and_no_more_than_the_columns() -> None:
    short, long = _clip(frames=6), _clip(frames=60)

    pages = [draw_overlay([], clip, clip.masks, title="t") for clip in (short, long)]

    assert pages[0].shape == pages[1].shape
    for end in (0, -1):
        prediction = long.masks.copy()
        prediction[end] = False
        assert (draw_overlay([], long, prediction, title="t") != pages[1]).any()


def test_one_frame_portrait_pictures_and_endless_sentences_have_a_page() -> None:
    clip = _clip(frames=1, height=90, width=50, text="the anchor " * 60)

    page = draw_overlay([clip], clip, clip.masks, title="t")

    assert page.shape[1] < 1500


def test_nothing_is_cut_off_at_the_edge_of_a_narrow_page() -> None:
    clip = _clip(frames=1, width=24)
    page = draw_overlay([clip], clip, clip.masks, title="t")
    assert (page[:, -8:] == 255).all()


def test_a_clip_of_a_batch_loses_its_padding() -> None:
    frames = torch.randint(0, 255, (2, 3, 3, 64, 96), dtype=torch.uint8)

    clip = ClipPicture.of_clips(*_batch(frames), 1)

    assert clip.frames.shape == (3, 50, 70, 3)
    assert clip.masks.shape == (3, 50, 70)
    assert clip.masks.sum() == 3 * 15 * 15
    assert clip.text == "b"
    np.testing.assert_array_equal(clip.frames[2, :, :, 1], frames[1, 2, 1, :50, :70].numpy())


def test_a_batch_of_features_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="load them with frames"):
        ClipPicture.of_clips(*_batch(None))


def test_sizes_that_do_not_fit_are_rejected() -> None:
    clip = _clip()

    with pytest.raises(ValueError, match=r"prediction must be \(4, 48, 64\) bool"):
        draw_overlay([], clip, clip.masks[:, :40], title="t")
    with pytest.raises(ValueError, match="to fit the frames"):
        ClipPicture(clip.frames, clip.masks[:2], "t")
    with pytest.raises(ValueError, match="uint8 with T >= 1"):
        ClipPicture(clip.frames[:0], clip.masks[:0], "t")


def test_a_written_page_reads_back_equal(tmp_path: Path) -> None:
    clip = _clip()
    page = draw_overlay([clip], clip, clip.masks, title="t")

    write_overlay(tmp_path / "overlays" / "one.png", page)

    with Image.open(tmp_path / "overlays" / "one.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), page)
