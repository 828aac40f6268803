"""Batches that contradict themselves are rejected with the field and the shapes; batches are taken apart by size."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from episodes.dataset import collate
from episodes.types import Clips, Pyramid, Support, Truth
from tests.random_clips import annotated_clips, mixed_support, random_clips, random_episodes, random_support

VALID = torch.ones(2, 64, 96, dtype=torch.bool)
TIMES = torch.zeros(2, 3)
FRAMES = torch.zeros(2, 3, 3, 64, 96, dtype=torch.uint8)
MASKS = torch.zeros(2, 3, 64, 96, dtype=torch.bool)


def features(frames: int = 3, f16: tuple[int, int] = (4, 6)) -> Pyramid:
    def level(h: int, w: int) -> Tensor:
        return torch.zeros(2, frames, 5, h, w)

    return Pyramid(level(16, 24), level(8, 12), level(*f16), level(2, 3))


def clips(**changes: Any) -> Clips:
    return Clips(**{"valid": VALID, "times": TIMES, "sentences": ("a", "b"), "frames": FRAMES, **changes})


# --------------------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"times": TIMES[:1]}, r"Clips\.times has shape \(1, 3\), .* valid \(2, 64, 96\)"),
        ({"frames": FRAMES[:, :2]}, r"Clips\.frames has shape \(2, 2, 3, 64, 96\), but times \(2, 3\)"),
        ({"frames": FRAMES[..., :64]}, r"Clips\.frames has shape \(2, 3, 3, 64, 64\), .* valid \(2, 64, 96\)"),
        ({"frames": FRAMES[:, :, :1]}, r"Clips\.frames has shape \(2, 3, 1, 64, 96\)"),
        ({"features": features(frames=2)}, r"Clips\.features\.f4 has shape \(2, 2, 5, 16, 24\), but times \(2, 3\)"),
        ({"features": features(f16=(4, 4))}, r"Clips\.features\.f16 has shape \(2, 3, 5, 4, 4\), .* \(2, 64, 96\)"),
        ({"sentences": ("a",)}, "Clips.sentences has 1 sentences for 2 clips"),
        ({"frames": None}, "needs frames or features"),
        ({"valid": VALID[..., :90], "frames": FRAMES[..., :90]}, "padded to multiples of 32, found 64 x 90"),
    ],
)
def test_clips_that_contradict_themselves_are_rejected(changes: dict[str, Any], complaint: str) -> None:
    assert len(clips()) == len(clips(features=features(), frames=None)) == 2
    with pytest.raises(ValueError, match=complaint):
        clips(**changes)


def test_masks_that_do_not_fit_their_clips_are_rejected() -> None:
    assert len(Support(clips(), MASKS)) == 2
    for masks, shape in (
        (MASKS[:1], "1, 3, 64, 96"),
        (MASKS[:, 1:], "2, 2, 64, 96"),
        (MASKS[..., 32:], "2, 3, 64, 64"),
    ):
        with pytest.raises(ValueError, match=rf"Support\.masks has shape \({shape}\), .* need \(2, 3, 64, 96\)"):
            Support(clips(), masks)
    with pytest.raises(ValueError, match=r"Truth\.class_masks has shape \(1, 3, 64, 96\), but masks \(2, 3, 64, 96\)"):
        Truth(MASKS, MASKS[:1])


def test_an_episode_whose_parts_do_not_fit_is_rejected() -> None:
    batch = random_episodes(2, shots=3)

    with pytest.raises(ValueError, match=r"Episode\.truth has masks \(1, 2, 64, 64\), but its query needs \(2, 2"):
        replace(batch, truth=batch.truth.select([0], (64, 64)))
    for field, value in (("support", random_support(5)), ("query", random_clips(1)), ("specs", ())):
        with pytest.raises(ValueError, match=r"Episode of \d specs has \d support and \d query clips"):
            replace(batch, **{field: value})


# --------------------------------------------------------------------------- sizes


def test_selected_clips_and_masks_have_no_more_padding_than_they_need() -> None:
    support = mixed_support([(64, 128), (50, 70), (30, 20)])

    small = support.select([2, 1])

    assert small.clips.size == (64, 96)
    assert torch.equal(small.clips.valid.flatten(1).sum(1), torch.tensor([30 * 20, 50 * 70]))
    assert small.clips.sentences == (support.clips.sentences[2], support.clips.sentences[1])
    assert torch.equal(small.masks, support.masks[[2, 1], :, :64, :96])
    assert small.masks.sum() == support.masks[1:].sum()


def test_a_batch_is_taken_apart_into_episodes_of_one_query_size() -> None:
    parts = [random_episodes(1, size=size) for size in ((64, 64), (50, 70), (40, 60))]  # padded to 64, 96 and 64 wide
    batch = collate([replace(part, specs=(replace(part.specs[0], index=i),)) for i, part in enumerate(parts)])

    first, second = batch.by_size()

    assert [[spec.index for spec in part.specs] for part in (first, second)] == [[0, 2], [1]]
    assert (first.query.size, second.query.size) == ((64, 64), (64, 96))
    assert torch.equal(second.truth.masks, parts[1].truth.masks)
    assert torch.equal(first.support.masks, torch.cat([parts[i].support.masks for i in (0, 2)]))
    assert second.truth.class_masks is not None
    assert parts[1].truth.class_masks is not None
    assert torch.equal(second.truth.class_masks, parts[1].truth.class_masks)
    assert first.by_size() == [first]


def test_the_picture_of_a_clip_is_what_is_not_padding() -> None:
    clips, truth = annotated_clips(1, size=(50, 70))

    rows, columns = clips.picture()

    assert clips.valid[0, rows, columns].shape == (50, 70)
    assert clips.valid[0, rows, columns].all()
    assert truth.masks[0, :, rows, columns].sum() == truth.masks.sum()
