"""An empty answer is right where nothing can be seen, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from episodes.types import ClipRef, Clips
from fewshot.evaluation.query import Query

SIZE, NETWORK = (128, 128), (32, 32)  # pixels of the files, and of the network


def query(*objects: tuple[slice, slice] | None) -> Query:
    """One frame for each object, of which the network's grid keeps every fourth row and column."""
    truth = np.zeros((len(objects), *SIZE), dtype=bool)
    for frame, place in zip(truth, objects, strict=True):
        if place is not None:
            frame[place] = True
    valid = torch.ones(1, *NETWORK, dtype=torch.bool)
    frames = torch.zeros(1, len(objects), 3, *NETWORK, dtype=torch.uint8)
    clip = Clips(valid, torch.zeros(1, len(objects)), ("a speck",), frames)
    return Query(
        ClipRef("v", "1", "0", ()), clip, truth, truth[:, 2::4, 2::4], np.zeros((len(objects), *NETWORK), np.uint8)
    )


SPECK, LARGE = (slice(4, 6), slice(4, 6)), (slice(32, 96), slice(32, 96))


@pytest.mark.parametrize("scoring", ["paper", "davis"])
def test_an_empty_answer_is_worth_nothing_where_the_object_is_too_small_for_the_network(scoring: str) -> None:
    asked = query(SPECK, LARGE, None)
    assert asked.visible.tolist() == [True, True, False]
    assert not asked.small[0].any(), "the network's grid loses it"

    region, boundary = asked.score(torch.zeros(3, *NETWORK), scoring)

    assert region.tolist() == [0.0, 0.0, 1.0]
    assert boundary.tolist() == [0.0, 0.0, 1.0]


def test_an_answer_at_the_place_of_a_lost_object_is_worth_its_overlap_at_the_size_of_the_files() -> None:
    asked = query(SPECK)
    answer = torch.zeros(1, *NETWORK)
    answer[0, 1, 1] = 1.0  # covers pixels 4 to 7, of which the object has 2 x 2

    region, _ = asked.score(answer, "paper")

    assert 0.0 < region[0] < 1.0


def test_frames_that_the_network_can_see_are_scored_at_its_size() -> None:
    asked = query(LARGE)
    answer = torch.from_numpy(asked.small).float()

    region, boundary = asked.score(answer, "paper")

    assert (region[0], boundary[0]) == (1.0, 1.0)


def beside_another(answered: tuple[slice, slice] | None) -> bool | None:
    """The verdict on an answer in this place of the network's grid: the object lies left, another one right."""
    asked = query((slice(32, 96), slice(0, 64)))
    others = np.zeros((1, *NETWORK), np.uint8)
    others[:, 8:24, 20:30] = 7
    answer = torch.zeros(1, *NETWORK)
    if answered is not None:
        answer[0, answered[0], answered[1]] = 1.0
    return replace(asked, others=others).meets_its_object(answer)


def test_an_answer_is_about_the_object_with_which_it_shares_most() -> None:
    whole = slice(8, 24)
    assert beside_another((whole, slice(0, 16))) is True
    assert beside_another((whole, slice(8, 24))) is True  # 8 columns of its own, 4 of the other
    assert beside_another((whole, slice(14, 30))) is False
    assert beside_another((whole, slice(12, 24))) is False  # as much of either


def test_an_answer_that_touches_no_object_is_about_the_wrong_one() -> None:
    assert beside_another(None) is False
    assert beside_another((slice(0, 4), slice(0, 32))) is False


def test_where_nothing_else_is_annotated_no_object_can_be_confused() -> None:
    assert query(LARGE).meets_its_object(torch.zeros(1, *NETWORK)) is None
