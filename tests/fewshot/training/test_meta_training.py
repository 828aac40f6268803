"""Gradient meta-learners in whole runs: training, stop and resume, evaluation, adaptation curves."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from episodes.errors import CheckpointError, ConfigError, UserError
from fewshot.config.experiment import load_config
from fewshot.evaluation.evaluate import evaluate_run
from fewshot.results.records import CurvePoint, Item, Record, by_steps, curve_text, parse_curve
from fewshot.results.row import Row
from fewshot.runs.checkpoint import latest, load_checkpoint
from fewshot.runs.initial_weights import read_initial_weights
from fewshot.runs.run import Run
from fewshot.training.trainer import Trainer, train
from tests.tiny_runs import TinySet, assert_same_bits, load_tiny, metrics, stored, write_experiment

LEARNERS: dict[str, tuple[str, ...]] = {
    "maml": ("learner.name=maml", "learner.order=2"),
    "fomaml": ("learner.name=maml", "learner.train_steps=2"),
    "anil": ("learner.name=maml", "learner.order=2", "learner.scope=dense"),
    "metasgd": ("learner.name=metasgd",),
    "reptile": ("learner.name=reptile", "learner.train_steps=2"),
}
SHORT = ("train.steps=2", "train.validate_every=2", "train.validation_episodes=1", "model.dropout=0.2")
INNER = ("learner.learning_rate=1e-2", "learner.steps=2")
ROWS = ("evaluate.controls=[]", "evaluate.scoring=[paper]", "machine.save_overlays=0")


def everything(run: Path) -> dict[str, Tensor]:
    """Weights, optimiser and the learner's own weights of the last checkpoint."""
    folder = latest(run)
    assert folder is not None
    own = folder / "learner.safetensors"
    return {**stored(run), **({f"own.{n}": t for n, t in load_file(own).items()} if own.is_file() else {})}


