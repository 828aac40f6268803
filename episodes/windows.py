"""Which frames of a video become a clip: evenly spaced, in time order, with the object in view.

A window is (offset, stride): frames offset, offset + stride, ... A video shorter than the window, or an object seen only
near the video's ends, gets a window of stride 1 around a frame that shows it, cut off at the ends: frames repeat there.
"""

from __future__ import annotations

import numpy as np

from episodes.types import ObjectRecord, VideoRecord


def support_window(rng: np.random.Generator, video: VideoRecord, shown: ObjectRecord, length: int) -> tuple[str, ...]:
    """`length` frame names spread as wide as possible, with the object in view in the middle one.

    Windows with the object in view in most frames win over wide ones; among equals the offset is drawn.
    """
    visible = _visibility(video, shown)
    best: list[np.ndarray] = []
    most = 0
    for stride in range(_widest(len(visible), length), 0, -1):
        windows = _windows(len(visible), length, stride)
        counts = visible[windows].sum(axis=1) * visible[windows[:, length // 2]]
        if counts.max(initial=0) > most:
            most = int(counts.max())
            best = list(windows[counts == most])
    return _names(video, best[rng.integers(len(best))] if best else _around(rng, visible, length))


def query_window(rng: np.random.Generator, video: VideoRecord, shown: ObjectRecord, length: int) -> tuple[str, ...]:
    """`length` frame names with a drawn stride and offset, with the object in view in at least one of them.

    Frames without the object are wanted: a network that never sees one learns that every frame has a mask.
    """
    visible = _visibility(video, shown)
    for stride in rng.permutation(np.arange(1, _widest(len(visible), length) + 1)):
        windows = _windows(len(visible), length, int(stride))
        windows = windows[visible[windows].any(axis=1)]
        if len(windows):
            return _names(video, windows[rng.integers(len(windows))])
    return _names(video, _around(rng, visible, length))


def _visibility(video: VideoRecord, shown: ObjectRecord) -> np.ndarray:
    """(number of frames,) bool: frames that the annotation lists for the object."""
    listed = set(shown.frames)
    return np.array([frame in listed for frame in video.frames])


def _widest(count: int, length: int) -> int:
    """The largest stride at which `length` frames fit into `count`; 0 if none does."""
    if count < length:
        return 0
    return (count - 1) // (length - 1) if length > 1 else 1


def _windows(count: int, length: int, stride: int) -> np.ndarray:
    """(windows, length) frame positions, one row for each offset."""
    offsets = np.arange(count - stride * (length - 1))
    return offsets[:, None] + stride * np.arange(length)


def _around(rng: np.random.Generator, visible: np.ndarray, length: int) -> np.ndarray:
    """(length,) frame positions with a frame that shows the object in the middle, cut off at the video's ends."""
    shown = np.flatnonzero(visible)
    centre = shown[rng.integers(len(shown))]
    return np.clip(centre + np.arange(length) - length // 2, 0, len(visible) - 1)


def _names(video: VideoRecord, positions: np.ndarray) -> tuple[str, ...]:
    return tuple(video.frames[position] for position in positions)
