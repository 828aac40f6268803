"""Where pixels move between frames, read from trunk features without a weight of its own (ours)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

REACH = 5  # stride-16 cells, 80 pixels: how far a pixel is looked for in a neighbouring frame
SHARPNESS = 30.0  # of cosines; 10, 30 and 100 tell directions apart equally well (experiments/LOG.md)


@torch.no_grad()
def velocity(features: Tensor, times: Tensor) -> Tensor:
    """Velocity of each cell: (x, y) in pictures per unit of `times`, positive to the right and downwards.

    features (B, T, C, h, w) of the trunk, times (B, T) each frame's place in its video in [0, 1] -> (B, T, 2, h, w).
    Each cell is matched, by cosine, with the cells within REACH of it in the previous and the next frame of the clip
    (a softmax over them gives the mean displacement); the two displacements, over the time between them, are the
    velocity. Zero where the clip has one frame or repeats one.
    """
    b, t, _, h, w = features.shape
    moved = features.new_zeros(b, t, h * w, 2)
    cells = rearrange(F.normalize(features.float(), dim=2), "b t c h w -> b t (h w) c")
    offsets = _offsets(h, w, features.device)
    far = (offsets.abs() > REACH).any(dim=-1)
    elapsed = features.new_zeros(b, t)
    for frame in range(t - 1):
        match = (SHARPNESS * cells[:, frame] @ cells[:, frame + 1].transpose(1, 2)).masked_fill(far, float("-inf"))
        for here, there, direction in ((frame, 1, match), (frame + 1, -1, match.transpose(1, 2))):
            moved[:, here] += there * torch.einsum("bqk,qkc->bqc", direction.softmax(-1), offsets)
            elapsed[:, here] += times[:, frame + 1] - times[:, frame]
    elapsed = elapsed.where(elapsed > 0, float("inf"))  # no time, no velocity
    speed = moved / elapsed[..., None, None] / moved.new_tensor([w, h])
    return rearrange(speed, "b t (h w) c -> b t c h w", h=h)


def _offsets(h: int, w: int, device: torch.device) -> Tensor:
    """(h w, h w, 2): x and y from each cell to each other."""
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    places = torch.stack([x, y], dim=-1).reshape(-1, 2).float()
    return places[None] - places[:, None]