@pytest.fixture(scope="module")
def trained(tiny_set: TinySet, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run folder of each learner, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("trained")
    file = write_experiment(folder / "tiny.yaml", tiny_set)

    def run(name: str) -> Path:
        if not (folder / name).is_dir():
            config = load_tiny(file, *SHORT, *INNER, *LEARNERS[name])
            Run(folder / name).open(config)
            train(config, folder / name)
        return folder / name

    return run


@pytest.mark.parametrize("name", LEARNERS)
def test_a_training_that_was_stopped_goes_on_bit_for_bit(
    experiment: Path, tmp_path: Path, trained: Any, name: str
) -> None:
    undisturbed = trained(name)
    config = load_tiny(experiment, *SHORT, *INNER, *LEARNERS[name])
    trainer = Trainer(config, tmp_path / "run")
    whole, calls = trainer.learner.backward, []

    def backward(episode: Any, scale: float) -> dict[str, float]:
        calls.append(episode)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(episode, scale)

    trainer.learner.backward = backward  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    train(config, tmp_path / "run")

    assert metrics(tmp_path / "run") == metrics(undisturbed)
    assert_same_bits(everything(tmp_path / "run"), everything(undisturbed))


@pytest.mark.parametrize("name", LEARNERS)
def test_training_moves_what_the_learner_trains(trained: Any, experiment: Path, tmp_path: Path, name: str) -> None:
    run = trained(name)
    fresh = Trainer(load_tiny(experiment, *SHORT, *INNER, *LEARNERS[name]), tmp_path)
    before = {**fresh.network.head.state_dict(), **{f"own.{n}": p for n, p in fresh.learner.own.state_dict().items()}}

    after = {name: tensor for name, tensor in everything(run).items() if not name.startswith("optimizer.")}

    assert after.keys() == before.keys()
    still = [name for name, tensor in before.items() if tensor.equal(after[name])]
    assert len(still) < (1.0 if name == "reptile" else 0.1) * len(before), still
    assert any(name.startswith("own.") for name in after) == (name == "metasgd")
    own = [name for name in after if name.startswith("own.")]
    assert len([name for name in still if name in own]) <= 0.2 * len(own), "biases in front of a norm have no gradient"


def test_step_sizes_do_not_decay_and_are_in_one_group(experiment: Path, tmp_path: Path) -> None:
    trainer = Trainer(load_tiny(experiment, *LEARNERS["metasgd"]), tmp_path)
    groups = [{id(p) for p in group["params"]} for group in trainer.optimizer.param_groups]
    for sizes in trainer.learner.own.values():
        assert [id(sizes) in group for group in groups] == [False, True]
    assert trainer.optimizer.param_groups[1]["weight_decay"] == 0
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_step_sizes_are_logged_by_part(trained: Any) -> None:
    rows = [row for row in metrics(trained("metasgd")) if row["kind"] == "learner"]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[-1]["step_size/decoder/min"] < rows[-1]["step_size/decoder/mean"] < rows[-1]["step_size/decoder/max"]
    assert not [row for row in metrics(trained("maml")) if row["kind"] == "learner"]


def test_the_head_of_a_metasgd_checkpoint_is_a_head_like_any_other(trained: Any) -> None:
    folder = latest(trained("metasgd"))
    assert folder is not None
    assert set(load_file(folder / "model.safetensors")) == set(stored_names(trained("maml")))
    assert read_initial_weights(trained("metasgd")).head.keys() == load_file(folder / "model.safetensors").keys()


def stored_names(run: Path) -> list[str]:
    return [name for name in stored(run) if not name.startswith("optimizer.")]


def test_step_sizes_are_not_looked_for_in_vain(trained: Any, experiment: Path, tmp_path: Path) -> None:
    trainer = Trainer(load_tiny(experiment, *LEARNERS["metasgd"]), tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no learner\.safetensors"):
        load_checkpoint(latest(trained("maml")), model=trainer.network.head, learner=trainer.learner.own)
    config = load_config(trained("metasgd") / "config.yaml", ("learner.scope=decoder", *ROWS))
    with pytest.raises(CheckpointError, match=r"learner.scope|architecture"):
        evaluate_run(trained("metasgd"), config)


def test_a_run_cannot_go_on_with_other_meta_training_and_may_be_tested_otherwise(trained: Any) -> None:
    run = trained("fomaml")
    for change in ("learner.order=2", "learner.train_steps=3", "learner.learning_rate=2e-2", "learner.scope=dense"):
        with pytest.raises(ConfigError, match=f"{change.split('=')[0]} was"):
            Run(run).open(load_config(run / "config.yaml", [change]))
    before = (run / "config.yaml").read_text()
    Run(run).open(load_config(run / "config.yaml", ["learner.steps=7", "learner.early_stop=true"]))
    (run / "config.yaml").write_text(before)


def test_finetuning_belongs_to_the_test_of_a_run_that_was_trained_by_conditioning(
    experiment: Path, tmp_path: Path
) -> None:
    train(load_tiny(experiment, "train.steps=1"), tmp_path / "run")
    Run(tmp_path / "run2").open(load_tiny(experiment, "train.steps=1"))
    (tmp_path / "run" / "config.yaml").write_text((tmp_path / "run2" / "config.yaml").read_text())

    run = Run(tmp_path / "run")
    run.open(load_tiny(experiment, "train.steps=1", "learner.name=finetune", "learner.learning_rate=1"))
    with pytest.raises(ConfigError, match=r"learner\.name was 'conditioning' and is now 'maml'"):
        run.open(load_tiny(experiment, "train.steps=1", "learner.name=maml"))


# --------------------------------------------------------------------------- evaluation


def test_a_curve_begins_with_the_unadapted_model_and_ends_with_the_rows_of_the_table(trained: Any) -> None:
    run = trained("metasgd")
    config = load_config(
        run / "config.yaml",
        (*ROWS, "evaluate.curve_steps=[0,2,1]", "evaluate.shots=[2]"),
    )

    evaluated = evaluate_run(run, config)

    curve = by_steps(evaluated.curve)
    adapted = Row("cma+metasgd", 2, None, "paper", config.data.group)
    assert list(curve) == [(adapted, steps) for steps in (0, 1, 2)]
    for steps, method in ((0, "cma"), (2, "cma+metasgd")):
        wanted = [r for r in evaluated.records if r.row.method == method]
        for point, record in zip(curve[adapted, steps], wanted, strict=True):
            assert replace(point.item, object_id="") == replace(record.item, object_id="")
            assert (point.J_sum, point.F_sum) == pytest.approx((record.J_sum, record.F_sum), abs=1e-2)
    report = (run / "results" / "report.md").read_text()
    assert re.findall(r"\| cma\+metasgd \| +2 \| +(\d) \|", report) == ["0", "1", "2"]

    assert evaluate_run(run, load_config(run / "config.yaml", (*ROWS, "evaluate.methods=[prototype]"))).curve == ()
    assert not (run / "results" / "adaptation_curve.csv").exists()
    assert "adaptation steps" not in (run / "results" / "report.md").read_text()


def test_the_rows_of_a_run_are_those_of_its_learner(experiment: Path) -> None:
    assert load_tiny(experiment).methods == ("prototype", "conditioning", "finetune")
    assert load_tiny(experiment, "learner.name=maml").methods == ("prototype", "conditioning", "maml")
    chosen = load_tiny(experiment, "learner.name=reptile", "evaluate.methods=[reptile]")
    assert chosen.methods == ("reptile",)
    for learner, method in (("maml", "finetune"), ("conditioning", "maml"), ("finetune", "reptile")):
        with pytest.raises(ConfigError, match=f"names {method}.* the values of {learner}.*learner.name={method}"):
            load_tiny(experiment, f"learner.name={learner}", f"evaluate.methods=[conditioning,{method}]")


def test_a_curve_comes_back_as_it_was_written(tmp_path: Path) -> None:
    row, item = Row("cma+maml", 1, None, "paper", 2), Item(0, "disc", "v", "", "3")
    record = Record(row, item, 4, 1 / 3, 0.1 + 0.2, 3, 1 / 3, 0.1, 0.0)
    points = [CurvePoint(0, record), CurvePoint(10, replace(record, J_sum=2.0))]
    text, path = curve_text(points), tmp_path / "curve.csv"

    assert parse_curve(text, path) == points
    assert set(next(csv.DictReader(text.splitlines()))) >= {"method", "shots", "steps", "class", "J_sum", "F_sum"}
    with pytest.raises(UserError, match=r"curve\.csv, line 3: .*J_sum"):
        parse_curve(text.replace(",2.0,", ",9.0,"), path)


# --------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("learner", "value"),
    [
        *((name, value) for name in ("conditioning", "finetune") for value in ("train_steps=2", "order=2")),
        *(
            ("maml", "optimizer=sgd"),
            ("metasgd", "optimizer=sgd"),
            ("reptile", "optimizer=sgd"),
            ("reptile", "order=2"),
        ),
    ],
)
def test_a_value_that_the_learner_does_not_read_is_rejected_by_name(experiment: Path, learner: str, value: str) -> None:
    key = value.split("=")[0]
    with pytest.raises(ConfigError, match=rf"learner\.{key} = .* has no effect on learner\.name {learner}"):
        load_tiny(experiment, f"learner.name={learner}", f"learner.{value}")


def test_curves_want_paper_scoring_and_early_stop_wants_two_frames(experiment: Path) -> None:
    with pytest.raises(ConfigError, match="curve_steps are scored as `paper`"):
        load_tiny(experiment, "evaluate.scoring=[davis]", "evaluate.curve_steps=[0,1]")
    for section in ("episodes", "evaluate"):
        with pytest.raises(ConfigError, match=rf"{section}\.support_frames is 1; give at least 2"):
            load_tiny(experiment, "learner.early_stop=true", "learner.min_shots=1", f"{section}.support_frames=1")


def test_a_checkpoint_without_a_learner_holds_what_it_always_did(trained: Any) -> None:
    folder = latest(trained("maml"))
    assert folder is not None
    files = {"model.safetensors", "optimizer.safetensors", "state.json"}
    assert {path.name for path in folder.iterdir()} == files
    assert set(json.loads((folder / "state.json").read_text())["sha256"]) == files - {"state.json"}
    assert {path.name for path in latest(trained("metasgd")).iterdir()} == {*files, "learner.safetensors"}


def test_two_processes_would_leave_the_mean_gradient(experiment: Path, tmp_path: Path) -> None:
    """Each leaves its share of the batch: their sum is what one process leaves."""
    for name, overrides in LEARNERS.items():
        trainer = Trainer(load_tiny(experiment, *INNER, *overrides), tmp_path / name)
        both = next(trainer._batches(0))
        trainer.learner.backward(both, 1.0)
        parameters = [p for group in trainer.optimizer.param_groups for p in group["params"] if p.grad is not None]
        whole = [p.grad.clone() for p in parameters]
        trainer.optimizer.zero_grad()
        trainer.world = 2
        for trainer.rank in range(2):
            trainer.learner.backward(next(trainer._batches(0)), 0.5)
        for parameter, expected in zip(parameters, whole, strict=True):
            torch.testing.assert_close(
                parameter.grad, expected, rtol=1e-2, atol=1e-5 + 1e-2 * float(expected.abs().max())
            )
