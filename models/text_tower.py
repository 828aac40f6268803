"""Text towers of image-text models (CLIP, SigLIP): how they are loaded alone, and what they expect of a tokenizer."""

from dataclasses import dataclass
from typing import Any, Self

import transformers
from transformers import BatchEncoding, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging


@dataclass(frozen=True)
class TextTower:
    """Half of an image-text model; `source` is a transformers name or a folder, of the whole model or of this half."""

    source: str
    model_class: str  # in transformers
    full_length: bool  # trained on sentences padded to the full length, without an attention mask

    @classmethod
    def of(cls, source: str, config: PretrainedConfig) -> Self | None:
        """The tower of a model with this config; None where it is a text encoder like any other.

        Raises ValueError for an image-text model of another kind.
        """
        kind = config.model_type.removesuffix("_text_model")
        if kind in _TOWERS:
            return cls(source, *_TOWERS[kind])
        if not hasattr(config, "hidden_size"):
            raise ValueError(
                f"it is a model of type {config.model_type!r}, whose text part is unknown; image-text models of the "
                f"types {', '.join(_TOWERS)} are read"
            )
        return None

    def load(self, pretrained: bool) -> PreTrainedModel:
        """The tower with its weights, or with random ones. Raises OSError or ValueError."""
        model_class: Any = getattr(transformers, self.model_class)
        config = model_class.config_class.from_pretrained(self.source)
        config._attn_implementation = "eager"
        width = getattr(config, "projection_size", config.hidden_size)
        if width != config.hidden_size:
            raise ValueError(
                f"its sentence feature has {width} numbers, but a word has {config.hidden_size}: they must agree"
            )
        if not pretrained:
            return model_class(config)
        verbosity = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity_error()  # or every tensor of the image tower is reported as unexpected
        try:
            model, report = model_class.from_pretrained(
                self.source, config=config, attn_implementation="eager", output_loading_info=True
            )
        finally:
            transformers_logging.set_verbosity(verbosity)
        if report["missing_keys"]:
            raise ValueError(f"its weights lack {len(report['missing_keys'])} tensors, {min(report['missing_keys'])}")
        return model

    def tokens(self, tokenizer: PreTrainedTokenizerBase, texts: list[str], config: PretrainedConfig) -> BatchEncoding:
        """Ids and attention mask of N sentences, (N, L) each; longer sentences are cut to what the tower can read."""
        return tokenizer(
            texts,
            padding="max_length" if self.full_length else True,
            padding_side="right",  # SigLIP's sentence is its last position; the class of its tokenizer says left
            max_length=min(tokenizer.model_max_length, config.max_position_embeddings),
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )


_TOWERS = {  # type of the whole model -> class of its text half, full_length
    "clip": ("CLIPTextModel", False),
    "siglip": ("SiglipTextModel", True),
    "siglip2": ("Siglip2TextModel", True),
}
