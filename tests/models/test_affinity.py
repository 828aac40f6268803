"""The affinity block: what of the support enters, and what never does."""

import pytest
import torch
from torch import Tensor

from models.affinity import CrossModalAffinity, pretransform

HIDDEN, SIZE = 32, (4, 4)


def block(
    stages: tuple[str, ...] = ("self", "cross"), background: str = "exclude", frames: str = "all"
) -> CrossModalAffinity:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CrossModalAffinity(
            HIDDEN, dropout=0.0, stages=stages, support_frames=frames, background=background
        ).eval()  # type: ignore[arg-type]


def features(frames: int, seed: int) -> Tensor:
    return torch.randn(1, frames, HIDDEN, *SIZE, generator=torch.Generator().manual_seed(seed))


def left_half(frames: int) -> Tensor:
    """Masks at the size of the features, so that every token is inside or outside."""
    masks = torch.zeros(1, frames, *SIZE, dtype=torch.bool)
    masks[..., :2] = True
    return masks


@torch.no_grad()
def related(affinity: CrossModalAffinity, query: Tensor, support: Tensor, masks: Tensor, shots: int = 1) -> Tensor:
    out = affinity(query, affinity.remember(*(x.unflatten(1, (shots, -1)) for x in (support, masks))))
    assert isinstance(out, Tensor)
    return out


def test_the_published_transform_has_its_two_known_values_and_is_odd() -> None:
    x = torch.tensor([0.01, 1.0, 0.0, 3.0])

    g = pretransform(x)

    assert g[0].item() == pytest.approx(0.0953, abs=1e-4)
    assert g[1].item() == pytest.approx(1.5687, abs=1e-4)
    assert g[2].item() == 0
    torch.testing.assert_close(pretransform(-x), -g)


def test_the_published_transform_grows_with_its_argument() -> None:
    assert (pretransform(torch.linspace(-5, 5, 101)).diff() > 0).all()


def test_base_is_the_query_plus_the_masked_support_frame_by_frame() -> None:
    query, support, masks = features(3, 1), features(2, 2), left_half(2)

    out = related(block(stages=()), query, support, masks)

    masked = support * masks[:, :, None]
    torch.testing.assert_close(out, query + masked[:, [0, 1, 0]])  # the fewer support frames repeat


@pytest.mark.parametrize("background", ["exclude", "keep"])
@pytest.mark.parametrize("stages", [(), ("self",), ("cross",), ("self", "cross")])
def test_what_lies_outside_the_mask_never_changes_the_output(stages: tuple[str, ...], background: str) -> None:
    affinity, query, support, masks = block(stages, background), features(2, 1), features(2, 2), left_half(2)
    elsewhere = torch.where(masks[:, :, None], support, features(2, 3))

    assert torch.equal(related(affinity, query, support, masks), related(affinity, query, elsewhere, masks))


@pytest.mark.parametrize("stages", [(), ("self",), ("cross",), ("self", "cross")])
def test_what_lies_inside_the_mask_changes_the_output(stages: tuple[str, ...]) -> None:
    affinity, query, support, masks = block(stages), features(2, 1), features(2, 2), left_half(2)
    inside = torch.where(masks[:, :, None], features(2, 3), support)

    assert not torch.allclose(related(affinity, query, support, masks), related(affinity, query, inside, masks))


@pytest.mark.parametrize(("background", "same"), [("exclude", True), ("keep", False)])
def test_a_frame_without_the_object_takes_attention_only_where_background_is_kept(background: str, same: bool) -> None:
    affinity, query, support = block(background=background), features(2, 1), features(2, 2)
    masks = left_half(2)
    masks[:, 1] = False

    with_empty_frame = related(affinity, query, support, masks)
    without = related(affinity, query, support[:, :1], masks[:, :1])

    assert torch.allclose(with_empty_frame, without, atol=1e-5) == same


def test_without_any_object_the_query_is_told_nothing_of_the_support() -> None:
    affinity, query = block(), features(2, 1)
    nothing = torch.zeros(1, 2, *SIZE, dtype=torch.bool)

    first, second = (related(affinity, query, features(2, seed), nothing) for seed in (2, 3))

    assert torch.equal(first, second)
    assert first.isfinite().all()


def test_a_partly_covered_token_counts_by_its_share() -> None:
    """Coverage is the weight of a token in the softmax, so one token at a tenth yields to a whole one."""
    affinity = block(stages=("cross",))
    support = features(1, 2)
    memory = affinity.remember(support[:, None], left_half(1)[:, None])
    tokens = affinity.norm(torch.randn(1, 3, HIDDEN // 2, generator=torch.Generator().manual_seed(5)))
    whole = affinity._attend_to_support(tokens, memory)
    memory.coverage = torch.where(torch.arange(16) == 0, memory.coverage, memory.coverage * 1e-5)

    first_alone = affinity._attend_to_support(tokens, memory)

    assert memory.coverage[0, 0] == 1
    assert not torch.allclose(whole, first_alone, atol=1e-3)


def test_published_memory_keeps_the_middle_frame_of_the_last_shot() -> None:
    affinity, support, masks = block(frames="middle"), features(6, 2), left_half(6)

    memory = affinity.remember(support.unflatten(1, (2, 3)), masks.unflatten(1, (2, 3)))

    torch.testing.assert_close(memory.masked, (support * masks[:, :, None])[:, 4:5])  # 2 shots of 3 frames


def test_the_order_of_support_frames_does_not_change_attention() -> None:
    affinity, query, support = block(), features(2, 1), features(3, 2)
    masks = left_half(3)
    masks[:, 1] = ~masks[:, 1]
    order = [2, 0, 1]

    straight, turned = (
        related(affinity, query, support, masks),
        related(affinity, query, support[:, order], masks[:, order]),
    )

    torch.testing.assert_close(straight, turned, atol=1e-5, rtol=1e-5)


def test_a_memory_of_another_size_fits_the_query() -> None:
    affinity = block()
    memory = affinity.remember(features(2, 2)[:, None], torch.full((1, 1, 2, 6, 3), 0.5))

    assert memory.masked.shape == (1, 2, HIDDEN, 6, 3)
    assert memory.coverage.shape == (1, 2 * 6 * 3)
    assert (memory.coverage == 0.5).all()


def test_weights_that_no_stage_reads_are_not_trained() -> None:
    def trained(*stages: str) -> set[str]:
        return {name for name, p in block(stages).named_parameters() if p.requires_grad and "qkv" in name}

    assert not any(name.startswith("support_qkv.query") for name in trained("self", "cross"))
    assert not any(name.startswith(("query_qkv.key", "query_qkv.value")) for name in trained("cross"))
    assert {"query_qkv.key.weight", "query_qkv.value.weight"} <= trained("self", "cross")
