"""What a network is asked never contains what it is scored against: its types have no place for it."""

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
import torch

from episodes.types import Clips, Support, Truth
from fewshot.evaluation.prototype import PrototypePredictor
from fewshot.learners import Learner, Predictor, Predicts
from models.head import Head
from models.network import FewShotRVOS
from models.trunk import Encoded, Trunk

# Fields of all that is reachable from a parameter. Whoever adds one says here what of a clip it shows.
PYRAMID = {"pyramid.semantic", *(f"pyramid.f{stride}" for stride in (4, 8, 16, 32))}
CLIPS = {"valid", "times", "sentences", "frames", *(name.replace("pyramid", "features") for name in PYRAMID)}
ENCODED = {"valid", "times", "words", "word_valid", "sentence", *PYRAMID}
SUPPORT = {"masks", *(f"clips.{name}" for name in CLIPS)}
MEMORY = {
    *(f"levels.{name}" for name in ("masked", "key", "value", "coverage")),
    *(f"matching.{name}" for name in ("tokens", "shares")),
}
DECODING = {"chunk_frames", "trajectory", "threshold", "regions"}
QUESTIONS: list[tuple[Callable[..., Any], dict[str, set[str]]]] = [
    (FewShotRVOS.forward, {"support": SUPPORT, "query": CLIPS}),
    (Trunk.forward, {"clips": CLIPS}),
    (Head.forward, {"support": ENCODED, "query": ENCODED, "masks": set()}),  # masks: those of the support
    (Head.remember, {"support": ENCODED, "masks": set(), "size": set(), "episodes": set()}),
    (Head.decode, {"query": ENCODED, "memory": MEMORY}),
    (Learner.adapt, {"support": SUPPORT}),
    (Predictor.predict, {"query": CLIPS, "decoding": DECODING}),
    (PrototypePredictor.predict, {"query": CLIPS, "decoding": DECODING}),
    (Predicts.predict, {"query": CLIPS, "decoding": DECODING}),
]


def dataclasses_in(annotation: Any) -> list[type]:
    """The dataclasses that an annotation names, alone or inside a union, a list, a tuple, ..."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in dataclasses_in(part)]


def fields_of(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and annotation of every field that is no dataclass itself."""
    for name, annotation in get_type_hints(kind).items():
        inner = dataclasses_in(annotation)
        if not inner:
            yield f"{prefix}{name}", annotation
        for part in inner:
            yield from fields_of(part, f"{prefix}{name}.")


@pytest.mark.parametrize(("function", "expected"), QUESTIONS, ids=[f.__qualname__ for f, _ in QUESTIONS])
def test_no_mask_of_the_query_is_reachable_from_a_question(
    function: Callable[..., Any], expected: dict[str, set[str]]
) -> None:
    hints = {name: kind for name, kind in get_type_hints(function).items() if name != "return"}

    found = {
        name: {path for kind in dataclasses_in(annotation) for path, _ in fields_of(kind)}
        for name, annotation in hints.items()
    }

    assert found == expected
    of_the_query = {path for name, paths in found.items() if name not in ("support", "memory") for path in paths}
    assert not [path for path in of_the_query if "mask" in path or "truth" in path]


def test_the_walk_finds_what_lies_deep_inside() -> None:
    """Or the test above would prove nothing."""
    assert {path for path, _ in fields_of(Support)} == SUPPORT
    assert {path for path, _ in fields_of(Truth)} == {"masks", "class_masks"}
    assert dataclasses_in(tuple[list[Clips], Truth | None]) == [Clips, Truth]


def test_a_clip_without_any_annotation_is_an_ordinary_value() -> None:
    """Made from pictures alone: it is selected, cut, moved and encoded."""
    from tests.random_clips import shared_trunk

    frames = torch.zeros(2, 3, 3, 64, 96, dtype=torch.uint8)
    clips = Clips(torch.ones(2, 64, 96, dtype=torch.bool), torch.zeros(2, 3), ("the dog", "a cat"), frames=frames)

    encoded = shared_trunk()(clips.select([1]).take_frames([0, 2]).to("cpu"))

    assert isinstance(encoded, Encoded)
    assert encoded.pyramid.f8.shape[:2] == (1, 2)
    assert encoded.size == (64, 96)
