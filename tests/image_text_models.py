"""Whole image-text models, tiny and random, with a tokenizer of a few words, as `save_pretrained` writes them."""

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPConfig,
    CLIPModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2Model,
    SiglipConfig,
    SiglipModel,
)

WORDS = ["a", "the", "red", "blue", "dog", "cat", "that", "runs", "on", "left"]
POSITIONS = 12  # the longest sentence that the towers read, in tokens
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SIZES, "vocab_size": 16, "max_position_embeddings": POSITIONS}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def clip(**text: object) -> PreTrainedModel:
    vision = {**SIZES, "image_size": 32, "patch_size": 16}
    return CLIPModel(CLIPConfig(text_config={**TEXT, **IDS, "eos_token_id": 15, **text}, vision_config=vision))


def siglip(**text: object) -> PreTrainedModel:
    vision = {**SIZES, "image_size": 32, "patch_size": 16}
    return SiglipModel(SiglipConfig(text_config={**TEXT, **IDS, "projection_size": 32, **text}, vision_config=vision))


def siglip2(**text: object) -> PreTrainedModel:
    vision = {**SIZES, "num_patches": 4, "patch_size": 16}
    return Siglip2Model(Siglip2Config(text_config={**TEXT, **IDS, "projection_size": 32, **text}, vision_config=vision))


KINDS: dict[str, Callable[..., PreTrainedModel]] = {"clip": clip, "siglip": siglip, "siglip2": siglip2}


def write_tower_tokenizer(folder: Path, kind: str) -> None:
    """Words by number, between a beginning and an end for CLIP, before an end for SigLIP; 64 tokens at most, more than
    the towers read."""
    ends = {"clip": 15}.get(kind, 2)
    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": ends, "<unk>": 3} | {word: 4 + i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    single = "<bos> $A <eos>" if kind == "clip" else "$A <eos>"
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=[("<bos>", 1), ("<eos>", ends)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=64,
    )
    fast.model_input_names = ["input_ids", "attention_mask"] if kind == "clip" else ["input_ids"]
    fast.save_pretrained(folder)
