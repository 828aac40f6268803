"""Training: it learns, it can be stopped and resumed anywhere, and only the optimiser moves only the head."""

import signal
import subprocess
import sys

import pytest
import torch

from episodes.dataset import collate
from episodes.errors import ConfigError, ReadError, TrainingError
from episodes.files import json_digest
from fewshot.learners import Finetune, InnerLoop
from fewshot.runs.checkpoint import latest, read_state
from fewshot.training.familiarity import MARGIN
from fewshot.training.trainer import Trainer, train
from tests.paths import ROOT
from tests.random_clips import mixed_support, random_episodes
from tests.tiny_runs import assert_same_bits, load_tiny, metrics, stored, write_experiment

STEPS = 5
# Dropout draws random numbers in each step; validation must not move them.
WITH_DROPOUT = (f"train.steps={STEPS}", "model.dropout=0.2", "machine.checkpoint_every=100")


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C, whatever the test runner has put in its place."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def undisturbed(tiny_set, tmp_path_factory):
    """The run folder of a training that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    config = load_tiny(write_experiment(folder / "tiny.yaml", tiny_set), *WITH_DROPOUT)
    train(config, folder / "run")
    return folder / "run"


def stop_in_step(trainer, number, error):
    """Make the training's step `number` (from 0) raise before it has a gradient."""
    whole = trainer.learner.backward
    calls = []

    def backward(episode, scale):
        calls.append(episode)
        if len(calls) == number + 1:
            raise error
        return whole(episode, scale)

    trainer.learner.backward = backward


def head_of(trainer):
    return {name: tensor.clone() for name, tensor in trainer.network.head.state_dict().items()}


# --------------------------------------------------------------------------- learning


def test_training_on_the_same_few_episodes_lowers_their_loss(experiment, tmp_path):
    config = load_tiny(experiment, "train.steps=25", "train.validate_every=0", "train.schedule=constant")
    trainer = Trainer(config, tmp_path / "run")
    episodes = next(trainer._batches(0))
    losses = [trainer.step(number, episodes)["total"] for number in range(25)]
    assert losses[-1] < 0.8 * losses[0]
    assert losses[-1] < min(losses[:5])


def test_the_frozen_trunk_does_not_change_by_a_bit_and_the_whole_head_does(experiment, tmp_path):
    trainer = Trainer(load_tiny(experiment), tmp_path / "run")
    trunk = {name: tensor.clone() for name, tensor in trainer.network.trunk.state_dict().items()}
    head = head_of(trainer)
    trainer.run()
    assert_same_bits(trunk, trainer.network.trunk.state_dict())
    still = {name for name, tensor in head.items() if tensor.equal(trainer.network.head.state_dict()[name])}
    assert still == {name for name, p in trainer.network.head.named_parameters() if not p.requires_grad}
    held = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in trainer.network.trunk.parameters()}
    assert held == {id(p) for p in trainer.network.head.parameters() if p.requires_grad}


def test_a_finished_training_knows_the_loss_that_nearly_all_of_its_support_clips_stay_below(experiment, tmp_path):
    trainer = Trainer(
        load_tiny(experiment, "episodes.shots=2", "episodes.support_frames=1", "train.validation_episodes=40"),
        tmp_path / "run",
    )
    trust = trainer.network.head.matching.trust
    assert trust.familiar_loss.isinf()
    trainer.run()

    supports = [trainer.measured[index].support for index in range(40)]
    assert {support.masks.shape[:2] for support in supports} == {(1, 2)}, "single clips, of two frames"
    learner = Finetune(trainer.network, inner=InnerLoop(1, 0.1, "matching.trust", adapt="unfamiliar"))
    trust.familiar_loss.div_(MARGIN)
    adapted = [learner.adapt(support).head.matching.trust.bias != trust.bias for support in supports]
    assert 1 <= sum(adapted) <= 3


