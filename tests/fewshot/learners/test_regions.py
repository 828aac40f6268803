"""An answer keeps the regions that resemble the support, and only those."""

import torch
from torch import Tensor

from fewshot.learners.regions import matching_regions


def frame(*boxes: tuple[int, int, int]) -> Tensor:
    """Logits (1, 16, 32): positive in squares given as (row, column, side)."""
    logits = torch.full((1, 16, 32), -3.0)
    for row, column, side in boxes:
        logits[:, row : row + side, column : column + side] = 2.0
    return logits


def evidence(left: float, right: float) -> Tensor:
    """Log-odds (1, 4, 8) of the two halves."""
    halves = torch.full((1, 4, 8), left)
    halves[..., 4:] = right
    return halves


def test_of_two_regions_the_one_that_resembles_the_support_less_is_dropped() -> None:
    logits = frame((2, 2, 8), (2, 22, 8))

    kept = matching_regions(logits, evidence(3.0, 0.5), margin=1.0)

    assert torch.equal(kept, frame((2, 2, 8)) > 0)
    assert torch.equal(matching_regions(logits, evidence(0.5, 3.0), margin=1.0), frame((2, 22, 8)) > 0)


def test_regions_within_the_margin_are_all_kept() -> None:
    logits = frame((2, 2, 8), (2, 22, 8))

    assert torch.equal(matching_regions(logits, evidence(3.0, 2.5), margin=1.0), logits > 0)


def test_fragments_neither_decide_nor_stay() -> None:
    logits = frame((2, 2, 8), (2, 28, 2))

    assert torch.equal(matching_regions(logits, evidence(1.0, 9.0), margin=1.0), frame((2, 2, 8)) > 0)


def test_a_single_region_is_kept_whatever_the_evidence_and_an_empty_frame_stays_empty() -> None:
    one = frame((2, 2, 8))

    assert torch.equal(matching_regions(one, evidence(-9.0, 9.0), margin=0.0), one > 0)
    assert not matching_regions(frame(), evidence(1.0, 1.0), margin=0.0).any()


def test_frames_are_judged_one_by_one() -> None:
    logits = frame((2, 2, 8), (2, 22, 8)).expand(2, -1, -1)
    both = torch.cat([evidence(3.0, 0.0), evidence(0.0, 3.0)])

    kept = matching_regions(logits, both, margin=1.0)

    assert torch.equal(kept[0], frame((2, 2, 8))[0] > 0)
    assert torch.equal(kept[1], frame((2, 22, 8))[0] > 0)
