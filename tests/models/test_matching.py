"""The matching affinity: high where the query looks like the support object, whatever the order or number of shots."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from models.head import SupportMemory
from models.matching import MatchingAffinity, MatchingMemory

DIM, SIDE = 8, 4
OBJECT, GROUND = F.one_hot(torch.tensor([0, 1]), DIM).float()


@pytest.fixture
def matching() -> MatchingAffinity:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MatchingAffinity(16, hidden=16, dim=DIM, elsewhere=0, adds=True).eval()


def scene(frames: int, columns: slice) -> tuple[Tensor, Tensor]:
    """Embeddings (1, T, D, 4, 4) with the object in these columns, and its mask at 16 times the size."""
    inside = torch.zeros(1, frames, SIDE, SIDE, dtype=torch.bool)
    inside[..., columns] = True
    embeddings = torch.where(inside[:, :, None], OBJECT[:, None, None], GROUND[:, None, None])
    return embeddings, inside.repeat_interleave(16, -1).repeat_interleave(16, -2)


def noise(frames: int, seed: int) -> Tensor:
    drawn = torch.randn(1, frames, DIM, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=2)


def remembered(matching: MatchingAffinity, embeddings: Tensor, masks: Tensor, shots: int = 1) -> MatchingMemory:
    """The memory of one episode: embeddings (1, K S, D, h, w), masks (1, K S, H, W); nothing of it is padding."""
    embeddings, masks = (rearrange(x, "1 (k s) ... -> k s ...", k=shots) for x in (embeddings, masks))
    return episode_memory(matching, embeddings, masks, torch.ones(shots, *masks.shape[-2:], dtype=torch.bool))


def episode_memory(matching: MatchingAffinity, embeddings: Tensor, masks: Tensor, valid: Tensor) -> MatchingMemory:
    """The memory of one episode: embeddings (K, S, D, h, w), masks (K, S, H, W), valid (K, H, W)."""
    return MatchingMemory(*(x[None] for x in matching.remember(embeddings, masks, valid)))


def test_log_odds_are_high_on_the_support_object_and_low_elsewhere(matching: MatchingAffinity) -> None:
    memory = remembered(matching, *scene(2, slice(0, 2)))
    query, masks = scene(3, slice(3, 4))

    logits = matching(query, memory)

    inside = F.max_pool2d(masks.float(), 16).bool()
    assert logits.shape == (1, 3, SIDE, SIDE)
    assert (logits[inside] > 5).all()
    assert (logits[~inside] < -5).all()


def test_without_any_support_mask_every_pixel_is_negative(matching: MatchingAffinity) -> None:
    embeddings, masks = scene(2, slice(0, 2))

    logits = matching(noise(3, 1), remembered(matching, embeddings, torch.zeros_like(masks)))

    assert logits.isfinite().all()
    assert (logits < 0).all()


def test_a_support_that_is_all_object_makes_every_pixel_positive(matching: MatchingAffinity) -> None:
    embeddings, masks = scene(2, slice(0, 2))

    logits = matching(noise(3, 1), remembered(matching, embeddings, torch.ones_like(masks)))

    assert logits.isfinite().all()
    assert (logits > 0).all()


def test_an_absent_side_stays_finite_at_the_sharpest_temperature_and_learns(matching: MatchingAffinity) -> None:
    with torch.no_grad():
        matching.log_temperature.fill_(10.0)
    embeddings, masks = scene(2, slice(0, 2))

    logits = matching(-embeddings, remembered(matching, embeddings, torch.zeros_like(masks)))
    logits.sum().backward()

    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in matching.parameters() if p.grad is not None)


def test_the_order_of_support_frames_does_not_matter_and_each_mask_does(matching: MatchingAffinity) -> None:
    query, support = noise(1, 1), noise(3, 2)
    masks = torch.rand(1, 3, 16 * SIDE, 16 * SIDE, generator=torch.Generator().manual_seed(3)) > 0.7
    order = [2, 0, 1]

    straight = matching(query, remembered(matching, support, masks))

    turned = matching(query, remembered(matching, support[:, order], masks[:, order]))
    torch.testing.assert_close(straight, turned, atol=1e-5, rtol=1e-5)
    for frame in range(3):
        other = masks.clone()
        other[:, frame] = ~other[:, frame]
        assert not torch.allclose(matching(query, remembered(matching, support, other)), straight, atol=1e-3)


def test_repeating_the_support_does_not_change_the_evidence(matching: MatchingAffinity) -> None:
    """Evidence is a mean over tokens: shots of the same kind add certainty about the kind, not size."""
    query = noise(1, 1)
    embeddings, masks = scene(1, slice(0, 2))

    once = matching(query, remembered(matching, embeddings, masks))
    thrice = matching(query, remembered(matching, embeddings.repeat(1, 3, 1, 1, 1), masks.repeat(1, 3, 1, 1)))

    torch.testing.assert_close(once, thrice, atol=1e-5, rtol=1e-5)


def test_embeddings_are_unit_vectors_at_stride_16_and_siamese(matching: MatchingAffinity) -> None:
    f16, f32 = torch.randn(2, 3, 6, 4, 6), torch.randn(2, 3, 10, 2, 3)

    embedded = matching.embeddings((f16, f32))

    assert embedded.shape == (2, 3, DIM, 4, 6)
    torch.testing.assert_close(embedded.norm(dim=2), torch.ones(2, 3, 4, 6))
    torch.testing.assert_close(matching.embeddings((f16[1:], f32[1:])), embedded[1:], atol=1e-5, rtol=1e-5)


def test_padding_counts_neither_as_object_nor_as_surroundings(matching: MatchingAffinity) -> None:
    query, support, other = noise(1, 1), noise(2, 2), noise(2, 3)
    masks = torch.rand(1, 2, 16 * SIDE, 16 * SIDE, generator=torch.Generator().manual_seed(3)) > 0.7
    valid = torch.ones(1, 16 * SIDE, 16 * SIDE, dtype=torch.bool)
    valid[:, 32:], valid[:, :, 40:] = False, False  # two rows of tokens and a column of the rest; half of another
    seen = F.max_pool2d(valid[:, None].float(), 16).bool()

    memory = episode_memory(matching, support, masks & valid, valid)

    elsewhere = torch.where(seen[:, :, None], support, other)
    assert torch.equal(
        matching(query, memory), matching(query, episode_memory(matching, elsewhere, masks & valid, valid))
    )
    torch.testing.assert_close(memory.shares.sum(-1), F.avg_pool2d(valid.float(), 16).flatten().repeat(2)[None, None])
    cut = episode_memory(matching, support[..., :2, :2], masks[..., :32, :32], valid[..., :32, :32])
    assert not torch.allclose(matching(query, cut), matching(query, memory), atol=1e-3), "the half token counts"


def test_the_share_of_a_token_is_that_which_the_mask_covers(matching: MatchingAffinity) -> None:
    masks = torch.zeros(1, 1, 16 * SIDE, 16 * SIDE, dtype=torch.bool)
    masks[..., :16, :8] = True  # half of the first token

    memory = remembered(matching, noise(1, 1), masks)

    assert memory.shares[0, 0, 0].tolist() == [0.5, 0.5]
    assert memory.shares[0, 0, 1:, 0].sum() == 0


def test_a_memory_of_one_episode_serves_a_batch(matching: MatchingAffinity) -> None:
    memory = remembered(matching, *scene(2, slice(0, 2)))
    queries = torch.cat([noise(2, seed) for seed in range(3)])

    shared = SupportMemory([], memory).expand(3).matching
    together = matching(queries, shared)

    assert isinstance(shared, MatchingMemory)
    for clip in range(3):
        torch.testing.assert_close(together[clip : clip + 1], matching(queries[clip : clip + 1], memory))


def test_every_shot_has_one_vote_and_shots_without_a_mask_have_none(matching: MatchingAffinity) -> None:
    query, support = noise(3, 1), noise(4, 4)
    masks = torch.zeros(1, 4, 64, 64, dtype=torch.bool)
    masks[:, :, 16:48, 16:48] = True
    first, second = (
        matching(query, remembered(matching, support[:, part], masks[:, part])) for part in (slice(2), slice(2, 4))
    )
    both = matching(query, remembered(matching, support, masks, shots=2))
    assert torch.allclose(both, (first + second) / 2, atol=1e-4)
    masks[:, 2:] = False
    assert torch.allclose(matching(query, remembered(matching, support, masks, shots=2)), first, atol=1e-4)


def test_with_a_floor_the_best_pixels_reach_it_and_the_order_stays(matching: MatchingAffinity) -> None:
    query, memory = noise(4, 1), remembered(matching, *scene(2, slice(0, 2)))
    plain = matching(query, memory).detach()

    matching.floor = float(plain.max()) + 5.0
    raised = matching(query, memory).detach()
    matching.floor = float(plain.min())

    assert abs(float(raised.quantile(0.99)) - float(plain.max()) - 5.0) < 1e-4
    torch.testing.assert_close(raised - raised.max(), plain - plain.max())
    assert torch.equal(matching(query, memory), plain), "what is above the floor is left as it is"
