"""Which runs may be compared: one definition each of same benchmark, same training and same experiment.

All functions work on plain values, a config as `plain` gives it or the facts of a summary, and return what differs; an
empty list means "the same". Never a difference are

* `name`;
* where data lies and what wrote it (`root`, `glyphs` and `composed` of `data` and of each of `data.others`,
  `evaluate.transfer.root`), because the content hash of the benchmark, which is compared instead, says what it holds;
* the section `machine`, which is not part of an experiment. That is a decision, not equality of bits: other threads,
  other processes of an evaluation, a cache or none, and another machine round differently, and a training amplifies
  rounding to differences within training noise. Equal bits are promised for equal values of `machine` on one machine.

Which other values count follows from their section: `evaluate` is read by evaluations only, `seed`, `initial_weights`,
`episodes` (except `small_classes`) and `train` by trainings only, `data`, `model` and `learner` by both.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any, Literal, NamedTuple

from fewshot.config.learner import LearnerConfig

Key = tuple[str, ...]  # "*": of each item of a list of sections
_FREE: frozenset[Key] = frozenset(
    {
        ("name",),
        ("data", "root"),
        ("data", "glyphs"),
        ("data", "composed"),
        ("data", "others", "*", "root"),
        ("data", "others", "*", "glyphs"),
        ("data", "others", "*", "composed"),
        ("evaluate", "transfer", "root"),
        ("machine",),
    }
)
_ONLY_TRAINING = ("seed", "initial_weights", "episodes", "train")
_READ_BY_BOTH: frozenset[Key] = frozenset({("episodes", "small_classes")})  # the exception in those sections
# Validation changes no weight, only which checkpoint is the best one.
_CHOICE_OF_BEST: frozenset[Key] = frozenset({("train", "validate_every"), ("train", "validation_episodes")})


class Difference(NamedTuple):
    """`key` is dotted; a value that one side lacks is None."""

    key: str
    first: Any
    second: Any


def listed(differences: Iterable[Difference]) -> str:
    """The differences for a message, as "key is VALUE and OTHER VALUE"."""
    return "; ".join(f"{key} is {first!r} and {second!r}" for key, first, second in differences)


def benchmark_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Empty if two evaluations asked the same benchmark, by the facts of their summaries.

    Compared is the hash of what the benchmark holds: a folder's name says nothing (a copy is the same benchmark, other
    data under the same name is another), nor does the list of tasks. A summary without the hash is never the same.
    """
    hashes = [facts.get("benchmark_content") for facts in (first, second)]
    return [] if hashes[0] == hashes[1] is not None else [Difference("benchmark_content", *hashes)]


def benchmark_text(facts: Mapping[str, Any]) -> str:
    """The benchmark of a summary as messages name it: its place at that time, and the beginning of its hash."""
    config, content = facts["config"], facts.get("benchmark_content")
    root = (config.get("evaluate", {}).get("transfer") or config["data"])["root"]
    return f"{root} (content {content[:12]})" if content else f"{root} (content not recorded: evaluate that run again)"


def training_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values on which the weights after each step depend, given the content of the benchmark.

    A learner's values count where its meta-training reads them. Validations do not count: they change no weights.
    """
    learner = LearnerConfig.model_validate(config["learner"]).of_training()
    kept: dict[str, Any] = _without({**config, "learner": learner}, _FREE | _CHOICE_OF_BEST | {("evaluate",)})
    return kept


def training_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Empty if two configs lead to the same weights: a training may be resumed, or shared, under the other."""
    return _differences(training_values(first), training_values(second))


def retraining_differences(trained: Mapping[str, Any], config: Mapping[str, Any]) -> list[Difference]:
    """What `config` changes in the sections that an evaluation of the trained run does not read any more."""
    before, now = ({name: values.get(name) for name in _ONLY_TRAINING} for values in (trained, config))
    return _differences(before, now, _READ_BY_BOTH)


def experiment_differences(
    first: Mapping[str, Any], second: Mapping[str, Any], *, over: Literal["seed", "data.group"]
) -> list[Difference]:
    """Empty if two evaluated runs may be averaged over training seeds or over groups, by the facts of their summaries.

    Over seeds, only `seed` differs and both were asked the same tasks (the hash of their list says so, wherever the
    list comes from). Over groups, only `data.group` differs, and what follows from it: each group has tasks of its own,
    and weights to start from that have not seen its novel classes. When and on how many episodes a training was
    validated counts only where the best checkpoint was evaluated. Both must be of one benchmark, and trained on one.
    """
    configs = first["config"], second["config"]
    free = _FREE | {("evaluate", "tasks"), tuple(over.split("."))}
    if over == "data.group" and all(config.get("initial_weights") for config in configs):
        free |= {("initial_weights",)}
    if not any(config.get("evaluate", {}).get("checkpoint") == "best" for config in configs):
        free |= _CHOICE_OF_BEST
    same = ("training_content", "manifest") if over == "seed" else ("training_content",)
    facts = [Difference(key, first.get(key), second.get(key)) for key in same if first.get(key) != second.get(key)]
    return [*benchmark_differences(first, second), *facts, *_differences(*configs, free)]


def _without(values: Any, free: Set[Key], key: Key = ()) -> Any:
    if _is_sections(values):
        return [_without(value, free, (*key, "*")) for value in values]
    if not isinstance(values, Mapping):
        return values
    return {name: _without(value, free, (*key, name)) for name, value in values.items() if (*key, name) not in free}


def _differences(first: Any, second: Any, free: Set[Key] = frozenset(), key: Key = ()) -> list[Difference]:
    if key in free or first == second:
        return []
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = sorted({*first, *second})
        inner = (_differences(first.get(name), second.get(name), free, (*key, name)) for name in names)
        return [difference for found in inner for difference in found]
    if _is_sections(first) and _is_sections(second) and len(first) == len(second):
        pairs = zip(first, second, strict=True)
        return [difference for pair in pairs for difference in _differences(*pair, free, (*key, "*"))]
    return [Difference(".".join(key), first, second)]


def _is_sections(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, Mapping) for value in values)
