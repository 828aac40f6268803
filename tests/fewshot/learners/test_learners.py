"""The two verbs: `adapt` never touches the network, `backward` leaves exactly the gradient that was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Self, get_args
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from episodes.errors import ConfigError
from episodes.types import Clips, Episode, Support, Truth
from fewshot.config.learner import LearnerConfig
from fewshot.learners import Conditioning, Decoding, Finetune, InnerLoop, Predictor, build_learner
from fewshot.learners.inner_loss import EncodedClips
from models.decoder import DecoderOutput
from models.head import Prediction
from models.network import FewShotRVOS
from models.objective import objective
from tests.random_clips import (
    in_features,
    random_clips,
    random_episodes,
    random_support,
    single_episode,
    small_network,
)


def finetune(network: FewShotRVOS, steps: int = 2, scope: str = "head", rate: float = 1e-2) -> Finetune:
    return Finetune(network, inner=InnerLoop(steps, rate, scope))


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> list[str]:
    return [name for name, value in module.state_dict().items() if not torch.equal(value, before[name])]


def predictor_of(network: FewShotRVOS, head: Any = None) -> Predictor:
    """One that remembers a random clip, with this head in place of the network's."""
    support = random_support(1)
    return Predictor(network, head or network.head, network.trunk(support.clips), support.masks)


@contextmanager
def counted_calls(module: nn.Module) -> Iterator[list[Any]]:
    """The arguments of every forward call of a module inside."""
    calls: list[Any] = []
    handle = module.register_forward_pre_hook(lambda _module, arguments: calls.append(arguments))
    try:
        yield calls
    finally:
        handle.remove()


# --------------------------------------------------------------------------- conditioning


def test_conditioning_leaves_every_weight_and_gradient_alone() -> None:
    network = small_network()
    before = weights(network)

    Conditioning(network).adapt(random_support(2)).predict(random_clips(1, seed=1))

    assert changed(network, before) == []
    assert all(parameter.grad is None for parameter in network.parameters())
    assert any(parameter.requires_grad for parameter in network.head.parameters())


def test_a_prediction_is_a_map_of_probabilities_without_the_padding() -> None:
    query = random_clips(2, frames=3, size=(64, 96), seed=1)
    query.valid[0, 48:] = False
    query.valid[1, :, 70:] = False

    found = Conditioning(small_network()).adapt(random_support(2)).predict(query)

    assert found.shape == (2, 3, 64, 96)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[~query.valid[:, None].expand_as(found)] == 0).all()
    assert (found[query.valid[:, None].expand_as(found)] > 0).all()


def test_several_queries_at_once_are_predicted_as_each_alone() -> None:
    predictor = Conditioning(small_network()).adapt(random_support(2))
    queries = random_clips(3, seed=1)

    together = predictor.predict(queries)

    for clip in range(3):
        alone = predictor.predict(queries.select([clip]))
        torch.testing.assert_close(together[clip : clip + 1], alone, atol=1e-3, rtol=1e-3)


def test_a_lower_threshold_answers_with_the_pixels_above_it() -> None:
    predictor, query = Conditioning(small_network()).adapt(random_support(2)), random_clips(2, seed=1)

    half, lower = (predictor.predict(query, Decoding(threshold=threshold)) for threshold in (0.5, 0.2))

    assert torch.equal(lower > 0.5, half > 0.2)
    assert (lower > 0.5).sum() > (half > 0.5).sum()


def test_answers_keep_the_regions_that_match_best() -> None:
    predictor, query = Conditioning(small_network(stirred=0.2)).adapt(random_support(2)), random_clips(2, seed=1)

    whole, best = (predictor.predict(query, Decoding(regions=margin)) > 0.5 for margin in (None, 0.0))

    assert best.any()
    assert not (best & ~whole).any()
    assert best.sum() < whole.sum()


# --------------------------------------------------------------------------- long clips


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8])
def test_a_clip_longer_than_a_chunk_is_predicted_whole(chunk: int) -> None:
    predictor = Conditioning(small_network()).adapt(random_support(1))

    found = predictor.predict(random_clips(1, frames=5, seed=1), Decoding(chunk))

    assert found.shape == (1, 5, 64, 64)
    assert found.isfinite().all()


def test_where_frames_do_not_see_each_other_the_chunk_changes_nothing() -> None:
    network = small_network(
        mask={"head": "hybrid", "vl_strides": ()}, affinity={"stages": ("cross",)}, word_prior=False
    )
    predictor, query = predictor_of(network), random_clips(1, frames=5, seed=1)

    whole, *parts = (predictor.predict(query, Decoding(chunk)) for chunk in (5, 1, 2, 4))

    for part in parts:
        torch.testing.assert_close(part, whole, atol=1e-4, rtol=1e-4)


