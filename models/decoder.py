"""The query decoder: Q object queries a frame, refined layer by layer, with a score and a box after each.

Letters: N frames, Q queries, C channels, V levels. Boxes are (cx, cy, w, h) in [0, 1] of the unpadded picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.deformable import DeformableAttention, Sizes, flatten_levels, valid_ratios
from models.layers import MLP, FeedForward
from models.positions import sine_encode

CLASS_PRIOR = 0.01  # initial probability of the class, so that the focal loss starts calm


@dataclass
class DecoderOutput:
    """What every decoder layer says; the first axis is the layer."""

    hidden: Tensor  # (layers, N, Q, C)
    boxes: Tensor  # (layers, N, Q, 4)
    logits: Tensor  # (layers, N, Q, 1)


def inverse_sigmoid(x: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Logit of values in [0, 1]; what lies closer than epsilon to an end is clamped."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=epsilon) / (1 - x).clamp(min=epsilon))


class DecoderLayer(nn.Module):
    """Queries attend to each other, then to the memory; each step is followed by its LayerNorm."""

    def __init__(self, hidden: int, *, heads: int, levels: int, points: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(hidden, heads, dropout=dropout, batch_first=True)
        self.drop_self = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(hidden)
        self.cross_attn = DeformableAttention(hidden, heads=heads, levels=levels, points=points)
        self.drop_cross = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(hidden)
        self.ffn = FeedForward(hidden, ffn, dropout)
        self.norm3 = nn.LayerNorm(hidden)

    def forward(
        self, content: Tensor, position: Tensor, references: Tensor, tokens: Tensor, valid: Tensor, sizes: Sizes
    ) -> Tensor:
        """content, position (N, Q, C); references (N, Q, V, 2 or 4); tokens (N, S, C); valid (N, S)."""
        located = content + position
        attended = self.self_attn(located, located, content, need_weights=False)[0]
        content = self.norm2(content + self.drop_self(attended))
        read = self.cross_attn(content + position, references, tokens, valid, sizes)
        content = self.norm1(content + self.drop_cross(read))
        return self.norm3(self.ffn(content))


class TextQueries(nn.Module):
    """Content = the sentence; position = a learned embedding, which also gives the 2-d reference point."""

    def __init__(self, hidden: int, queries: int) -> None:
        super().__init__()
        self.query_embed = nn.Embedding(queries, hidden)
        self.reference_points = nn.Linear(hidden, 2)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)

    def start(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """Sentence (N, C) -> content (N, Q, C), reference (N, Q, 2)."""
        content = sentence[:, None].expand(-1, self.query_embed.num_embeddings, -1)
        reference = self.reference_points(self.query_embed.weight).sigmoid()
        return content, reference.expand(len(sentence), -1, -1)

    def place(self, layer: int, reference: Tensor, ratios: Tensor) -> Tensor:
        """reference (N, Q, 2 or 4) of the valid part, ratios (N, V, 2) -> (N, Q, V, 2 or 4) of each padded level."""
        return reference[:, :, None] * ratios.repeat(1, 1, reference.shape[-1] // 2)[:, None]

    def position(self, layer: int, content: Tensor, placed: Tensor) -> Tensor:
        return self.query_embed.weight.expand_as(content)


class BoxQueries(nn.Module):
    """DAB: content and box are learned; the position encodes the current box and is scaled by the content.

    Published: the sentence has no part in these queries; words act through fusion alone. And the first layer reads
    its learned box along the wrong axis: on level i, all of x, y, w and h are the box's i-th number (so there must be
    four levels). We keep that, because this mode exists to equal the published network; from the second layer on, boxes
    are read as boxes.
    """

    def __init__(self, hidden: int, queries: int) -> None:
        super().__init__()
        self.tgt_embed = nn.Embedding(queries, hidden)
        self.refpoint_embed = nn.Embedding(queries, 4)
        self.ref_point_head = MLP(2 * hidden, hidden, hidden, layers=2)
        self.query_scale = MLP(hidden, hidden, hidden, layers=2)

    def start(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """Sentence (N, C), unused -> content (N, Q, C), reference (N, Q, 4)."""
        frames = len(sentence)
        return self.tgt_embed.weight.expand(frames, -1, -1), self.refpoint_embed.weight.sigmoid().expand(frames, -1, -1)

    def place(self, layer: int, reference: Tensor, ratios: Tensor) -> Tensor:
        """reference (N, Q, 4) of the valid part, ratios (N, V, 2) -> (N, Q, V, 4) of each padded level."""
        read = reference[..., None] if layer == 0 else reference[:, :, None]
        return read * ratios.repeat(1, 1, 2)[:, None]

    def position(self, layer: int, content: Tensor, placed: Tensor) -> Tensor:
        """placed (N, Q, V, 4), of which level 0 counts -> (N, Q, C)."""
        y_x_w_h = placed[:, :, 0, [1, 0, 2, 3]] * (2 * math.pi)
        position = self.ref_point_head(sine_encode(y_x_w_h, content.shape[-1] // 2).flatten(-2))
        return position if layer == 0 else position * self.query_scale(content)


class QueryDecoder(nn.Module):
    """Decoder with separate class and box heads for each layer and iterative box refinement."""

    def __init__(
        self,
        hidden: int,
        *,
        heads: int,
        levels: int,
        points: int,
        ffn: int,
        layers: int,
        dropout: float,
        queries: int,
        mode: Literal["text", "dab"],
    ) -> None:
        super().__init__()
        self.queries = TextQueries(hidden, queries) if mode == "text" else BoxQueries(hidden, queries)
        self.layers = nn.ModuleList(
            DecoderLayer(hidden, heads=heads, levels=levels, points=points, ffn=ffn, dropout=dropout)
            for _ in range(layers)
        )
        scores = [nn.Linear(hidden, 1) for _ in range(layers)]
        boxes = [MLP(hidden, hidden, 4, layers=3) for _ in range(layers)]
        for score, box in zip(scores, boxes, strict=True):
            nn.init.constant_(score.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
            nn.init.zeros_(box.last.weight)  # boxes start unrefined,
            nn.init.zeros_(box.last.bias)
        nn.init.constant_(boxes[0].last.bias[2:], -2.0)  # and small: width and height about 0.12
        self.class_embed, self.bbox_embed = nn.ModuleList(scores), nn.ModuleList(boxes)

    def forward(self, memories: Sequence[Tensor], valid: Sequence[Tensor], sentence: Tensor) -> DecoderOutput:
        """V memories (N, C, h, w), V masks (N, h, w) bool, sentence (N, C), the clip's for each of its frames."""
        sizes = [(level.shape[-2], level.shape[-1]) for level in memories]
        tokens = flatten_levels(memories)
        token_valid = torch.cat([level.flatten(1) for level in valid], dim=1)
        ratios = valid_ratios(valid)

        content, reference = self.queries.start(sentence)
        contents, boxes, logits = [], [], []
        for index, layer in enumerate(self.layers):
            placed = self.queries.place(index, reference, ratios)
            position = self.queries.position(index, content, placed)
            content = layer(content, position, placed, tokens, token_valid, sizes)
            change = self.bbox_embed[index](content).float()  # boxes need more than the 8 bits of bfloat16
            known = inverse_sigmoid(reference.float())
            box = torch.cat([change[..., : known.shape[-1]] + known, change[..., known.shape[-1] :]], dim=-1).sigmoid()
            # No gradient from a later layer's reference: each layer answers for its own refinement.
            reference = box.detach()
            contents.append(content)
            boxes.append(box)
            logits.append(self.class_embed[index](content))
        return DecoderOutput(torch.stack(contents), torch.stack(boxes), torch.stack(logits))