@pytest.mark.parametrize("validated", [0, 2])
def test_what_is_familiar_is_measured_before_a_validation_and_after_the_last_step(
    experiment, tmp_path, monkeypatch, validated
):
    steps = []
    trainer = Trainer(load_tiny(experiment, "train.steps=3", f"train.validate_every={validated}"), tmp_path / "run")
    monkeypatch.setattr("fewshot.training.trainer.measure_familiar", lambda *_: steps.append("measured"))
    if trainer.validation is not None:
        monkeypatch.setattr(trainer, "_validate", lambda *_: steps.append("validated") or 1.0)
    trainer.run()
    assert steps == (["measured", "validated"] * 2 if validated else ["measured"])


# --------------------------------------------------------------------------- stop and resume


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_a_training_stopped_in_any_step_goes_on_as_if_nothing_had_been(experiment, tmp_path, undisturbed, stop):
    config = load_tiny(experiment, *WITH_DROPOUT)
    trainer = Trainer(config, tmp_path / "run")
    stop_in_step(trainer, stop, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    saved = latest(tmp_path / "run")
    assert read_state(saved)["step"] == stop, "the checkpoint is that of the last finished step"
    assert [row["step"] for row in metrics(tmp_path / "run") if row["kind"] == "train"] == list(range(1, stop + 1))

    train(config, tmp_path / "run")
    assert metrics(tmp_path / "run") == metrics(undisturbed)
    assert_same_bits(stored(tmp_path / "run"), stored(undisturbed))


def test_a_training_stopped_in_its_first_step_starts_anew(experiment, tmp_path, undisturbed):
    config = load_tiny(experiment, *WITH_DROPOUT)
    trainer = Trainer(config, tmp_path / "run")
    stop_in_step(trainer, 0, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert latest(tmp_path / "run") is None
    train(config, tmp_path / "run")
    assert_same_bits(stored(tmp_path / "run"), stored(undisturbed))


@pytest.mark.parametrize("moment", ["as the optimiser moves", "in the validation", "between two steps"])
def test_ctrl_c_at_an_awkward_moment_saves_whole_steps(experiment, tmp_path, undisturbed, ctrl_c, moment):
    config = load_tiny(experiment, *WITH_DROPOUT)
    trainer = Trainer(config, tmp_path / "run")
    if moment == "as the optimiser moves":
        moved = []

        def interrupt(*_):
            moved.append(1)
            if len(moved) == 2:
                ctrl_c()

        trainer.optimizer.register_step_pre_hook(interrupt)
    elif moment == "in the validation":
        adapt = trainer.learner.adapt
        trainer.learner.adapt = lambda support: ctrl_c() or adapt(support)
    else:
        batches = trainer._batches(0)
        trainer._batches = lambda start: (ctrl_c() or batch if i == 2 else batch for i, batch in enumerate(batches))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert read_state(latest(tmp_path / "run"))["step"] == 2
    train(config, tmp_path / "run")
    assert metrics(tmp_path / "run") == metrics(undisturbed)
    assert_same_bits(stored(tmp_path / "run"), stored(undisturbed))


def test_a_finished_training_is_not_trained_again(experiment, tmp_path, undisturbed, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in sorted(undisturbed.rglob("*")) if path.is_file()}
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("a step was made"))
    train(load_tiny(experiment, *WITH_DROPOUT), undisturbed)
    assert {path: path.stat().st_mtime_ns for path in sorted(undisturbed.rglob("*")) if path.is_file()} == before


# --------------------------------------------------------------------------- rejections


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_what_is_not_finite_is_rejected_before_the_optimiser_moves_and_names_the_episodes(experiment, tmp_path, fault):
    trainer = Trainer(load_tiny(experiment, "machine.checkpoint_every=1"), tmp_path / "run")
    whole = trainer.learner.backward
    seen = []

    def backward(episode, scale):
        seen.append((episode.specs, head_of(trainer)))
        losses = whole(episode, scale)
        if len(seen) == 3 and fault == "loss":
            losses["dice"] = float("nan")
        if len(seen) == 3 and fault == "gradient":
            next(p for p in trainer.network.head.parameters() if p.grad is not None).grad.flatten()[0] = float("inf")
        return losses

    trainer.learner.backward = backward
    with pytest.raises(TrainingError) as rejected:
        trainer.run()
    specs, weights = seen[-1]
    assert len(seen) == 3
    message = str(rejected.value)
    assert message.startswith(f"step 2: {'loss dice' if fault == 'loss' else 'gradient norm'} is not finite")
    for spec in specs:
        assert f"index {spec.index}: class {spec.category}, query video {spec.query.video}" in message
    assert "learning_rate" in message
    assert_same_bits(weights, trainer.network.head.state_dict())
    assert read_state(latest(tmp_path / "run"))["step"] == 2


@pytest.mark.parametrize("overrides", [("learner.scope=dekoder",), ("model.freeze=[dekoder]",)])
def test_an_unknown_part_of_the_head_is_rejected_before_training(experiment, tmp_path, overrides):
    with pytest.raises(ConfigError, match=r"no part .dekoder.; its parts are head, .*decoder"):
        Trainer(load_tiny(experiment, *overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unreadable_file_is_named_by_a_worker_as_by_the_process_itself(experiment, tmp_path, tiny_set):
    config = load_tiny(experiment, "train.validate_every=0", "machine.loader_workers=1")
    trainer = Trainer(config, tmp_path / "run")
    video = trainer.samplers[0][0].query.video
    catalog = trainer.samplers[0].catalog
    record = catalog.videos[video]
    catalog.videos[video] = type(record)(**{**vars(record), "mask_folder": tmp_path / "gone"})
    with pytest.raises(ReadError) as rejected:
        trainer.run()
    assert str(rejected.value).startswith(f"{tmp_path / 'gone'}")
    assert "Traceback" not in str(rejected.value)


def test_which_checkpoints_are_compared_for_the_best_does_not_depend_on_how_often_one_is_saved(experiment, tmp_path):
    scored = []
    for every in (1, 100):
        run = tmp_path / str(every)
        train(load_tiny(experiment, f"machine.checkpoint_every={every}", "machine.keep_checkpoints=9"), run)
        states = [read_state(folder) for folder in sorted((run / "checkpoints").iterdir())]
        scored.append({state["step"]: state["score"] for state in states if state["score"] is not None})
    assert list(scored[0]) == [2, 4]
    assert scored[0] == scored[1]


# --------------------------------------------------------------------------- workers and processes


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_losses_bit_for_bit(experiment, tmp_path, undisturbed, workers):
    train(load_tiny(experiment, *WITH_DROPOUT, f"machine.loader_workers={workers}"), tmp_path / "run")
    assert metrics(tmp_path / "run") == metrics(undisturbed)
    assert_same_bits(stored(tmp_path / "run"), stored(undisturbed))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_out_the_episodes_that_one_would_train_on(experiment, tmp_path, world):
    trainer = Trainer(load_tiny(experiment, "train.batch_episodes=4", "train.steps=3"), tmp_path / "run")
    alone = [[spec.index for spec in batch.specs] for batch in trainer._batches(0)]
    whole = json_digest([trainer.samplers[0][index] for batch in alone for index in batch])
    trainer.world = world
    shares = []
    for trainer.rank in range(world):
        shares.append([batch.specs for batch in trainer._batches(0)])
    together = [
        sorted((s for share in step for s in share), key=lambda s: s.index) for step in zip(*shares, strict=True)
    ]
    assert [[spec.index for spec in step] for step in together] == alone
    assert json_digest([spec for step in together for spec in step]) == whole


def test_episodes_that_cannot_be_shared_out_are_rejected(experiment, tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    with pytest.raises(
        TrainingError, match=r"train.batch_episodes = 2 cannot be split over 3 processes; give a multiple"
    ):
        Trainer(load_tiny(experiment), tmp_path / "run")


def test_the_loss_of_a_batch_is_the_mean_of_the_losses_of_its_episodes(experiment, tmp_path):
    trainer = Trainer(load_tiny(experiment, "train.batch_episodes=3"), tmp_path / "run")
    whole = trainer.learner.backward(next(trainer._batches(0)), 1.0)
    trainer.world = 3
    alone = []
    for trainer.rank in range(3):
        alone.append(trainer.learner.backward(next(trainer._batches(0)), 1.0))
    assert whole == pytest.approx({name: sum(part[name] for part in alone) / 3 for name in whole}, rel=1e-4)


@pytest.mark.parametrize("learner", ["conditioning", "maml", "reptile"])
def test_episodes_of_unequal_sizes_teach_together_what_they_teach_alone(experiment, tmp_path, learner):
    """Whatever pads a picture beside a larger one reaches no loss and no gradient."""
    overrides = (f"learner.name={learner}", "train.batch_episodes=2", "train.clip_norm=1e9", "train.validate_every=0")
    trainer = Trainer(load_tiny(experiment, *overrides), tmp_path / "run")
    start = head_of(trainer)
    queries, shots = ((50, 70), (96, 128)), (((64, 128), (50, 70)), ((96, 64), (64, 96)))
    alone = [
        random_episodes(size=size, support=mixed_support(sizes)) for size, sizes in zip(queries, shots, strict=True)
    ]

    def step(episodes):
        trainer.network.head.load_state_dict(start)
        losses = trainer.step(0, episodes)
        del losses["grad_norm"]
        return losses, {n: p.grad.clone() for n, p in trainer.network.head.named_parameters() if p.grad is not None}

    (both, together), (first, one), (second, two) = (step(part) for part in (collate(alone), *alone))

    assert both == pytest.approx({name: (first[name] + second[name]) / 2 for name in both}, rel=1e-4, abs=1e-6)
    assert first["total"] != pytest.approx(second["total"], rel=1e-2)
    assert together.keys() == one.keys() == two.keys()
    for name, gradient in together.items():  # each step scales by its share of train.batch_episodes
        expected = one[name] + two[name]
        torch.testing.assert_close(gradient, expected, rtol=0.0, atol=1e-3 * float(expected.abs().max()) + 1e-6)


def train_alone_and_in_two_processes(experiment, folder, *overrides):
    """Runs `one` and `two` in the folder."""
    train(load_tiny(experiment, *overrides), folder / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "run.py", "train"]
    done = subprocess.run(
        [*command, str(experiment), "--out", str(folder / "two"), *overrides],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_end_with_the_weights_of_one(experiment, tmp_path):
    overrides = ["train.steps=3", "train.validate_every=3", "train.learning_rate=1e-4"]
    train_alone_and_in_two_processes(experiment, tmp_path, *overrides)
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    for alone, shared in zip(one, two, strict=True):
        assert alone.pop("kind") == shared.pop("kind")
        assert shared == pytest.approx(alone, rel=1e-3, abs=1e-5)
    first, second = stored(tmp_path / "one"), stored(tmp_path / "two")
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        # Adam makes a step of full length from the rounding of a gradient that is 0, hence one step of slack.
        slack = 1e-6 if name.startswith("optimizer.") else 1e-4
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=slack, msg=lambda text, n=name: f"{n}: {text}")
    weights = [name for name in first if not name.startswith("optimizer.")]
    near = torch.cat([(first[name] - second[name]).abs().flatten() < 1e-6 for name in weights])
    assert near.float().mean() > 0.99


def test_a_parameter_without_gradient_is_left_alone_by_two_processes_as_by_one(experiment, tmp_path):
    """With one decoder layer, nothing reads the scale of the published learned queries."""
    dab = ["model.query_mode=dab", "model.levels=[8,16,32,64]"]
    train_alone_and_in_two_processes(experiment, tmp_path, "train.steps=1", "train.validate_every=0", *dab)
    first, second = stored(tmp_path / "one"), stored(tmp_path / "two")
    assert first.keys() == second.keys(), "the optimiser keeps a state for the same parameters"
    untouched = [name for name in first if "query_scale" in name and not name.startswith("optimizer.")]
    assert untouched
    assert all(first[name].equal(second[name]) for name in untouched), "not even weight decay has moved it"
