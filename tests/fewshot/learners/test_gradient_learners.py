"""Gradient meta-learners: their meta-gradients are the derivatives they claim to be, and nothing leaks."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from episodes.errors import ConfigError
from episodes.types import Clips, Episode, Support, Truth
from fewshot.config.learner import LearnerConfig
from fewshot.learners import MAML, InnerLoop, Learner, MetaSGD, Reptile, build_learner
from fewshot.learners.adaptation import AdaptingLearner, adaptable, is_measured
from fewshot.learners.inner_loss import EncodedClips
from models.network import FewShotRVOS
from models.objective import objective
from models.trunk import Encoded
from tests.paths import ROOT
from tests.random_clips import random_clips, random_episodes, random_support, single_episode, small_network

STEP = 3e-3  # of the inner loop; large enough that second order is another number than first order
META = ["maml", "metasgd", "reptile"]


def learner(network: FewShotRVOS, name: Any, **values: Any) -> Any:
    """A learner with a short inner loop, on any number of shots; `values` are those of the config."""
    settings = {
        "steps": 2,
        "min_shots": 1,
        "learning_rate": STEP,
        **({} if name == "finetune" else {"train_steps": 2}),
        **values,
    }
    return build_learner(LearnerConfig(name=name, **settings), network)


def task_of(network: FewShotRVOS, support: Support) -> EncodedClips:
    return EncodedClips(network.trunk(support.clips), Truth(support.masks), network.config.loss)


def gradients(network: FewShotRVOS, backward: Any) -> dict[str, Tensor]:
    """What `backward` leaves in the head's `.grad`, which is empty before and after."""
    network.zero_grad(set_to_none=True)
    backward()
    found = {name: p.grad.clone() for name, p in network.head.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    return found


def bits(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


@contextmanager
def in_float64(network: FewShotRVOS, data: Episode) -> Iterator[None]:
    """The head in double precision, where finite differences mean something; the trunk's answers are kept.

    The head widens half precision by `.float()`, which would narrow doubles.
    """
    known = [(clips, _widened(network.trunk(clips))) for clips in (data.support.clips, data.query)]

    def answer(asked: Clips) -> Encoded:
        return next(encoded for clips, encoded in known if clips is asked)

    network.head.double()
    with patch.object(Tensor, "float", Tensor.double), patch.object(network.trunk, "forward", answer):
        yield


def _widened(encoded: Encoded) -> Encoded:
    values = {field.name: getattr(encoded, field.name) for field in fields(encoded)}
    wide = {name: value.double() for name, value in values.items() if name in ("times", "words", "sentence")}
    return replace(encoded, pyramid=encoded.pyramid.map(Tensor.double), **wide)


# --------------------------------------------------------------------------- the meta-gradient


def slope(backward: Any, weights: list[nn.Parameter], seed: int) -> tuple[float, float]:
    """Derivative of the outer loss along a random direction: central difference, and by the gradient."""
    generator = torch.Generator().manual_seed(seed)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    length = torch.cat([d.flatten() for d in direction]).norm()
    direction = [d / length for d in direction]
    for weight in weights:
        weight.grad = None
    backward()
    by_gradient = sum(float((w.grad * d).sum()) for w, d in zip(weights, direction, strict=True) if w.grad is not None)
    losses = []
    far = 1e-5
    with torch.no_grad():
        for sign in (1, -2, 1):  # forth, back to the other side, and home
            for weight, d in zip(weights, direction, strict=True):
                weight.add_(sign * far * d)
            if len(losses) < 2:
                with torch.enable_grad():
                    losses.append(backward()["total"])
    return (losses[0] - losses[1]) / (2 * far), by_gradient


@pytest.mark.parametrize(
    ("name", "scope"), [("maml", "head"), ("maml", "dense"), ("metasgd", "head"), ("metasgd", "matching")]
)
@pytest.mark.parametrize("shots", [1, 2])
def test_meta_gradients_of_second_order_agree_with_finite_differences(name: str, scope: str, shots: int) -> None:
    # Dense: object queries stop the gradient at their boxes on purpose, so theirs is no derivative of the loss.
    network, data = small_network(mask={"head": "dense"}), random_episodes(shots=shots)
    with in_float64(network, data):
        subject = learner(network, name, order=2, scope=scope)
        inside = list(adaptable(network.head, scope).values())
        outside = [
            p for p in network.head.parameters() if p.requires_grad and not any(p is weight for weight in inside)
        ]
        with torch.no_grad():
            for parameter in subject.own.values():
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)))
        for weights in (inside, outside, list(subject.own.values())):
            if weights:
                expected, found = slope(lambda: subject.backward(data), weights, seed=3)
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)
                assert expected != 0


