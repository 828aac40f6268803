"""A sentence that the masks or the colours contradict is found out."""

import numpy as np
import pytest

from episodes.composed.pictures import Picture
from episodes.composed.planning import Role
from episodes.composed.truth import all_true
from tests.paths import ROOT

Square = tuple[int, int, int]  # x, y, side


def masks(*objects: list[Square]) -> np.ndarray:
    """(T, 100, 100): object i + 1 is a square in each frame; a later one covers an earlier one."""
    result = np.zeros((len(objects[0]), 100, 100), np.uint8)
    for number, squares in enumerate(objects, start=1):
        for frame, (x, y, side) in enumerate(squares):
            result[frame, y : y + side, x : x + side] = number
    return result


def holds(attribute: str, values: tuple[str, str], truth: np.ndarray, colours: tuple[int, ...] = ()) -> bool:
    picture = Picture(ROOT / "any.png", "ant", "")
    roles = [Role(picture, attribute, value) for value in values]
    frames = np.full((*truth.shape, 3), 128, np.uint8)
    for number, channel in enumerate(colours, start=1):
        frames[truth == number] = np.eye(3, dtype=np.uint8)[channel] * 200
    whole = [(truth == number).sum(axis=(1, 2)).tolist() for number in (1, 2)]
    return all_true(roles, truth, whole, frames)


LEFT, RIGHT = [(5, 40, 20)] * 3, [(70, 40, 20)] * 3
SMALL, LARGE = [(5, 40, 12)] * 3, [(60, 40, 30)] * 3


@pytest.mark.parametrize(
    ("attribute", "values", "objects"),
    [
        ("position", ("left", "right"), (LEFT, RIGHT)),
        ("size", ("small", "large"), (SMALL, LARGE)),
        (
            "motion",
            ("down", "up"),
            ([(5, 10, 20), (5, 20, 20), (5, 30, 20)], [(60, 60, 20), (60, 40, 20), (60, 30, 20)]),
        ),
    ],
)
def test_the_true_values_hold_and_the_exchanged_ones_do_not(
    attribute: str, values: tuple[str, str], objects: tuple[list[Square], list[Square]]
) -> None:
    assert holds(attribute, values, masks(*objects))
    assert not holds(attribute, values[::-1], masks(*objects))


def test_a_place_must_hold_in_every_frame() -> None:
    assert not holds("position", ("left", "right"), masks(LEFT, [*RIGHT[:2], (10, 70, 20)]))


def test_a_size_must_differ_clearly() -> None:
    assert not holds("size", ("small", "large"), masks(SMALL, [(60, 40, 14)] * 3))


def test_a_motion_may_not_turn_back() -> None:
    way = [(5, 10, 20), (5, 40, 20), (5, 30, 20)]
    assert not holds("motion", ("down", "up"), masks(way, [(60, 60, 20), (60, 40, 20), (60, 30, 20)]))


def test_colours_are_those_of_the_pictures() -> None:
    assert holds("colour", ("red", "blue"), masks(LEFT, RIGHT), (0, 2))
    assert not holds("colour", ("red", "green"), masks(LEFT, RIGHT), (0, 2))


def test_an_object_that_is_seen_in_too_few_frames_is_rejected() -> None:
    hidden = [(70, 40, 20), (0, 0, 0), (0, 0, 0)]
    assert not holds("name", ("", ""), masks(LEFT, hidden))
