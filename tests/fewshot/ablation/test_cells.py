"""Ablation files: every cell is a whole, checked experiment, and what is wrong is said before anything runs."""

import subprocess
import sys

import pytest

from episodes.errors import ConfigError
from fewshot.ablation.cells import load_ablation
from tests.paths import ROOT


@pytest.fixture
def ablation(tmp_path):
    """Writes an ablation of a small experiment; returns what `load_ablation` makes of it."""
    (tmp_path / "base.yaml").write_text("name: base\ndata: {root: somewhere}\ntrain: {steps: 7}\n")

    def load(text, *overrides):
        (tmp_path / "study.yaml").write_text(f"name: study\nbase: base.yaml\n{text}\n")
        return load_ablation(tmp_path / "study.yaml", overrides)

    return load


@pytest.fixture
def rejected(ablation):
    def call(text, *overrides):
        with pytest.raises(ConfigError) as caught:
            ablation(text, *overrides)
        return str(caught.value)

    return call


def labels(found):
    return [cell.label for cell in found.cells]


# --------------------------------------------------------------------------- which cells there are


def test_a_grid_has_a_cell_for_each_combination(ablation):
    found = ablation("grid: {seed: [0, 1], train.learning_rate: [1e-4, 0.01]}")
    assert labels(found) == [
        *("seed-0_learning_rate-0.0001", "seed-0_learning_rate-0.01"),
        *("seed-1_learning_rate-0.0001", "seed-1_learning_rate-0.01"),
    ]
    assert [(cell.config.seed, cell.config.train.learning_rate) for cell in found.cells] == [
        (seed, rate) for seed in (0, 1) for rate in (1e-4, 0.01)
    ]
    assert all(cell.config.train.steps == 7 for cell in found.cells), "the rest is the base's"


def test_named_cells_set_several_values_and_sections_and_the_empty_one_is_the_base(ablation):
    found = ablation("cells: {full: {}, bare: {model.affinity: {stages: []}, model.word_prior: false}}")
    assert labels(found) == ["full", "bare"]
    full, bare = (cell.config.model for cell in found.cells)
    assert full.affinity.stages == ("match",)
    assert full.word_prior
    assert (bare.affinity.stages, bare.word_prior) == ((), False)
    assert bare.affinity.dim == full.affinity.dim, "what a section does not name stays"


def test_a_grid_is_run_within_each_named_cell(ablation):
    found = ablation("cells: {full: {}, short: {train.steps: 2}}\ngrid: {seed: [3, 4]}")
    assert labels(found) == ["full_seed-3", "full_seed-4", "short_seed-3", "short_seed-4"]
    assert [(cell.variant, cell.config.train.steps, cell.config.seed) for cell in found.cells] == [
        *(("full", 7, 3), ("full", 7, 4), ("short", 2, 3), ("short", 2, 4)),
    ]


def test_equal_last_words_of_keys_are_told_apart(ablation):
    found = ablation("grid: {train.steps: [1], learner.steps: [2], model.affinity.stages: [[], [self, cross]]}")
    assert labels(found) == [
        *("train.steps-1_learner.steps-2_stages-empty", "train.steps-1_learner.steps-2_stages-self-cross"),
    ]


def test_values_and_overrides_change_every_cell_and_overrides_win(ablation):
    text = "values: {machine.threads: 3, evaluate.shots: [2]}\ncells: {full: {}, two: {machine.threads: 1}}"
    full, two = ablation(text, "evaluate.shots=[4]", "train.steps=5").cells
    assert (full.config.machine.threads, two.config.machine.threads) == (3, 1)
    assert {cell.config.evaluate.shots for cell in (full, two)} == {(4,)}
    assert {cell.config.train.steps for cell in (full, two)} == {5}


def test_an_ablation_is_resolved_without_torch():
    code = (
        "import sys\nfrom pathlib import Path\nfrom fewshot.ablation.cells import load_ablation\n"
        "load_ablation(Path('experiments/ablations/affinity.yaml'))\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --------------------------------------------------------------------------- what is rejected


@pytest.mark.parametrize(
    "text",
    ["cells: {one: {train.stepz: 1}}", "grid: {train.stepz: [1]}", "values: {train.stepz: 1}\ncells: {one: {}}"],
)
def test_a_wrong_key_is_named_with_its_place_and_the_nearest_valid_one(rejected, text):
    message = rejected(text)
    assert "Unknown key 'train.stepz'" in message
    assert "the nearest valid key is 'train.steps'" in message
    assert "study.yaml:3" in message
    assert "Cell '" in message


def test_a_wrong_value_is_named_with_its_cell(rejected):
    message = rejected("grid: {train.steps: [1, many]}")
    assert "Cell 'steps-many'" in message
    assert "train.steps = 'many'" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("has no cell", "grid", "cells")),
        ("cells: {}", ("has no cell",)),
        ("grid: {seed: []}", ("grid.seed", "at least 1 item")),
        ("grid: {seed: [1, 1]}", ("'seed-1'", "List each value once")),
        ("cells: {a: {}, b: {train.steps: 7}}", ("'a' and 'b' have equal values",)),
        ("cells: {a: {seed: 1}}\ngrid: {seed: [1, 2]}", ("'seed'", "'a'", "Keep one")),
        ("cells: {a: {name: other}}", ("remove `name`",)),
        ("cells: {a: {train..steps: 1}}", ("not a dotted key",)),
        ("cells: {shared: {}}", ("'shared' is taken",)),
        ("cells: {a/b: {}}", ("a/b",)),
        ("cellz: {a: {}}", ("'cellz'", "'cells'")),
        ("launcher: pbs\ncells: {a: {}}", ("launcher", "'pbs'")),
        ("slurm: {time: 0}\ncells: {a: {}}", ("slurm.time",)),
    ],
)
def test_what_makes_no_ablation_is_rejected(rejected, text, words):
    message = rejected(text)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("override", ["train.steps=3", "train={steps: 3}", "name=other"])
def test_an_override_that_a_cell_would_undo_is_rejected(rejected, override):
    assert override in rejected("grid: {train.steps: [1, 2]}", override)


def test_an_absent_base_is_named(tmp_path):
    (tmp_path / "study.yaml").write_text("name: study\nbase: nothing.yaml\ncells: {a: {}}\n")
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        load_ablation(tmp_path / "study.yaml")


def test_more_than_64_cells_must_be_allowed(ablation):
    found = ablation(f"grid: {{seed: {list(range(65))}}}")
    with pytest.raises(ConfigError, match=r"65 cells.*--yes"):
        found.reject_many(allowed=False)
    found.reject_many(allowed=True)
    ablation(f"grid: {{seed: {list(range(64))}}}").reject_many(allowed=False)