def test_first_order_is_another_gradient_than_second_order() -> None:
    """Or the comparison with finite differences would prove nothing."""
    network, data = small_network(), random_episodes()
    with in_float64(network, data):
        first, second = (
            gradients(network, lambda order=order: learner(network, "maml", order=order).backward(data))
            for order in (1, 2)
        )

    difference = torch.cat([(first[name] - second[name]).flatten() for name in second]).norm()
    assert difference > 1e-2 * torch.cat([value.flatten() for value in second.values()]).norm()


@pytest.mark.parametrize("scope", ["head", "matching"])
def test_the_gradient_of_fomaml_is_the_gradient_at_the_adapted_weights(scope: str) -> None:
    network, data = small_network(), random_episodes()
    with in_float64(network, data):
        task, query = task_of(network, data.support), network.trunk(data.query)
        moved = copy.deepcopy(network.head)
        changed = list(adaptable(moved, scope).values())
        for step in range(2):
            steps = torch.autograd.grad(task.inner_loss(moved, step), changed, allow_unused=True)
            with torch.no_grad():
                for weight, gradient in zip(changed, steps, strict=True):
                    if gradient is not None:
                        weight.sub_(STEP * gradient)
        moved.zero_grad(set_to_none=True)
        prediction = moved(task.encoded, task.truth.masks, query)
        objective(prediction, data.truth, data.query.valid, network.config.loss)["total"].backward()

        found = gradients(network, lambda: learner(network, "maml", order=1, scope=scope).backward(data))

    expected = {name: p.grad for name, p in moved.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_metasgd_with_untouched_step_sizes_is_maml(order: int) -> None:
    network, data = small_network(), random_episodes()

    maml, metasgd = (
        gradients(network, lambda name=name: learner(network, name, order=order).backward(data))
        for name in ("maml", "metasgd")
    )

    assert maml.keys() == metasgd.keys()
    for name, gradient in maml.items():
        torch.testing.assert_close(metasgd[name], gradient, rtol=1e-3, atol=1e-5 + 1e-4 * float(gradient.abs().max()))


def test_reptile_leaves_the_mean_way_from_the_adapted_weights_back() -> None:
    network, data = small_network(), random_episodes(count=2)
    subject = learner(network, "reptile", scope="matching", train_steps=3)
    ways = []
    for number in range(2):
        episode = single_episode(data, number)
        task = task_of(network, episode.support)
        *_, adapted = (weights for weights, _ in zip(subject.descend(task), range(4), strict=False))
        ways.append({n: (p.detach() - adapted[n]) / (3 * STEP) for n, p in adaptable(network.head, "matching").items()})

    found = gradients(network, lambda: subject.backward(data, 0.5))

    assert found.keys() == ways[0].keys()
    for name, gradient in found.items():
        expected = 0.5 * (ways[0][name] + ways[1][name]) / 2
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()) + 1e-6)
        assert gradient.any() or "norm" in name or not expected.any()


def test_one_step_of_reptile_leaves_the_inner_gradient() -> None:
    network, data = small_network(), random_episodes()
    task = task_of(network, data.support)
    weights = adaptable(network.head, "decoder")
    expected = torch.autograd.grad(task.inner_loss(network.head, 0), list(weights.values()))

    found = gradients(network, lambda: learner(network, "reptile", scope="decoder", train_steps=1).backward(data))

    for name, gradient in zip(weights, expected, strict=True):  # (w - (w - rate g)) / rate keeps 4 digits of g
        torch.testing.assert_close(found[name], gradient, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("name", META)
def test_a_batch_leaves_the_mean_over_its_episodes_scaled_and_added_to_what_is_there(name: str) -> None:
    network, data = small_network(), random_episodes(count=2)
    subject = learner(network, name)
    first, second = (gradients(network, lambda n=n: subject.backward(single_episode(data, n))) for n in range(2))

    def twice() -> None:
        subject.backward(data, 0.5)
        subject.backward(data, 0.25)

    together = gradients(network, twice)

    assert together.keys() == first.keys()
    for part, gradient in together.items():
        expected = 0.75 * (first[part] + second[part]) / 2
        torch.testing.assert_close(gradient, expected, rtol=1e-2, atol=1e-5 + 1e-2 * float(expected.abs().max()))


@pytest.mark.parametrize("name", META)
def test_losses_are_the_means_of_the_query_after_adaptation(name: str) -> None:
    network, data = small_network(), random_episodes(count=2)
    subject = learner(network, name)

    both = subject.backward(data)
    alone = [subject.backward(single_episode(data, number)) for number in range(2)]

    assert "total" in both
    assert both == pytest.approx({term: (alone[0][term] + alone[1][term]) / 2 for term in both}, rel=1e-3)


# --------------------------------------------------------------------------- nothing leaks


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *((name, {"order": order}) for name in ("maml", "metasgd") for order in (1, 2)),
        ("reptile", {}),
        ("finetune", {}),
    ],
)
def test_no_bit_of_the_network_changes_in_adaptation_or_backward(name: str, values: dict[str, int]) -> None:
    network = small_network(freeze=("fpn",)).train()
    subject: Learner = learner(network, name, **values)
    before, own = bits(network), bits(subject.own)
    learns = {n: p.requires_grad for n, p in network.named_parameters()}

    subject.adapt(random_support(2)).predict(random_clips(1, seed=1))
    list(subject.snapshots(random_support(1), [0, 2]))
    assert all(parameter.grad is None for parameter in [*network.parameters(), *subject.own.parameters()])
    network.train()
    subject.backward(random_episodes())

    assert_same(bits(network), before)
    assert_same(bits(subject.own), own)
    assert {n: p.requires_grad for n, p in network.named_parameters()} == learns
    assert all(p.grad is None for n, p in network.named_parameters() if not learns[n]), "frozen weights get none"
    assert network.head.training


