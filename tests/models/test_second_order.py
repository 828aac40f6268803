"""The twice differentiable forms of sampling and attention: the values and gradients of the fast ones."""

from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch.nn import functional as F

from models.objective import objective
from models.second_order import gather_bilinear, sample, twice_differentiable
from tests.random_clips import annotated_clips, random_support, small_network


def maps_and_grid(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps of 5 x 7 cells, and points of which a third lie outside; the last ones on the borders and at centres."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 5, 7, generator=generator, dtype=dtype)
    grid = 3 * torch.rand(2, 4, 50, 2, generator=generator, dtype=dtype) - 1.5
    grid[:, 0, :6] = torch.tensor([[-1, -1], [1, 1], [0, 0], [1, -1], [-1.2, 0], [9, 9]], dtype=dtype)
    return maps.requires_grad_(), grid.requires_grad_()


def grid_sample(maps: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_gathers_read_what_grid_sample_reads_and_have_its_gradients(dtype: torch.dtype, close: float) -> None:
    maps, grid = maps_and_grid(dtype)
    factor = torch.randn(2, 3, 4, 50, generator=torch.Generator().manual_seed(1), dtype=dtype)

    found, expected = (read(maps, grid) for read in (gather_bilinear, grid_sample))

    torch.testing.assert_close(found, expected, atol=close, rtol=close)
    gradients = [torch.autograd.grad((read * factor).sum(), (maps, grid)) for read in (found, expected)]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=10 * close, rtol=10 * close)


def test_points_that_are_not_finite_read_nothing_outside_the_map() -> None:
    maps, grid = maps_and_grid(torch.float32)
    broken = grid.detach().clone()
    broken[0, 0, 0] = float("nan")
    broken[0, 0, 1] = 1e30

    found = gather_bilinear(maps, broken)

    assert found[0, :, 0, 0].isnan().all()
    assert (found[0, :, 0, 1] == 0).all()


def test_the_second_derivative_of_the_gathers_is_right() -> None:
    maps, grid = maps_and_grid(torch.float64)
    inside = grid.detach()[:, 1:2, :5].requires_grad_()

    assert torch.autograd.gradgradcheck(gather_bilinear, (maps, inside))


def test_the_slow_forms_are_used_inside_the_context_alone() -> None:
    maps, grid = maps_and_grid(torch.float32)
    tokens = torch.randn(1, 2, 6, 8, requires_grad=True)

    def second(attended: torch.Tensor) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(attended.square().sum(), tokens, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), tokens)[0]

    with patch("models.second_order.gather_bilinear", wraps=gather_bilinear) as gathered:
        with twice_differentiable():
            sample(maps, grid)
            attended = F.scaled_dot_product_attention(tokens, tokens, tokens)
        assert gathered.call_count == 1
        sample(maps, grid)
        assert gathered.call_count == 1
    assert second(attended).isfinite().all()
    with pytest.raises(RuntimeError, match="not implemented"):
        second(F.scaled_dot_product_attention(tokens, tokens, tokens))


VARIANTS: dict[str, dict[str, Any]] = {
    "hybrid": {},
    "dense": {"mask": {"head": "dense"}},
    "query": {"mask": {"head": "query"}},
    "dab": {"query_mode": "dab", "levels": (8, 16, 32, 64), "mask": {"head": "query", "vl_strides": (4, 8, 16, 32)}},
    "published fusion and affinity": {
        "fusion": "multiply",
        "spacetime": False,
        "word_prior": False,
        "affinity": {
            "stages": ("self", "cross"),
            "background": "keep",
            "pretransform": True,
            "support_frames": "middle",
        },
    },
    "no affinity": {"affinity": {"stages": ()}},
    "self": {"affinity": {"stages": ("self",)}},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_variant_of_the_head_can_be_differentiated_twice_with_the_same_loss(changes: dict[str, Any]) -> None:
    network = small_network(**changes)
    support, (query, truth) = random_support(2), annotated_clips(1, seed=1)
    known, asked = network.trunk(support.clips), network.trunk(query)
    weights = [parameter for parameter in network.head.parameters() if parameter.requires_grad]

    def loss() -> torch.Tensor:
        return objective(network.head(known, support.masks, asked), truth, query.valid, network.config.loss)["total"]

    with twice_differentiable():
        slow = loss()
    first = [g for g in torch.autograd.grad(slow, weights, create_graph=True, allow_unused=True) if g is not None]
    second = torch.autograd.grad(sum(g.square().sum() for g in first), weights, allow_unused=True)

    torch.testing.assert_close(slow, loss(), atol=1e-4, rtol=1e-5)
    assert all(gradient is None or gradient.isfinite().all() for gradient in second)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in second) > 0.5 * len(weights)
