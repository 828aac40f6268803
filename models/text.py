"""The frozen text encoder: sentences -> word features and one pooled sentence feature."""

from typing import Self

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig
from transformers.utils import logging as transformers_logging

from episodes.errors import WeightsError
from models.text_tower import TextTower
from models.weights import MINILM, packaged_weights

REMEMBERED_CALLS = 64  # the chunks and methods that ask for the same query sentences follow each other closely


class TextEncoder(nn.Module):
    """A frozen transformers encoder, without gradients, in eval mode also in training unless `dropout` is true.

    Of an image-text model (CLIP, SigLIP) the text tower alone is loaded.
    The answers to the last few calls are remembered.
    All sentences of a call are encoded together, regardless of what was encoded before: the last bits of an encoding
    depend on its batch, and a resumed run must see the bits of an uninterrupted one.
    """

    def __init__(self, name: str, pretrained: bool = True, dropout: bool = False) -> None:
        super().__init__()
        self.name = name
        self.dropout = dropout
        source = _source(name)
        transformers_logging.disable_progress_bar()  # loading takes a fraction of a second
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source)
            # Without the tokenizer's files, transformers builds one with an empty vocabulary and says nothing.
            if set(self.tokenizer.get_vocab()) <= set(self.tokenizer.all_special_tokens):
                raise OSError("its tokenizer has no vocabulary, so the tokenizer's files are missing")
            config = AutoConfig.from_pretrained(source)
            self.tower = TextTower.of(source, config)
            if self.tower is not None:
                self.model = self.tower.load(pretrained)
            elif pretrained:
                self.model = AutoModel.from_pretrained(source, attn_implementation="eager")
            else:
                self.model = AutoModel.from_config(config, attn_implementation="eager")
        except (ImportError, OSError, ValueError) as error:  # some tokenizers need a package of their own
            raise _unloadable(name, error) from error
        self.dim = int(self.model.config.hidden_size)
        self.pool = "mean" if name == "package:minilm" else "pooler"
        self._answers: dict[tuple[str, ...], tuple[Tensor, Tensor, Tensor]] = {}
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Published: the frozen encoder's dropout was active in training; `dropout=True` keeps that."""
        return super().train(mode and self.dropout)

    @torch.no_grad()
    def forward(self, texts: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """N sentences -> words (N, L, D), valid (N, L) bool, sentence (N, D); L = longest sentence in tokens."""
        if self.training:  # dropout: no two answers are alike
            return self._encode(texts)
        if texts not in self._answers:
            self._answers[texts] = self._encode(texts)
            if len(self._answers) > REMEMBERED_CALLS:
                self._answers.pop(next(iter(self._answers)))  # the oldest
        return self._answers[texts]

    def _encode(self, texts: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
        distinct = sorted(set(texts))
        row = torch.tensor([distinct.index(text) for text in texts], device=self.model.device)
        if self.tower is None:
            tokens = self.tokenizer(distinct, padding=True, truncation=True, return_tensors="pt")
        else:
            tokens = self.tower.tokens(self.tokenizer, distinct, self.model.config)
        tokens = tokens.to(self.model.device)
        valid = tokens["attention_mask"].bool()
        if self.tower is not None and self.tower.full_length:
            output = self.model(tokens["input_ids"])
            valid = valid[:, : int(valid.sum(1).max())]
        else:
            output = self.model(**tokens)
        words = output.last_hidden_state[:, : valid.shape[1]].float() * valid[..., None]
        pooled = getattr(output, "pooler_output", None)
        if self.pool == "mean" or pooled is None:
            pooled = words.sum(1) / valid.sum(1, keepdim=True)
        return words[row], valid[row], pooled.float()[row]

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        """A move to another device or type forgets what was encoded there."""
        self._answers.clear()
        return super()._apply(fn, recurse)


def load_text_config(name: str) -> PretrainedConfig:
    """Sizes of a text encoder by its name, without its weights. Raises WeightsError where it is nowhere to be found."""
    try:
        return AutoConfig.from_pretrained(_source(name))
    except (OSError, ValueError) as error:
        raise _unloadable(name, error) from error


def _source(name: str) -> str:
    return str(packaged_weights(MINILM).parent) if name == "package:minilm" else name


def _unloadable(name: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"text_encoder {name!r} cannot be loaded: {error}. Give a transformers name, whose tokenizer and config come "
        "over a connection or from transformers' cache, a local folder that save_pretrained wrote for model and "
        "tokenizer, or package:minilm"
    )
