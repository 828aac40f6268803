"""When two runs are of one benchmark, of one training, of one experiment."""

import re
from typing import Any

import pytest

from fewshot.config.experiment import load_config, plain
from fewshot.config.machine import MachineConfig
from fewshot.results.comparable import (
    benchmark_differences,
    experiment_differences,
    retraining_differences,
    training_differences,
)
from tests.paths import ROOT

MACHINE = [
    "machine.threads=1",
    "machine.loader_workers=3",
    "machine.evaluation_workers=2",
    "machine.cache=null",
    "machine.log_every=1",
    "machine.checkpoint_every=7",
    "machine.keep_checkpoints=5",
    "machine.save_overlays=0",
]
PLACES = ["data.root=elsewhere", "name=other"]


def config(*overrides: str, file: str = "experiments/demo.yaml") -> dict[str, Any]:
    return plain(load_config(ROOT / file, overrides))


def facts(*overrides: str, file: str = "experiments/demo.yaml", **changes: Any) -> dict[str, Any]:
    """Of an evaluation of an experiment: its config, and hashes of its tasks and of the benchmarks."""
    group = load_config(ROOT / file, overrides).data.group
    hashes = {"manifest": f"tasks of {group}", "benchmark_content": "b", "training_content": "b"}
    return {"config": config(*overrides, file=file), **hashes, **changes}


def keys(differences: list) -> list[str]:
    return [difference.key for difference in differences]


def test_the_list_of_machine_values_above_is_complete() -> None:
    assert {text.split("=")[0] for text in MACHINE} == {f"machine.{name}" for name in MachineConfig.model_fields}


# --------------------------------------------------------------------------- benchmark


def test_of_several_benchmarks_place_and_generator_do_not_count_but_shares_do() -> None:
    first, moved = (config(f"data.others=[{{root: {root}, share: 2}}]") for root in ("a", "b"))
    assert not training_differences(first, moved)
    assert not training_differences(first, config("data.others=[{root: a, share: 2, glyphs: {}}]"))
    other = config("data.others=[{root: a, share: 3}]")
    assert keys(training_differences(first, other)) == ["data.others.*.share"]
    assert keys(training_differences(first, config())) == ["data.others"]


def test_a_benchmark_is_the_same_by_its_content_and_not_by_its_name_place_or_tasks() -> None:
    first = facts(benchmark="glyphs")
    assert not benchmark_differences(first, facts("data.root=elsewhere", benchmark="copy", manifest="other"))
    assert keys(benchmark_differences(first, facts(benchmark="glyphs", benchmark_content="c"))) == ["benchmark_content"]


def test_benchmarks_of_which_one_is_not_known_are_not_the_same() -> None:
    unknown = facts(benchmark_content=None)
    assert benchmark_differences(facts(), unknown)
    assert benchmark_differences(unknown, unknown)


# --------------------------------------------------------------------------- training


@pytest.mark.parametrize(
    "override",
    [
        *MACHINE,
        *PLACES,
        "data.glyphs=null",
        "evaluate.shots=[3]",
        "learner.steps=9",
        "learner.name=conditioning",
        "train.validate_every=0",
        "train.validation_episodes=3",
    ],
)
def test_a_training_is_the_same_under_values_that_change_no_weight(override: str) -> None:
    assert not training_differences(config(), config(override))


@pytest.mark.parametrize(
    "override",
    ["seed=1", "data.group=2", "data.short_side=128", "train.steps=5", "episodes.shots=2", "model.fusion=multiply"],
)
def test_a_training_is_another_under_any_other_value(override: str) -> None:
    assert keys(training_differences(config(), config(override))) == [override.split("=")[0]]


def test_the_values_of_a_learner_count_where_its_training_reads_them() -> None:
    maml = "experiments/learners/maml.yaml"
    assert keys(training_differences(config(file=maml), config("learner.order=1", file=maml))) == ["learner.order"]
    assert not training_differences(config(file=maml), config("learner.steps=9", file=maml))


# --------------------------------------------------------------------------- values without effect in an evaluation


