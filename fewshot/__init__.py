"""Few-shot referring video object segmentation: train, evaluate, and segment your own clips.

The names below are the public interface; each is imported when it is first used, since torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot.api import evaluate, evaluate_transfers, run, train
    from fewshot.config.experiment import load_config
    from fewshot.runs.run import Run
    from fewshot.segment import AdaptedSegmenter, AnnotatedClip, Segmenter

__version__ = "0.1.0"
__all__ = [
    "AdaptedSegmenter",
    "AnnotatedClip",
    "Run",
    "Segmenter",
    "evaluate",
    "evaluate_transfers",
    "load_config",
    "run",
    "train",
]

_HOMES = {
    "load_config": "fewshot.config.experiment",
    "train": "fewshot.api",
    "run": "fewshot.api",
    "evaluate": "fewshot.api",
    "evaluate_transfers": "fewshot.api",
    "Run": "fewshot.runs.run",
    "Segmenter": "fewshot.segment",
    "AdaptedSegmenter": "fewshot.segment",
    "AnnotatedClip": "fewshot.segment",
}


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
