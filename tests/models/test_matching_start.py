"""The matching affinity starts as a training-free matcher on the features of the training's pictures."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import matching_start
from models.matching import MatchingAffinity, MatchingMemory
from models.matching_start import StartEpisode, best_threshold, means, principal_directions, start

CHANNELS, DIM, SIDE = 12, 4, 8


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def matcher(dim: int = DIM, elsewhere: int = 6) -> MatchingAffinity:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MatchingAffinity(CHANNELS, hidden=8, dim=dim, elsewhere=elsewhere, adds=True).eval()


def episode(seed: int, noise: float = 0.2) -> StartEpisode:
    """Object and ground have features of their own, the same in every episode, under noise and a large common mean."""
    looks = drawn(2, CHANNELS, seed=99)
    maps, masks = [], []
    for clip in range(2):
        mask = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
        mask[..., clip : clip + SIDE // 2, : SIDE // 2] = True
        features = torch.where(mask[:, :, None], looks[0][:, None, None], looks[1][:, None, None]) + 3.0
        maps.append(features + noise * drawn(*features.shape, seed=seed + clip))
        masks.append(mask.repeat_interleave(16, -1).repeat_interleave(16, -2))
    valid = torch.ones(1, 16 * SIDE, 16 * SIDE, dtype=torch.bool)
    return StartEpisode((maps[0],), masks[0], (maps[1],), masks[1], valid)


def test_directions_are_those_of_the_largest_spread_and_what_they_give_is_centred() -> None:
    spread = torch.tensor([5.0, 1.0, 3.0] + [0.1] * (CHANNELS - 3))
    tokens = 7.0 + spread * drawn(4000, CHANNELS)

    directions, offset = principal_directions(tokens, 3)

    assert directions.abs().argmax(1).tolist() == [0, 2, 1]
    torch.testing.assert_close(directions @ directions.T, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close((tokens @ directions.T + offset).mean(0), torch.zeros(3), atol=1e-3, rtol=0)


def test_means_are_unit_vectors_near_what_there_is_and_the_same_every_time() -> None:
    centres = F.normalize(drawn(3, DIM), dim=1)
    tokens = F.normalize(centres.repeat(50, 1) + 0.05 * drawn(150, DIM, seed=1), dim=1)

    kept = means(tokens, 3)

    torch.testing.assert_close(kept.norm(dim=1), torch.ones(3))
    assert ((kept @ centres.T).amax(0) > 0.99).all(), "each of the three has a mean of its own"
    assert torch.equal(kept, means(tokens, 3))


@pytest.mark.parametrize("dim", [DIM, CHANNELS + 4], ids=["fewer directions", "more than channels"])
@pytest.mark.parametrize("most", [matching_start.MOST_TOKENS, 200], ids=["all tokens", "200 of 1280 tokens"])
def test_after_the_start_the_untrained_affinity_finds_the_object(
    dim: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching_start, "MOST_TOKENS", most)
    matching, asked = matcher(dim), episode(50)

    start(matching, [episode(seed) for seed in range(0, 20, 2)])

    remembered = matching.remember(matching.embeddings(asked.support), asked.support_masks, asked.valid)
    logits = matching(matching.embeddings(asked.query), MatchingMemory(*(x[None] for x in remembered)))
    answer = logits[0] > 0
    truth = F.max_pool2d(asked.query_masks[0].float(), 16).bool()
    assert (answer & truth).sum() / (answer | truth).sum() > 0.9


def test_what_is_learned_adds_from_zero_and_can_be_taken_back() -> None:
    matching = matcher()
    start(matching, [episode(0)])
    maps = episode(5).query
    begun = matching.embeddings(maps)

    with torch.no_grad():
        for parameter in matching.change[-1].parameters():
            parameter.copy_(drawn(*parameter.shape))
    learned = matching.embeddings(maps)
    with torch.no_grad():
        matching.trust.change.zero_()

    assert not torch.allclose(learned, begun, atol=1e-2)
    assert torch.equal(matching.embeddings(maps), begun)


@pytest.mark.parametrize("shift", [-2.0, 1.5])
def test_the_threshold_is_the_one_with_the_best_overlap(shift: float) -> None:
    matching = matcher(elsewhere=0)
    episodes = [episode(seed, noise=1.5) for seed in (0, 2, 4, 6)]
    start(matching, episodes)
    before = best_threshold(matching, episodes)

    with torch.no_grad():
        matching.trust.bias.add_(shift)

    assert abs(float(best_threshold(matching, episodes) - before) - shift) < 0.2