class TwoTrajectories(nn.Module):
    """A head whose query 0 says yes everywhere and query 1 says no; each chunk has its own scores."""

    def __init__(self, scores: list[tuple[float, float]]) -> None:
        super().__init__()
        self.scores = iter(scores)

    def remember(self, *_: object) -> Self:
        return self

    def expand(self, batch: int) -> Self:
        return self

    def decode(self, chunk: Any, memory: object) -> Prediction:
        frames = chunk.times.shape[1]
        logits = torch.tensor(next(self.scores)).logit().view(1, 1, 2, 1).expand(1, frames, 2, 1)
        boxes = torch.zeros(1, frames, 2, 4)
        masks = torch.tensor([9.0, -9.0]).view(1, 1, 2, 1, 1).expand(1, frames, 2, 16, 16)
        queries = DecoderOutput(torch.zeros(1, frames, 2, 8), boxes, logits)
        return Prediction(queries, [masks], None, None, None)


@pytest.mark.parametrize(
    ("scores", "followed"),
    [([(0.9, 0.1), (0.4, 0.6), (0.4, 0.6)], 0), ([(0.6, 0.4), (0.1, 0.9), (0.6, 0.4)], 1)],
)
def test_one_trajectory_is_followed_through_all_chunks(scores: list[tuple[float, float]], followed: int) -> None:
    """The best mean over the whole clip, also where another one is better in most chunks."""
    predictor = predictor_of(small_network(), TwoTrajectories(scores))

    found = predictor.predict(random_clips(1, frames=6, seed=1), Decoding(2))

    assert (found > 0.5).all() if followed == 0 else (found < 0.5).all()


@pytest.mark.parametrize(("trajectory", "chosen"), [("chunk", [0, 1, 0]), ("linked", [0, 0, 0])])
def test_a_trajectory_is_chosen_for_the_clip_or_anew_in_each_chunk(
    trajectory: Literal["linked", "chunk"], chosen: list[int]
) -> None:
    predictor = predictor_of(small_network(), TwoTrajectories([(0.9, 0.1), (0.4, 0.6), (0.6, 0.4)]))

    found = predictor.predict(random_clips(1, frames=6, seed=1), Decoding(2, trajectory)) > 0.5

    for chunk, query in enumerate(chosen):  # query 0 says yes everywhere, query 1 says no
        assert (found[:, 2 * chunk : 2 * chunk + 2] == (query == 0)).all()


@pytest.mark.parametrize("name", get_args(LearnerConfig.model_fields["name"].annotation))
def test_decoding_belongs_to_the_answer_and_not_to_the_learner(name: str) -> None:
    """One adaptation answers as each question asks, in any order."""
    config = LearnerConfig.model_validate({"name": name, "steps": 1})
    predictor, query = build_learner(config, small_network()).adapt(random_support(2)), random_clips(1, 5, seed=1)
    decode, lengths = predictor.head.decode, []

    with patch.object(predictor.head, "decode", lambda q, m: lengths.append(q.times.shape[1]) or decode(q, m)):
        first, whole, again = (predictor.predict(query, Decoding(chunk, "chunk")) for chunk in (3, 5, 3))

    assert lengths == [3, 2, 5, 3, 2]
    assert torch.equal(first, again)
    assert not torch.allclose(first, whole, atol=1e-4)


def test_support_and_words_are_encoded_once_for_any_number_of_chunks_and_queries() -> None:
    network = small_network()
    query = random_clips(1, frames=5, seed=1, sentences=("words of this test alone",))
    text = network.trunk.text

    with counted_calls(network.trunk.image) as seen, patch.object(text, "_encode", wraps=text._encode) as encode:
        predictor = Conditioning(network).adapt(random_support(2))
        with patch.object(network.head, "remember", wraps=network.head.remember) as remember:
            predictor.predict(query, Decoding(2))
            predictor.predict(query, Decoding(2))

    assert [len(frames) * frames.shape[1] for (frames,) in seen] == [4, 2, 2, 1, 2, 2, 1]  # the support's come first
    assert remember.call_count == 1
    assert [call.args[0] for call in encode.call_args_list if call.args[0] == query.sentences] == [query.sentences]


# --------------------------------------------------------------------------- finetune


@pytest.mark.parametrize(("shots", "frames"), [(1, 1), (1, 3), (3, 2)])
def test_finetuning_changes_the_prediction_and_never_the_network(shots: int, frames: int) -> None:
    network = small_network()
    before = weights(network)
    trained = {name: p.requires_grad for name, p in network.named_parameters()}
    support, query = random_support(shots, frames), random_clips(1, seed=1)

    plain = Conditioning(network).adapt(support).predict(query)
    tuned = finetune(network).adapt(support).predict(query)

    assert not torch.allclose(plain, tuned, atol=1e-3)
    assert tuned.isfinite().all()
    assert changed(network, before) == []
    assert {name: p.requires_grad for name, p in network.named_parameters()} == trained
    assert all(parameter.grad is None for parameter in network.parameters())


