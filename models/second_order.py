"""Passes that can be differentiated twice, for meta-gradients of second order.

Two operations of the head have no second derivative: the fused kernels of attention, and grid_sample in the older torch
that setup.py allows (2.14 has it on a CPU). Inside `twice_differentiable` attention takes the plain (math) kernel and
`sample` reads its points by gathers. Elsewhere both keep their fast form.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

_twice: ContextVar[bool] = ContextVar("twice", default=False)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Forward passes made inside have a second derivative, also after the context has ended."""
    token = _twice.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _twice.reset(token)


def sample(maps: Tensor, grid: Tensor) -> Tensor:
    """Bilinear readings of maps (N, C, h, w) at grid (N, P, A, 2), (x, y) in [-1, 1] between the outer edges of the
    map; zero outside -> (N, C, P, A).
    """
    if _twice.get():
        return gather_bilinear(maps, grid)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def gather_bilinear(maps: Tensor, grid: Tensor) -> Tensor:
    """`sample` as a sum over the four cells around each point; equals grid_sample up to rounding."""
    h, w = maps.shape[-2:]
    flat = maps.flatten(2)
    x = ((grid[..., 0] + 1) * w - 1) / 2  # (N, P, A), in cells, whole numbers at cell centres
    y = ((grid[..., 1] + 1) * h - 1) / 2
    left, top = x.detach().floor(), y.detach().floor()
    read = maps.new_zeros(())
    for column, near_x in ((left, left + 1 - x), (left + 1, x - left)):
        for row, near_y in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            cell = row.clamp(0, h - 1).long() * w + column.clamp(0, w - 1).long()
            values = flat.gather(2, cell.flatten(1)[:, None].expand(-1, flat.shape[1], -1))
            read = read + values.unflatten(2, cell.shape[1:]) * (near_x * near_y * inside)[:, None]
    return read
