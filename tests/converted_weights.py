"""A converted published checkpoint with tiny random weights, and an experiment that starts from it."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from fewshot.config.yaml_text import dump
from fewshot.published.conversion import convert
from tests.published_weights import published_weights
from tests.tiny_runs import TINY_EVALUATE, TINY_MACHINE, TINY_TRAIN, TinySet

SENTENCES = ("the red disc", "a disc on the left")


def write_converted(folder: Path) -> Path:
    """The DAB checkpoint `folder`/cma.pth, and its converted weights with a tokenizer for their tiny RoBERTa."""
    torch.save({"model": published_weights(form="dab")}, folder / "cma.pth")
    convert(folder / "cma.pth", folder / "weights")
    write_tokenizer(folder / "weights" / "text_encoder")
    return folder / "weights"


def write_tokenizer(folder: Path) -> None:
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=30, **special).save_pretrained(folder)


def write_converted_experiment(file: Path, converted: Path, data: TinySet) -> str:
    """YAML of an experiment of the converted model that starts from these weights; returns its path."""
    values = {
        "extends": str(converted / "model.yaml"),
        "name": file.stem,
        "initial_weights": str(converted),
        "data": {"root": str(data.root), "short_side": 64},
        "episodes": {"support_frames": 2, "query_frames": 2},
        "learner": {"steps": 1},
        "train": {**TINY_TRAIN, "steps": 0},
        "evaluate": {**TINY_EVALUATE, "shots": [1], "max_queries_per_class": 1},
        "machine": {**TINY_MACHINE, "cache": str(data.cache)},
    }
    file.write_text(dump(values))
    return str(file)