@pytest.mark.parametrize("name", META)
def test_an_episode_learns_nothing_from_the_one_before(name: str) -> None:
    network = small_network(dropout=0.3)
    subject, support, query = learner(network, name), random_support(2, seed=5), random_clips(1, seed=1)

    alone = subject.adapt(support).predict(query)
    subject.adapt(random_support(2, seed=9))
    subject.backward(random_episodes())

    assert torch.equal(subject.adapt(support).predict(query), alone)


@pytest.mark.parametrize("name", [*META, "finetune"])
def test_frozen_weights_are_adapted_by_no_learner(name: str) -> None:
    network = small_network(freeze=("decoder",))
    before = bits(network.head)

    head = learner(network, name).adapt(random_support(2)).head

    moved = [n for n, value in head.state_dict().items() if not torch.equal(value, before[n])]
    assert moved
    assert not [n for n in moved if n.startswith("decoder.")]


@pytest.mark.parametrize("name", META)
def test_a_scope_is_adapted_alone_and_the_rest_learns_from_the_query_alone(name: str) -> None:
    network = small_network()
    before = bits(network.head)
    subject = learner(network, name, scope="dense")

    head = subject.adapt(random_support(2)).head
    got = gradients(network, lambda: subject.backward(random_episodes()))

    moved = {n for n, value in head.state_dict().items() if not torch.equal(value, before[n])}
    assert moved
    assert all(n.startswith("dense.") for n in moved)
    assert any(not n.startswith("dense.") for n in got) == (name != "reptile"), "Reptile has no outer gradient"


@pytest.mark.parametrize("name", META)
def test_meta_training_adapts_as_the_test_does(name: str) -> None:
    """Same steps, same clips, same weights in the end, whatever mode the head is in."""
    network, data = small_network(dropout=0.4).train(), random_episodes()
    subject = learner(network, name)
    terms = subject.backward(data) if name == "reptile" else None

    head = subject.adapt(data.support).head
    network.eval()
    if terms is None:
        with patch.object(network.head, "train"):  # dropout would blur the outer pass
            terms = subject.backward(data)

    with torch.no_grad():
        prediction = head(network.trunk(data.support.clips), data.support.masks, network.trunk(data.query))
        losses = objective(prediction, data.truth, data.query.valid, network.config.loss)
    assert terms["total"] == pytest.approx(float(losses["total"]), rel=1e-4)


# --------------------------------------------------------------------------- how long adaptation goes on


def test_steps_of_a_snapshot_are_those_of_an_adaptation_of_that_length() -> None:
    network, support = small_network(), random_support(3)
    for name in ["finetune", *META]:
        found = dict(learner(network, name).snapshots(support, [3, 0, 1]))
        assert sorted(found) == [0, 1, 3]
        for steps, predictor in found.items():
            assert_same(
                predictor.head.state_dict(), learner(network, name, steps=steps).adapt(support).head.state_dict()
            )


