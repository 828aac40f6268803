"""Windows lie in time order and show the object."""

from pathlib import Path

import numpy as np
import pytest

from episodes.types import ObjectRecord, VideoRecord
from episodes.windows import query_window, support_window


def video(count: int, visible: list[int]) -> tuple[VideoRecord, ObjectRecord]:
    frames = tuple(f"{number:05d}" for number in range(count))
    record = ObjectRecord("1", "disc", tuple(frames[number] for number in visible))
    return VideoRecord("v", frames, Path("f"), Path("m"), ".jpg", (record,), ()), record


def positions(window: tuple[str, ...]) -> list[int]:
    return [int(name) for name in window]


def draws(draw, count: int, visible: list[int], length: int) -> list[list[int]]:  # type: ignore[no-untyped-def]
    record, shown = video(count, visible)
    return [positions(draw(np.random.default_rng(seed), record, shown, length)) for seed in range(60)]


@pytest.mark.parametrize("draw", [support_window, query_window])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 8, 12, 36, 100])
@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_every_window_has_its_length_and_time_order(draw, count: int, length: int) -> None:  # type: ignore[no-untyped-def]
    for window in draws(draw, count, [count // 2, count - 1], length):
        assert len(window) == length
        assert window == sorted(window)
        assert 0 <= window[0] <= window[-1] < count


@pytest.mark.parametrize("visible", [[0], [7], [3, 4], [0, 7], [1, 2, 3, 4, 5], list(range(8))])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 11])
def test_the_middle_support_frame_shows_the_object(visible: list[int], length: int) -> None:
    assert all(window[length // 2] in visible for window in draws(support_window, 8, visible, length))


@pytest.mark.parametrize("visible", [[0], [7], [3, 4], [0, 7]])
def test_some_query_frame_shows_the_object(visible: list[int]) -> None:
    for length in (1, 2, 5, 8, 11):
        assert all(set(window) & set(visible) for window in draws(query_window, 8, visible, length))


def test_an_object_that_is_always_in_view_gets_windows_over_the_whole_video() -> None:
    windows = draws(support_window, 36, list(range(36)), 5)
    assert all(window[-1] - window[0] >= 28 for window in windows)
    assert all(len(set(window)) == 5 for window in windows)
    assert len({tuple(window) for window in windows}) > 5


def test_an_object_in_view_for_a_while_fills_the_whole_window() -> None:
    assert all(set(window) <= set(range(10, 18)) for window in draws(support_window, 36, list(range(10, 18)), 5))


def test_frames_repeat_only_where_they_must() -> None:
    assert draws(support_window, 8, list(range(8)), 8)[0] == list(range(8))
    assert draws(support_window, 3, [0, 1, 2], 5)[0] == [0, 0, 1, 2, 2]
    assert all(len(set(window)) == 5 for window in draws(query_window, 8, list(range(8)), 5))
