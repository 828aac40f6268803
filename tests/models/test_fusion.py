"""Text fusion and the small dense parts: how words and the prior enter visual features."""

from typing import Literal

import pytest
import torch
from torch import Tensor

from models.dense_head import DenseMaskHead, PriorGate, evidence, log_odds
from models.fusion import TextFusion

HIDDEN = 32


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fusion(mode: Literal["residual", "multiply"]) -> TextFusion:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TextFusion(HIDDEN, 4, mode)


def test_residual_fusion_keeps_a_feature_whole_where_the_words_say_nothing() -> None:
    module = fusion("residual")
    torch.nn.init.zeros_(module.attention.out_proj.weight)
    visual, words = drawn(2, 3, HIDDEN, 4, 5), drawn(2, 6, HIDDEN, seed=1)
    valid = torch.ones(2, 6, dtype=torch.bool)

    assert torch.equal(module(visual, words, torch.zeros_like(words), valid), visual)


def test_multiplied_fusion_scales_with_the_feature() -> None:
    module = fusion("multiply")
    visual, words = drawn(1, 1, HIDDEN, 2, 2), drawn(1, 1, HIDDEN, seed=1)  # one word: it takes all attention
    valid = torch.ones(1, 1, dtype=torch.bool)

    once, twice = (module(factor * visual, words, torch.zeros_like(words), valid) for factor in (1, 2))

    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("mode", ["residual", "multiply"])
def test_words_in_padding_are_never_read(mode: Literal["residual", "multiply"]) -> None:
    module = fusion(mode)
    visual, words, places = drawn(1, 2, HIDDEN, 3, 3), drawn(1, 5, HIDDEN, seed=1), drawn(1, 5, HIDDEN, seed=2)
    valid = torch.tensor([[True, True, True, False, False]])
    other = torch.where(valid[..., None], words, 100.0)

    assert torch.equal(module(visual, words, places, valid), module(visual, other, places, valid))
    shorter = module(visual, words[:, :3], places[:, :3], valid[:, :3])
    torch.testing.assert_close(module(visual, words, places, valid), shorter, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["residual", "multiply"])
def test_each_pixel_is_fused_by_itself_and_its_place_matters(mode: Literal["residual", "multiply"]) -> None:
    module = fusion(mode)
    visual, words = drawn(1, 2, HIDDEN, 3, 3), drawn(1, 4, HIDDEN, seed=1)
    valid, places = torch.ones(1, 4, dtype=torch.bool), drawn(1, 2, HIDDEN, 3, 3, seed=2)
    zero = torch.zeros_like(words)

    whole = module(visual, words, zero, valid)

    torch.testing.assert_close(whole[:, 1:, :, :2], module(visual[:, 1:, :, :2], words, zero, valid))
    assert not torch.allclose(whole, module(visual, words, zero, valid, places))


def test_a_prior_becomes_two_maps_of_order_one() -> None:
    maps = evidence([torch.tensor([-60.0, 0.0, 60.0, 4.0]).view(1, 1, 2, 2)], (2, 2))

    assert maps.shape == (1, 2, 2, 2)
    torch.testing.assert_close(maps[0, 0].flatten()[:3], torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(maps[0, 1].flatten()[:3], torch.tensor([-1.0, 0.0, 1.0]))


def test_two_priors_together_are_the_product_of_their_probabilities() -> None:
    one, other = torch.tensor([-60.0, -1.0, 2.0, 60.0]), torch.tensor([60.0, 0.5, 2.0, 60.0])

    maps = evidence([one.view(1, 1, 2, 2), other.view(1, 1, 2, 2)], (2, 2)).flatten(2)[0]

    assert maps.shape == (6, 4)
    torch.testing.assert_close(maps[0], one.sigmoid() * other.sigmoid(), atol=2e-4, rtol=0.0)
    torch.testing.assert_close(maps[2], one.sigmoid())
    torch.testing.assert_close(maps[4], other.sigmoid())
    assert maps.abs().max() <= 1


def test_the_gate_lets_a_feature_through_by_the_prior() -> None:
    gate = PriorGate(HIDDEN, 1)
    torch.nn.init.zeros_(gate.mix.weight)
    assert gate.mix.bias is not None
    torch.nn.init.zeros_(gate.mix.bias)
    with torch.no_grad():
        gate.mix.weight[:, :HIDDEN, 0, 0] = torch.eye(HIDDEN)
    feature = drawn(1, 1, HIDDEN, 4, 4)

    kept, doubled = (gate(feature, [torch.full((1, 1, 2, 2), logit)]) for logit in (-100.0, 100.0))

    torch.testing.assert_close(kept, feature)
    torch.testing.assert_close(doubled, 2 * feature)


@pytest.mark.parametrize("priors", [0, 1, 2])
def test_the_dense_head_gives_one_map_at_the_size_of_its_features(priors: int) -> None:
    head = DenseMaskHead(8, priors)
    maps = [drawn(2, 3, 2, 3, seed=seed) for seed in range(priors)]

    assert head(drawn(6, 8, 8, 12), maps).shape == (6, 8, 12)


@pytest.mark.parametrize("together", [False, True])
def test_the_dense_head_starts_as_its_priors_and_never_leaves_them_by_more_than_the_bound(together: bool) -> None:
    of_class, of_words = drawn(1, 2, 2, 3, seed=1), drawn(1, 2, 2, 3, seed=2)
    start = log_odds([of_class, of_words], (2, 3))[0][:, 0] if together else of_class[0]
    features = 100 * drawn(2, 8, 2, 3)
    free, bounded = (DenseMaskHead(8, 2, bound, together) for bound in (None, 0.5))

    assert torch.equal(free(features, [of_class, of_words]), start)
    with torch.no_grad():
        for head in (free, bounded):
            head.layers[-1].weight.fill_(1.0)

    assert (free(features, [of_class, of_words]) - start).abs().max() > 5
    assert 0.49 < (bounded(features, [of_class, of_words]) - start).abs().max() <= 0.5 + 1e-6


def test_words_rule_out_what_the_class_allows_whatever_the_bound() -> None:
    head = DenseMaskHead(8, 2, bound=0.5, together=True)
    of_class, of_words = torch.full((1, 1, 2, 2), 4.0), torch.tensor([[6.0, -6.0], [6.0, -6.0]])[None, None]

    answer = head(drawn(1, 8, 2, 2), [of_class, of_words])[0]

    assert (answer[:, 0] > 3).all()
    assert (answer[:, 1] < -3).all()
