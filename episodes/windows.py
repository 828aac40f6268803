"""Which frames of a video become a clip: evenly spaced, in time order, with the object in view.

Windows come in families: first those spread over the whole video (each at an offset of its own), then those of a fixed
stride, from the widest to neighbouring frames. A video shorter than the window is spread over it: frames repeat.
An object that no window shows in its middle, since it is seen near the video's ends only, gets a window of neighbouring
frames around one that shows it, clipped to the video: its first or last frame repeats.
"""

import numpy as np

from episodes.types import ObjectRecord, VideoRecord


def support_window(rng: np.random.Generator, video: VideoRecord, shown: ObjectRecord, length: int) -> tuple[str, ...]:
    """`length` frame names spread as wide as possible, with the object in view in the middle one.

    Windows with the object in view in most frames win over wide ones; among equals the offset is drawn.
    """
    visible = _visibility(video, shown)
    best: list[np.ndarray] = []
    most = 0
    for windows in _families(len(visible), length):
        counts = visible[windows].sum(axis=1) * visible[windows[:, length // 2]]
        if counts.max() > most:
            most = int(counts.max())
            best = list(windows[counts == most])
        if most == length:
            break
    return _names(video, best[rng.integers(len(best))] if best else _repeating(rng, visible, length))


def query_window(rng: np.random.Generator, video: VideoRecord, shown: ObjectRecord, length: int) -> tuple[str, ...]:
    """`length` frame names with a drawn stride and offset, with the object in view in at least one of them.

    Frames without the object are wanted: a network that never sees one learns that every frame has a mask.
    """
    visible = _visibility(video, shown)
    families = _families(len(visible), length)
    for position in rng.permutation(len(families)):
        windows = families[position]
        windows = windows[visible[windows].any(axis=1)]
        if len(windows):
            return _names(video, windows[rng.integers(len(windows))])
    return _names(video, _repeating(rng, visible, length))


def _visibility(video: VideoRecord, shown: ObjectRecord) -> np.ndarray:
    """(number of frames,) bool: frames that the annotation lists for the object."""
    listed = set(shown.frames)
    return np.array([frame in listed for frame in video.frames])


def _families(count: int, length: int) -> list[np.ndarray]:
    """(windows, length) frame positions of each family, widest first; none if `count` is too small."""
    if count < length:
        return []
    steps = np.arange(length)
    families = [(steps * count + np.arange(count)[:, None]) // length]
    widest = (count - 1) // (length - 1) if length > 1 else 0
    for stride in range(widest, 0, -1):
        families.append(np.arange(count - stride * (length - 1))[:, None] + stride * steps)
    return families


def _repeating(rng: np.random.Generator, visible: np.ndarray, length: int) -> np.ndarray:
    """(length,) frame positions, some of them equal, with the object in view in the middle one."""
    spread = np.rint(np.linspace(0, len(visible) - 1, length)).astype(int)
    if len(visible) < length and visible[spread[length // 2]]:
        return spread
    shown = np.flatnonzero(visible)
    centre = shown[rng.integers(len(shown))]
    return np.clip(centre + np.arange(length) - length // 2, 0, len(visible) - 1)


def _names(video: VideoRecord, positions: np.ndarray) -> tuple[str, ...]:
    return tuple(video.frames[position] for position in positions)
