"""The frozen text encoder: sentences -> word features and one pooled sentence feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from episodes.errors import WeightsError
from models.weights import MINILM, packaged_weights

CACHED_SENTENCES = 20_000  # about 20 KB each with MiniLM (12 tokens of 384 float32 values): 400 MB at most


class TextEncoder(nn.Module):
    """A transformers encoder in eval mode, without gradients.

    Sentences repeat across episodes, so encoded ones are remembered (the encoder is frozen: an encoding never changes).
    """

    def __init__(self, name: str, pretrained: bool = True) -> None:
        super().__init__()
        self.name = name
        source = str(packaged_weights(MINILM).parent) if name == "package:minilm" else name
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source)
            if pretrained:
                self.model = AutoModel.from_pretrained(source, attn_implementation="eager")
            else:
                self.model = AutoModel.from_config(AutoConfig.from_pretrained(source))
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"text_encoder {name!r} cannot be loaded: {error}. Give a transformers name (with a connection), a local "
                "folder that save_pretrained wrote, or package:minilm"
            ) from error
        self.dim = int(self.model.config.hidden_size)
        self.pool = "mean" if name == "package:minilm" else "pooler"
        self._cache: dict[str, tuple[Tensor, Tensor]] = {}
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> TextEncoder:
        """Stays in eval mode: a frozen encoder has no dropout. Published: its dropout was active in training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, texts: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """N sentences -> words (N, L, D), valid (N, L) bool, sentence (N, D); L = longest sentence in tokens."""
        missing = sorted({text for text in texts if text not in self._cache})
        if missing:
            if len(self._cache) + len(missing) > CACHED_SENTENCES:
                self._cache.clear()
                missing = sorted(set(texts))
            for text in missing:
                self._encode(text)
        words = [self._cache[text][0] for text in texts]
        length = max(len(word) for word in words)
        device = words[0].device
        padded = torch.zeros(len(texts), length, self.dim, device=device)
        valid = torch.zeros(len(texts), length, dtype=torch.bool, device=device)
        for row, word in enumerate(words):
            padded[row, : len(word)] = word
            valid[row, : len(word)] = True
        return padded, valid, torch.stack([self._cache[text][1] for text in texts])

    def _encode(self, text: str) -> None:
        """One sentence at a time: in a batch, its bits would depend on its neighbours, and so on what the cache held."""
        tokens = self.tokenizer([text], truncation=True, return_tensors="pt").to(self.model.device)
        output = self.model(**tokens)
        words = output.last_hidden_state[0].float()
        pooled = getattr(output, "pooler_output", None)
        sentence = words.mean(0) if self.pool == "mean" or pooled is None else pooled[0].float()
        self._cache[text] = (words, sentence)

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        """A move to another device or type forgets what was encoded there."""
        self._cache.clear()
        return super()._apply(fn, recurse)
