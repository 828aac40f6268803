"""The supervised word prior: which pixels look as the words describe them, regardless of class (ours).

The counterpart of the matching affinity: that one knows the class and no words, this one the words and no class. Its
own loss asks, among the objects of the class, which one is meant; without it a network trained for minutes picks one of
them at random (experiments/LOG.md).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from episodes.types import Pyramid
from models.matching import embedding_layers
from models.positions import coordinates

MOTION_GAIN = 8.0  # an eighth of the picture in the whole video is an ordinary velocity
REACH = 5  # stride-16 cells, 80 pixels: how far a pixel is looked for in a neighbouring frame
MATCH_SHARPNESS = 30.0  # of its cosines; 10, 30 and 100 tell directions apart equally well (experiments/LOG.md)
SHARPNESS = 10.0  # of cosines: log-odds of one word lie in [-10, 10]
# With these nearly every pixel looks as the words say: log-odds in [-0.5, 4.5] before any training.
PASSING_SCALE, PASSING_BIAS = 0.25, 2.0


class WordPrior(nn.Module):
    """log mean exp over the words of a pixel's similarity to each, as log-odds."""

    def __init__(
        self, channels: dict[int, int], text_dim: int, *, hidden: int, dim: int, scale: float = 1.0, bias: float = 0.0
    ) -> None:
        """scale, bias: of the log-odds, before any training."""
        super().__init__()
        self.seen = nn.Conv2d(channels[8] + channels[16] + channels[32], hidden, 1)
        self.embed_pixels = nn.Sequential(*embedding_layers(hidden, dim))
        # Added last: among hundreds of trunk channels at the first layer, place and motion were not learned in minutes.
        self.embed_whereabouts = nn.Conv2d(4, dim, 1, bias=False)
        self.embed_words = nn.Sequential(
            nn.LayerNorm(text_dim), nn.Linear(text_dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        )
        self.scale = nn.Parameter(torch.tensor(scale))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, pyramid: Pyramid, valid16: Tensor, times: Tensor, words: Tensor, word_valid: Tensor) -> Tensor:
        """Trunk features of B clips of T frames, valid16 (B, h16, w16) bool, times (B, T) in [0, 1], words (B, L, D) of
        the text encoder, word_valid (B, L) bool -> log-odds (B, T, h16, w16).
        """
        b, t, _, h, w = pyramid.f16.shape
        f8, f16, f32 = (rearrange(f, "b t c h w -> (b t) c h w") for f in (pyramid.f8, pyramid.f16, pyramid.f32))
        seen = [F.adaptive_avg_pool2d(f8, (h, w)), f16, F.interpolate(f32, size=(h, w), mode="bilinear")]
        place = coordinates(valid16).repeat_interleave(t, dim=0)
        moved = torch.tanh(MOTION_GAIN * rearrange(velocity(pyramid.f16, times), "b t c h w -> (b t) c h w"))
        whereabouts = self.embed_whereabouts(torch.cat([place, moved], dim=1))
        pixels = self.embed_pixels(self.seen(torch.cat(seen, dim=1))) + whereabouts
        pixels = F.normalize(pixels.float(), dim=1)
        pixels = rearrange(pixels, "(b t) d h w -> b (t h w) d", b=b)
        described = F.normalize(self.embed_words(words).float(), dim=-1)
        similarity = SHARPNESS * pixels @ described.transpose(1, 2)
        similarity = similarity.masked_fill(~word_valid[:, None], float("-inf"))
        average = torch.logsumexp(similarity, dim=-1) - word_valid.sum(-1, keepdim=True).log()
        return rearrange(self.scale * average + self.bias, "b (t h w) -> b t h w", t=t, h=h)


@torch.no_grad()
def velocity(features: Tensor, times: Tensor) -> Tensor:
    """Where pixels move, read from trunk features without a weight of its own (ours): the velocity (x, y) of each cell
    in pictures per unit of `times`, positive to the right and downwards.

    features (B, T, C, h, w) of the trunk, times (B, T) each frame's place in its video in [0, 1] -> (B, T, 2, h, w).
    Each cell is matched, by cosine, with the cells within REACH of it in the previous and the next frame of the clip
    (a softmax over them gives the mean displacement); the two displacements, over the time between them, are the
    velocity. Zero where the clip has one frame or repeats one.
    """
    b, t, _, h, w = features.shape
    moved = features.new_zeros(b, t, h * w, 2)
    cells = rearrange(F.normalize(features.float(), dim=2), "b t c h w -> b t (h w) c")
    x, y = (torch.arange(side, device=features.device) for side in (w, h))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2).float()
    offsets = places[None] - places[:, None]  # (h w, h w, 2): x and y from each cell to each other
    far = (offsets.abs() > REACH).any(dim=-1)
    elapsed = features.new_zeros(b, t)
    for frame in range(t - 1):
        match = MATCH_SHARPNESS * cells[:, frame] @ cells[:, frame + 1].transpose(1, 2)
        match = match.masked_fill(far, float("-inf"))
        for here, there, direction in ((frame, 1, match), (frame + 1, -1, match.transpose(1, 2))):
            moved[:, here] += there * torch.einsum("bqk,qkc->bqc", direction.softmax(-1), offsets)
            elapsed[:, here] += times[:, frame + 1] - times[:, frame]
    elapsed = elapsed.where(elapsed > 0, float("inf"))  # no time, no velocity
    speed = moved / elapsed[..., None, None] / moved.new_tensor([w, h])
    return rearrange(speed, "b t (h w) c -> b t c h w", h=h)