@pytest.mark.parametrize("override", ["seed=1", "train.steps=5", "train.validate_every=0", "episodes.name_shuffle=0"])
def test_an_evaluation_does_not_read_the_values_of_a_training(override: str) -> None:
    assert keys(retraining_differences(config(), config(override))) == [override.split("=")[0]]


@pytest.mark.parametrize(
    "override",
    [*MACHINE, *PLACES, "evaluate.shots=[3]", "learner.steps=9", "data.group=2", "episodes.small_classes=skip"],
)
def test_an_evaluation_reads_all_other_values(override: str) -> None:
    assert not retraining_differences(config(), config(override))


# --------------------------------------------------------------------------- experiment


@pytest.mark.parametrize("over", ["seed", "data.group"])
@pytest.mark.parametrize("override", [*MACHINE, *PLACES, "data.glyphs=null", "train.validate_every=0"])
def test_an_experiment_is_the_same_under_values_of_machine_and_place(over: Any, override: str) -> None:
    other = facts(override, f"{over}=2", manifest="tasks of 1" if over == "seed" else "others")
    assert not experiment_differences(facts(), other, over=over)


@pytest.mark.parametrize("over", ["seed", "data.group"])
@pytest.mark.parametrize("override", ["train.steps=5", "evaluate.shots=[3]", "learner.steps=9", "evaluate.label=x"])
def test_an_experiment_is_another_under_any_other_value(over: Any, override: str) -> None:
    assert keys(experiment_differences(facts(), facts(override), over=over)) == [override.split("=")[0]]


def test_only_the_value_that_is_averaged_over_may_differ() -> None:
    assert keys(experiment_differences(facts(), facts("data.group=2"), over="seed")) == ["manifest", "data.group"]
    assert keys(experiment_differences(facts(), facts("seed=2"), over="data.group")) == ["seed"]


def test_validations_count_where_they_chose_the_weights() -> None:
    best = "evaluate.checkpoint=best"
    for override in ("train.validate_every=7", "train.validation_episodes=3"):
        found = experiment_differences(facts(best), facts(best, override), over="seed")
        assert keys(found) == [override.split("=")[0]]


def test_tasks_of_a_file_count_by_the_list_and_not_by_the_path() -> None:
    assert not experiment_differences(facts(), facts("evaluate.tasks=there.json", "seed=1"), over="seed")
    other = facts("evaluate.tasks=there.json", "seed=1", manifest="other")
    assert keys(experiment_differences(facts(), other, over="seed")) == ["manifest"]


@pytest.mark.parametrize("over", ["seed", "data.group"])
@pytest.mark.parametrize("fact", ["benchmark_content", "training_content"])
def test_runs_of_or_trained_on_another_benchmark_are_another_experiment(over: Any, fact: str) -> None:
    assert keys(experiment_differences(facts(), facts(**{fact: "other"}), over=over)) == [fact]


def test_groups_may_start_from_weights_of_their_own_but_all_start_from_weights() -> None:
    first = facts("initial_weights=runs/demo-1")
    second = facts("initial_weights=runs/demo-2", "data.group=2")
    assert not experiment_differences(first, second, over="data.group")
    assert keys(experiment_differences(first, second, over="seed")) == ["manifest", "data.group", "initial_weights"]
    assert keys(experiment_differences(first, facts("data.group=2"), over="data.group")) == ["initial_weights"]


def test_the_runs_that_the_results_average_over_groups_are_one_experiment() -> None:
    printed = re.findall(r"run\.py run (\S+) (name=(\w+)-N .*)", (ROOT / "docs/results.md").read_text())
    assert {name for _, _, name in printed} >= {"cma", "published", "base", "self"}
    for file, overrides, name in printed:
        runs = [facts(*overrides.replace("N", str(group)).split(), file=file) for group in (1, 2, 3, 4)]
        if name == "cma":  # "group 1 of cma is runs/demo"
            runs[0] = facts()
        for run in runs[1:]:
            assert not experiment_differences(runs[0], run, over="data.group")
