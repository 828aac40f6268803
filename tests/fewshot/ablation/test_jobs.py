"""Cells share a training exactly when their weights are the same."""

import pytest

from fewshot.ablation.cells import load_ablation
from fewshot.ablation.jobs import plan_jobs


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "base.yaml").write_text("name: base\ndata: {root: somewhere}\n")

    def jobs(text, **contents):
        (tmp_path / "study.yaml").write_text(f"name: study\nbase: base.yaml\n{text}\n")
        cells = load_ablation(tmp_path / "study.yaml").cells
        by_root = {cell.config.data.roots: contents.get(str(cell.config.data.root), "content") for cell in cells}
        return plan_jobs(cells, tmp_path / "run", by_root)

    return jobs


def count(jobs, verb):
    return sum(job.verb == verb for job in jobs)


@pytest.mark.parametrize(
    ("grid", "trainings"),
    [
        ("evaluate.support_frames: [1, 2, 3]", 1),
        ("learner.steps: [1, 2], evaluate.shots: [[1], [2]]", 1),
        ("machine.threads: [1, 2]", 1),
        ("seed: [0, 1, 2]", 3),
        ("model.fusion: [residual, multiply], learner.steps: [1, 2]", 2),
        ("train.learning_rate: [0.1, 0.2]", 2),
        ("data.root: [here, there]", 1),
        ("data.group: [1, 2]", 2),
        ("train.validate_every: [0, 2]", 2),
        ("learner.steps: [1, 2], evaluate.checkpoint: [best]", 2),  # validations adapt, and they choose the best
        ("machine.checkpoint_every: [1, 2]", 1),
    ],
)
def test_cells_that_differ_only_after_training_train_once(plan, grid, trainings):
    jobs = plan(f"grid: {{{grid}}}")
    assert count(jobs, "train") == trainings
    shared = {job.training for job in jobs if job.verb == "evaluate"}
    assert shared == {job.folder for job in jobs if job.verb == "train"}


@pytest.mark.parametrize(
    ("grid", "stores"),
    [
        ("seed: [0, 1]", 1),
        ("data.short_side: [64, 128]", 2),
        ("data.max_long_side: [64, 128]", 2),
        ("initial_weights: [null, converted]", 2),
        ("data.root: [here, there]", 2),
        ("machine.cache: [null]", 0),
    ],
)
def test_features_are_computed_once_for_all_that_read_them(plan, grid, stores):
    assert count(plan(f"grid: {{{grid}}}"), "features") == stores


def test_a_job_needs_only_what_stands_before_it(plan):
    known = set()
    for job in plan("cells: {a: {}, b: {evaluate.shots: [2]}}\ngrid: {seed: [0, 1]}"):
        assert set(job.needs) <= known
        known.add(job.name)


def test_an_edited_ablation_finds_the_trainings_that_still_fit(plan):
    before = {job.name for job in plan("grid: {seed: [0, 1]}") if job.verb == "train"}
    after = {job.name for job in plan("grid: {seed: [5, 1], evaluate.support_frames: [2, 3]}") if job.verb == "train"}
    assert len(before & after) == 1


def test_other_data_means_other_trainings_wherever_it_lies(plan):
    def names(text, **contents):
        return {job.name for job in plan(text, **contents) if job.verb == "train"}

    assert len(names("grid: {data.root: [here, there]}", here="a", there="b")) == 2
    before, after = (names("grid: {data.root: [here]}", here=content) for content in "ab")
    assert not before & after