def test_under_autocast_each_step_reads_the_weights_that_the_one_before_left() -> None:
    """Autocast keeps a narrow copy of a weight, which a step in place would not reach."""
    network, support = small_network(), random_support(1)
    task = task_of(network, support)

    def walk(steps: int) -> list[dict[str, Tensor]]:
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            network.eval()
            descent = learner(network, "reptile").descend(task)
            return [weights for weights, _ in zip(descent, range(steps + 1), strict=False)]

    _, first, second = walk(2)
    network.head.load_state_dict({**network.head.state_dict(), **first})

    assert_same(walk(1)[1], second)


def test_a_learner_without_steps_has_no_snapshots() -> None:
    assert list(build_learner(LearnerConfig(), small_network()).snapshots(random_support(1), [0, 1])) == []


def test_adam_and_plain_descent_are_what_finetune_says() -> None:
    network, support = small_network(), random_support(2)
    task = task_of(network, support)
    weights = adaptable(network.head, "decoder")
    slopes = torch.autograd.grad(task.inner_loss(network.head, 0), list(weights.values()))

    for rule, expected in (("sgd", lambda g: -STEP * g), ("adam", lambda g: -STEP * g.sign())):
        head = learner(network, "finetune", steps=1, scope="decoder", optimizer=rule).adapt(support).head
        for (name, weight), gradient in zip(weights.items(), slopes, strict=True):
            clear = gradient.abs() > 1e-3  # Adam's first step is the sign, but for what is nearly 0
            way = (head.get_parameter(name) - weight)[clear]
            torch.testing.assert_close(way, expected(gradient)[clear], rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("shots", [1, 2, 3])
@pytest.mark.parametrize("name", ["finetune", *META])
def test_early_stop_takes_back_what_the_inner_loss_misleads(name: str, shots: int) -> None:
    """The inner loss is turned round, so that each step worsens what is held out."""
    network, support = small_network(), random_support(shots, frames=3)
    honest = EncodedClips.inner_loss

    with patch.object(EncodedClips, "inner_loss", lambda task, head, step: -honest(task, head, step)):
        misled, stopped = (
            learner(network, name, steps=5, early_stop=stop).adapt(support).head.state_dict() for stop in (False, True)
        )

    assert_same(stopped, bits(network.head))
    assert any(not torch.equal(value, stopped[key]) for key, value in misled.items())


@pytest.mark.parametrize("shots", [1, 3])
def test_early_stop_keeps_the_weights_with_the_lowest_measured_loss(shots: int) -> None:
    network, support = small_network(), random_support(shots, frames=3)
    subject = learner(network, "finetune", steps=7, early_stop=True, learning_rate=2e-2)
    seen, held_out = subject._parts(subject._shown(support))
    losses = {}
    for step, weights in zip(range(8), subject.descend(seen), strict=False):
        moved = copy.deepcopy(network.head)
        moved.load_state_dict({**moved.state_dict(), **weights})
        with torch.no_grad():
            prediction = moved(seen.encoded, seen.truth.masks, held_out.encoded)
            terms = objective(prediction, held_out.truth, held_out.encoded.valid, network.config.loss)
        losses[step] = float(terms["total"])

    best = min((0, 1, 2, 5, 7), key=lambda step: losses[step])
    chosen = subject.adapt(support).head.state_dict()

    assert best > 0, "adaptation helps here"
    assert_same(chosen, dict(subject.snapshots(support, [best]))[best].head.state_dict())


def test_what_is_held_out_is_never_seen_by_the_steps_and_remembered_in_the_end() -> None:
    network = small_network()
    for support in (random_support(3), random_support(1, frames=4)):
        subject = learner(network, "finetune", early_stop=True)
        shots, frames = support.masks.shape[:2]
        changed = support.masks.clone()
        changed[-1, -1] = ~changed[-1, -1]
        if shots > 1:
            changed[-1] = ~changed[-1]
        other = replace(support, masks=changed)

        walks = []
        for shown in (support, other):
            seen, held_out = subject._parts(subject._shown(shown))
            walks.append([weights for weights, _ in zip(subject.descend(seen), range(3), strict=False)])
            assert held_out.truth.masks.shape[:2] == ((1, frames) if shots > 1 else (1, 1))
        for first, second in zip(*walks, strict=True):
            assert_same(first, second)
        assert subject.adapt(support).masks.shape[:2] == (shots, frames)


def test_losses_that_are_not_finite_are_never_chosen() -> None:
    network = small_network()

    head = learner(network, "maml", steps=10, learning_rate=1e12, early_stop=True).adapt(random_support(2)).head

    assert_same(head.state_dict(), bits(network.head))


def test_a_single_frame_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="nothing to hold out"):
        learner(small_network(), "finetune", early_stop=True).adapt(random_support(1, frames=1))


def test_measurements_become_rarer() -> None:
    assert [step for step in range(501) if is_measured(step)] == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500]


