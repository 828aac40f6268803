"""Sizes: from a file's picture to the network's. Pictures and masks pass through the same functions and stay aligned.

Shapes: T frames, H W picture size.
"""

from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision


def target_size(height: int, width: int, short_side: int, max_long_side: int | None = None) -> tuple[int, int]:
    """(height, width) after scaling the short side to `short_side` pixels, the long one to at most `max_long_side`."""
    scale = short_side / min(height, width)
    if max_long_side is not None:
        scale = min(scale, max_long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_frames(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, 3, H, W) uint8 -> (T, 3, *size) uint8: bilinear, antialiased."""
    return frames if tuple(frames.shape[-2:]) == size else vision.resize(frames, list(size), antialias=True)


def resize_ids(ids: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, H, W) uint8 object ids -> (T, *size): the nearest pixel centre.

    torchvision resizes masks with the older "nearest" rule, which is off by half a pixel against antialiased pictures.
    """
    if tuple(ids.shape[-2:]) == size:
        return ids
    return functional.interpolate(ids.unsqueeze(1), size=size, mode="nearest-exact").squeeze(1)