def test_finetuning_of_no_steps_is_conditioning() -> None:
    network = small_network()
    support, query = random_support(2), random_clips(1, seed=1)

    plain, tuned = (learner.adapt(support).predict(query) for learner in (Conditioning(network), finetune(network, 0)))

    torch.testing.assert_close(tuned, plain, atol=1e-4, rtol=1e-4)  # torch rounds otherwise where no weight learns


def test_finetuning_repeats_itself_bit_for_bit_and_needs_no_outer_gradients() -> None:
    learner = finetune(small_network(dropout=0.5).train())
    support, query = random_support(2), random_clips(1, seed=1)

    first = learner.adapt(support).predict(query)
    with torch.no_grad():
        second = learner.adapt(support).predict(query)

    assert torch.equal(first, second)


@pytest.mark.parametrize("scope", ["matching.trust", "dense", "decoder.class_embed", "matching"])
def test_finetuning_changes_its_scope_alone(scope: str) -> None:
    network = small_network()
    before = weights(network.head)

    predictor = finetune(network, scope=scope).adapt(random_support(2))

    moved = changed(predictor.head, before)
    assert moved
    assert all(name.startswith(f"{scope}.") for name in moved)


def test_finetuning_lowers_its_loss_on_the_support() -> None:
    network = small_network()
    learner, support = finetune(network, steps=15, rate=3e-3), random_support(2)
    shown = EncodedClips(network.trunk(support.clips), Truth(support.masks), network.config.loss)

    tuned = learner.adapt(support).head

    losses = [sum(shown.inner_loss(head, step).item() for step in range(2)) for head in (tuned, network.head)]
    assert losses[0] < losses[1]


def test_an_unknown_or_empty_scope_is_rejected_before_anything_trains() -> None:
    with pytest.raises(ConfigError, match="no part 'affinty'; its parts are head,"):
        finetune(small_network(), scope="affinty")
    with pytest.raises(ConfigError, match="scope 'affinity' has no weights"):
        finetune(small_network(affinity={"stages": ()}), scope="affinity")


# --------------------------------------------------------------------------- backward