# --------------------------------------------------------------------------- step sizes


def test_step_sizes_start_at_the_learning_rate_and_are_reported_by_part() -> None:
    network = small_network()
    subject = learner(network, "metasgd", learning_rate=0.5)
    assert all((sizes == 0.5).all() for sizes in subject.step_sizes().values())
    with torch.no_grad():
        subject.own["decoder/layers/0/norm1/weight"][0] = -4.0

    report = subject.report()

    assert (report["step_size/decoder/min"], report["step_size/decoder/max"]) == (-2.0, 0.5)
    assert report["step_size/decoder/mean"] < 0.5
    assert report["step_size/matching/mean"] == 0.5
    parts = {name.split(".")[0] for name in adaptable(network.head, "head")}
    assert {name.split("/")[1] for name in report} == parts
    assert learner(network, "maml").report() == {}


def test_steps_of_size_zero_leave_the_prediction_as_it_was() -> None:
    network, support, query = small_network(), random_support(2), random_clips(1, seed=1)
    subject = learner(network, "metasgd")
    for sizes in subject.own.values():
        nn.init.zeros_(sizes)

    assert_same(subject.adapt(support).head.state_dict(), bits(network.head))
    assert not torch.equal(
        learner(network, "metasgd").adapt(support).predict(query), subject.adapt(support).predict(query)
    )


# --------------------------------------------------------------------------- what is trained, and rejections


@pytest.mark.parametrize("name", ["conditioning", "finetune", *META])
def test_each_learner_says_what_it_trains(name: str) -> None:
    network = small_network(freeze=("fpn",))
    values = {} if name == "conditioning" else {"scope": "decoder"}
    subject = build_learner(LearnerConfig(name=name, **values), network)  # type: ignore[arg-type]
    trained = {id(p) for p in subject.trained().parameters() if p.requires_grad}
    part = network.head.scope("decoder") if name == "reptile" else network.head
    own = {id(p) for p in subject.own.values()}
    assert trained == {id(p) for p in part.parameters() if p.requires_grad} | own
    assert bool(own) == (name == "metasgd")


@pytest.mark.parametrize("name", ["finetune", *META])
def test_an_unknown_an_empty_or_a_frozen_scope_is_rejected_at_construction(name: str) -> None:
    with pytest.raises(ConfigError, match="no part 'affinty'; its parts are head,"):
        learner(small_network(), name, scope="affinty")
    with pytest.raises(ConfigError, match="scope 'affinity' has no weights in this model"):
        learner(small_network(affinity={"stages": ()}), name, scope="affinity")
    with pytest.raises(ConfigError, match=r"scope 'fpn' has no weights that model\.freeze leaves"):
        learner(small_network(freeze=("fpn",)), name, scope="fpn")


def test_the_config_chooses_the_learner_and_its_values() -> None:
    network = small_network()
    kinds: dict[str, type[AdaptingLearner]] = {"maml": MAML, "metasgd": MetaSGD, "reptile": Reptile}
    for name, kind in kinds.items():
        found = learner(network, name, steps=3, scope="matching", early_stop=True, train_steps=4)
        assert type(found) is kind
        assert found.inner == InnerLoop(3, STEP, "matching", early_stop=True)
        assert found.train_steps == 4
    assert learner(network, "metasgd", order=2).order == 2


@pytest.mark.parametrize("name", ["maml", "metasgd"])
def test_weights_that_a_model_never_reads_are_no_obstacle(name: str) -> None:
    """With one decoder layer the published queries leave their query_scale unread."""
    network = small_network(query_mode="dab", levels=(8, 16, 32, 64), mask={"head": "query"})
    subject = learner(network, name, order=2)

    assert "decoder.queries.query_scale.layers.0.weight" in adaptable(network.head, "head")
    assert subject.backward(random_episodes())["total"] > 0
    assert subject.adapt(random_support(2)).predict(random_clips(1, seed=1)).isfinite().all()


def test_a_missing_learn2learn_is_named_with_the_command_that_installs_it() -> None:
    with (
        patch.dict(sys.modules, {"learn2learn": None}),
        pytest.raises(ConfigError, match=r"pip install --no-deps .*learn2learn==.*gym=="),
    ):
        learner(small_network(), "maml")


QUIET = """
import sys
import fewshot.learners
assert "learn2learn" not in sys.modules
from fewshot.learners.gradient import _import_learn2learn
assert _import_learn2learn().algorithms.MetaSGD
"""


def test_learn2learn_is_imported_when_it_is_needed_and_says_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUIET], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
