"""Pictures and masks from files, with errors that name the file.

Masks are read as the palette's indices, exactly as stored: never converted to colours and back. They are small and
an episode needs many, so decoded masks stay in memory up to a fixed number of bytes; pictures do not.
"""

import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from episodes.errors import ReadError
from episodes.geometry import resize_frames, target_size
from episodes.padding import pad, padded_size

# What Pillow raises for damaged files, by format and by kind of damage.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Image.Image]:
    """The file as an image. ReadError if it is missing, or damaged as far as it is read."""
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError as error:
        raise ReadError(f"{path}: the {kind} is missing; restore it, or take the frame out of the index") from error
    except DAMAGE as error:
        raise ReadError(f"{path}: not readable as a {kind} ({error}); restore the file") from error


def decode_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB. ReadError if the file is missing or damaged."""
    with _opened(path, "picture") as picture:
        return np.array(picture.convert("RGB"))


def read_frame(path: Path, *, short_side: int, max_long_side: int | None = None) -> Tensor:
    """(3, H, W) uint8 picture at network size: resized and padded exactly as in an unchanged clip of an episode."""
    frames = torch.from_numpy(decode_picture(path)).permute(2, 0, 1).unsqueeze(0)
    size = target_size(frames.shape[-2], frames.shape[-1], short_side, max_long_side)
    return pad(resize_frames(frames, size), padded_size(*size))[0]


def decode_mask(path: Path) -> np.ndarray:
    """(H, W) uint8 object ids, 0 = background. ReadError if missing, damaged, or not an 8-bit palette or grey image."""
    with _opened(path, "mask") as picture:
        mode, ids = picture.mode, np.array(picture)
    if mode not in ("P", "L"):
        raise ReadError(f"{path}: masks are 8-bit palette PNGs of object ids, found mode {mode!r}")
    return ids


class MaskCache:
    """The masks used last, at most `limit` bytes of them. A file that changes is read again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._masks: OrderedDict[tuple[str, int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path) -> np.ndarray:
        """Like `decode_mask`, from memory if the same file was read before; the array is read-only."""
        try:
            state = path.stat()
        except FileNotFoundError:
            return decode_mask(path)
        key = (str(path), state.st_mtime_ns, state.st_size)
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        mask = decode_mask(path)
        mask.flags.writeable = False
        with self._lock:
            if key not in self._masks:
                self._masks[key] = mask
                self.held += mask.nbytes
            while self.held > self.limit:
                self.held -= self._masks.popitem(last=False)[1].nbytes
        return mask


read_mask = MaskCache(limit=256 * 1024 * 1024).read