def total_gradient(network: FewShotRVOS, data: Episode) -> dict[str, Tensor]:
    network.zero_grad(set_to_none=True)
    prediction = network(data.support, data.query)
    objective(prediction, data.truth, data.query.valid, network.config.loss)["total"].backward()
    found = {name: p.grad.clone() for name, p in network.head.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("build", [Conditioning, finetune])
def test_backward_leaves_the_scaled_gradient_and_adds_to_what_is_there(build: Any) -> None:
    network = small_network()
    data = random_episodes()
    expected = total_gradient(network, data)
    learner = build(network)

    terms = learner.backward(data, 0.5)
    learner.backward(data, 0.25)

    got = {name: p.grad for name, p in network.head.named_parameters() if p.grad is not None}
    assert got.keys() == expected.keys()
    for name, gradient in got.items():
        torch.testing.assert_close(gradient, 0.75 * expected[name], atol=1e-5, rtol=1e-3)
    assert all(isinstance(value, float) for value in terms.values())
    assert "total" in terms


def test_the_gradient_of_a_batch_is_the_mean_over_its_episodes() -> None:
    network = small_network()
    data = random_episodes(count=2)

    together, first, second = (
        total_gradient(network, part) for part in (data, *(single_episode(data, i) for i in range(2)))
    )

    for name, gradient in together.items():
        scale = float(gradient.abs().max()) + 1e-5  # the gradient of a key's bias is 0 but for rounding
        torch.testing.assert_close(gradient, (first[name] + second[name]) / 2, atol=1e-2 * scale, rtol=0.0)


def test_backward_leaves_the_trunk_and_all_weights_alone() -> None:
    network = small_network()
    before = weights(network)

    Conditioning(network).backward(random_episodes())

    assert changed(network, before) == []
    assert all(parameter.grad is None for parameter in network.trunk.parameters())


def test_the_config_chooses_the_learner() -> None:
    network = small_network()

    plain = build_learner(LearnerConfig(), network)
    values = {"steps": 3, "learning_rate": 1e-3, "scope": "matching", "adapt": "unfamiliar", "steps_of_one": 2}
    tuned = build_learner(LearnerConfig.model_validate({"name": "finetune", **values}), network)

    assert isinstance(plain, Conditioning)
    assert isinstance(tuned, Finetune)
    assert tuned.inner == InnerLoop(3, 1e-3, "matching", min_shots=2, adapt="unfamiliar", steps_of_one=2)


@pytest.mark.parametrize("early_stop", [False, True])
def test_fewer_shots_than_asked_for_are_remembered_and_teach_nothing(early_stop: bool) -> None:
    network = small_network()
    before = weights(network.head)
    subject = Finetune(network, inner=InnerLoop(2, 1e-2, early_stop=early_stop, min_shots=3))

    few, enough = (subject.adapt(random_support(shots)) for shots in (2, 3))

    assert [subject.takes_steps(random_support(shots)) for shots in (2, 3)] == [False, True]
    assert changed(few.head, before) == []
    assert len(few.masks) == len(few.support) == 2
    assert early_stop or changed(enough.head, before) != []


@pytest.mark.parametrize("shots", [1, 3])
def test_steps_are_taken_only_on_a_support_that_is_worse_than_those_of_the_training(shots: int) -> None:
    network = small_network()
    assert network.head.matching is not None
    support = random_support(shots)
    shown = EncodedClips(network.trunk(support.clips), Truth(support.masks), network.config.loss)
    with torch.no_grad():
        loss = shown.loss_within_clips(network.head.eval())
    subject = Finetune(network, inner=InnerLoop(2, 1e-2, adapt="unfamiliar"))

    for factor, adapts in ((1.1, False), (0.9, True)):
        network.head.matching.trust.familiar_loss.fill_(factor * loss)
        before = weights(network.head)
        assert (changed(subject.adapt(support).head, before) != []) == adapts


def test_a_training_that_measured_nothing_calls_every_support_familiar() -> None:
    network = small_network()

    adapted = Finetune(network, inner=InnerLoop(2, 1e-2, adapt="unfamiliar")).adapt(random_support(1))

    assert changed(adapted.head, weights(network.head)) == []


def test_a_single_clip_may_have_a_number_of_steps_of_its_own() -> None:
    network = small_network()
    fewer = Finetune(network, inner=InnerLoop(3, 1e-2, "matching.trust", steps_of_one=1))
    one, three = (Finetune(network, inner=InnerLoop(steps, 1e-2, "matching.trust")) for steps in (1, 3))

    def adapted(subject: Finetune, shots: int) -> dict[str, Tensor]:
        return weights(subject.adapt(random_support(shots)).head)

    torch.testing.assert_close(adapted(fewer, 1), adapted(one, 1))
    torch.testing.assert_close(adapted(fewer, 2), adapted(three, 2))
    assert Finetune(network, inner=InnerLoop(3, 1e-2, steps_of_one=0)).takes_steps(random_support(2))
    assert not Finetune(network, inner=InnerLoop(3, 1e-2, steps_of_one=0)).takes_steps(random_support(1))


def test_clips_of_one_frame_do_not_show_that_they_are_unfamiliar() -> None:
    network = small_network()
    assert network.head.matching is not None
    network.head.matching.trust.familiar_loss.fill_(0.0)
    before = weights(network.head)
    subject = Finetune(network, inner=InnerLoop(2, 1e-2, adapt="unfamiliar"))

    assert changed(subject.adapt(random_support(1, frames=1)).head, before) == []
    assert changed(subject.adapt(random_support(1, frames=2)).head, before) != []


def test_a_support_is_as_unfamiliar_as_its_clips_are_each_alone() -> None:
    network = small_network()
    support = random_support(2)

    def loss(part: Support) -> float:
        shown = EncodedClips(network.trunk(part.clips), Truth(part.masks), network.config.loss)
        with torch.no_grad():
            return shown.loss_within_clips(network.head.eval())

    assert loss(support) == pytest.approx((loss(support.select([0])) + loss(support.select([1]))) / 2, rel=1e-4)


def test_a_clip_in_features_is_predicted_like_its_frames() -> None:
    network = small_network()
    query = random_clips(1, frames=3, seed=1)
    predictor = predictor_of(network)

    frames, features = (predictor.predict(clips, Decoding(2)) for clips in (query, in_features(network.trunk, query)))

    torch.testing.assert_close(features, frames, atol=1e-3, rtol=1e-3)


def test_a_clip_that_nobody_annotated_is_segmented() -> None:
    """Pictures and a sentence are all that a question needs."""
    frames = torch.randint(0, 255, (1, 4, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clip = Clips(torch.ones(1, 64, 96, dtype=torch.bool), torch.linspace(0, 1, 4)[None], ("the dog",), frames=frames)
    network = small_network()

    for learner in (Conditioning(network), finetune(network)):
        answer = learner.adapt(random_support(2)).predict(clip)
        assert answer.shape == (1, 4, 64, 96)
        assert ((answer > 0) & (answer < 1)).all()
