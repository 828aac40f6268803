"""Text fusion: visual tokens attend to the words (paper, section 3.1)."""

from typing import Literal

from einops import rearrange
from torch import Tensor, nn


class TextFusion(nn.Module):
    """One multi-head attention for all levels, query and support alike. No dropout (published).

    `multiply` (published): the attended words multiply the visual feature, and visual tokens carry no position.
    `residual` (ours): they are added to it, so that a frozen feature is never destroyed by words.
    """

    def __init__(self, hidden: int, heads: int, mode: Literal["residual", "multiply"]) -> None:
        super().__init__()
        self.mode = mode
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True)

    def forward(
        self, visual: Tensor, words: Tensor, word_positions: Tensor, word_valid: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """visual (B, T, C, h, w), words and word_positions (B, L, C), word_valid (B, L) -> (B, T, C, h, w).

        `positions` (B, T, C, h, w) is added to the attention's query only.
        """
        t, h = visual.shape[1], visual.shape[3]
        tokens = rearrange(visual, "b t c h w -> b (t h w) c")
        query = tokens if positions is None else tokens + rearrange(positions, "b t c h w -> b (t h w) c")
        attended, _ = self.attention(
            query, words + word_positions, words, key_padding_mask=~word_valid, need_weights=False
        )
        fused = tokens * attended if self.mode == "multiply" else tokens + attended
        return rearrange(fused, "b (t h w) c -> b t c h w", t=t, h=h)
