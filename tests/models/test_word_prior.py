"""The word prior: it reads pixels, places, motion and words, and no padding of either."""

import pytest
import torch
from torch import Tensor

from episodes.types import Pyramid
from models.word_prior import WordPrior

CHANNELS, TEXT = {8: 6, 16: 8, 32: 10}, 12


@pytest.fixture
def prior() -> WordPrior:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return WordPrior(CHANNELS, TEXT, hidden=16, dim=8).eval()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pyramid(clips: int, frames: int, seed: int = 0) -> Pyramid:
    """Features of pictures of 64 x 96 pixels."""
    f8, f16, f32 = (drawn(clips, frames, c, 64 // s, 96 // s, seed=seed + s) for s, c in CHANNELS.items())
    return Pyramid(torch.empty(clips, frames, 1, 16, 24), f8, f16, f32)


def everywhere(clips: int) -> Tensor:
    return torch.ones(clips, 4, 6, dtype=torch.bool)


def still(clips: int, frames: int) -> Tensor:
    """Times of frames that are all the same moment: nothing moves."""
    return torch.zeros(clips, frames)


def test_words_and_pixels_change_the_log_odds(prior: WordPrior) -> None:
    words, valid = drawn(2, 5, TEXT), torch.ones(2, 5, dtype=torch.bool)

    logits = prior(pyramid(2, 3), everywhere(2), still(2, 3), words, valid)

    assert logits.shape == (2, 3, 4, 6)
    assert logits.isfinite().all()
    assert not torch.allclose(
        prior(pyramid(2, 3), everywhere(2), still(2, 3), drawn(2, 5, TEXT, seed=1), valid), logits
    )
    assert not torch.allclose(prior(pyramid(2, 3, seed=1), everywhere(2), still(2, 3), words, valid), logits)


def test_words_in_padding_are_never_read(prior: WordPrior) -> None:
    words, valid = drawn(1, 5, TEXT), torch.tensor([[True, True, True, False, False]])
    other = torch.where(valid[..., None], words, 7.0)

    logits = prior(pyramid(1, 2), everywhere(1), still(1, 2), words, valid)

    assert torch.equal(prior(pyramid(1, 2), everywhere(1), still(1, 2), other, valid), logits)
    shorter = prior(pyramid(1, 2), everywhere(1), still(1, 2), words[:, :3], valid[:, :3])
    torch.testing.assert_close(shorter, logits, atol=1e-5, rtol=1e-5)


def test_the_order_of_words_does_not_matter_to_it(prior: WordPrior) -> None:
    """Order is in the words themselves: the text encoder has read the sentence."""
    words, valid = drawn(1, 4, TEXT), torch.ones(1, 4, dtype=torch.bool)

    turned = prior(pyramid(1, 1), everywhere(1), still(1, 1), words[:, [2, 0, 3, 1]], valid)

    torch.testing.assert_close(
        turned, prior(pyramid(1, 1), everywhere(1), still(1, 1), words, valid), atol=1e-5, rtol=1e-5
    )


def test_clips_are_read_by_themselves_and_so_are_frames_of_one_moment(prior: WordPrior) -> None:
    features, words, valid = pyramid(2, 3), drawn(2, 5, TEXT), torch.ones(2, 5, dtype=torch.bool)

    together = prior(features, everywhere(2), still(2, 3), words, valid)

    alone = prior(features.map(lambda f: f[1:, 2:]), everywhere(1), still(1, 1), words[1:], valid[1:])
    torch.testing.assert_close(together[1:, 2:], alone, atol=1e-5, rtol=1e-5)


def test_the_place_of_a_pixel_counts_in_the_picture_without_its_padding(prior: WordPrior) -> None:
    features = Pyramid(*(torch.zeros(1, 1, c, 64 // s, 96 // s) for s, c in ({4: 1} | CHANNELS).items()))
    words, valid = drawn(1, 2, TEXT), torch.ones(1, 2, dtype=torch.bool)
    narrow = everywhere(1)
    narrow[..., 3:] = False

    whole, part = (prior(features, shown, still(1, 1), words, valid) for shown in (everywhere(1), narrow))

    assert whole.std() > 0
    assert not torch.allclose(whole, part)


def test_motion_counts_and_a_frame_alone_has_none(prior: WordPrior) -> None:
    words, valid = drawn(1, 4, TEXT), torch.ones(1, 4, dtype=torch.bool)
    features = pyramid(1, 3)
    passing = torch.tensor([[0.0, 0.5, 1.0]])

    moving = prior(features, everywhere(1), passing, words, valid)

    standing = prior(features, everywhere(1), still(1, 3), words, valid)
    assert not torch.allclose(moving, standing)
    alone = prior(features.map(lambda f: f[:, 1:2]), everywhere(1), passing[:, 1:2], words, valid)
    torch.testing.assert_close(alone, standing[:, 1:2], atol=1e-5, rtol=1e-5)


def test_every_weight_gets_a_finite_gradient(prior: WordPrior) -> None:
    words, valid = drawn(2, 5, TEXT), torch.tensor([[True] * 5, [True] + [False] * 4])

    prior(pyramid(2, 2), everywhere(2), torch.tensor([[0.0, 0.5], [0.0, 1.0]]), words, valid).square().mean().backward()

    assert [name for name, p in prior.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
