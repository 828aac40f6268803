"""Position de-bias of ViT features: the place can no longer be read from them, and what they show still can.

A random ViT hardly knows the place; these have position embeddings as strong as what a patch shows, smooth as learned
ones are.
"""

import pytest
import torch
from torch import Tensor

from episodes.errors import WeightsError
from fewshot.runs.encoders import image_fingerprint
from models.backbone import ImageEncoder
from models.position_bias import noise_pictures, position_directions
from models.positions import sine_2d
from models.trunk import Trunk
from models.vit import ViTPyramid
from tests.random_clips import random_clips, small_config

NAME = "vit_tiny_patch16_224"
SIZE = (128, 160)
FRAMES = 24


def vit(debias: bool) -> ImageEncoder:
    """The same random ViT with and without de-bias."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ImageEncoder(NAME, pretrained=False, debias=debias)
    assert isinstance(encoder.model, ViTPyramid)
    embedding = encoder.model.model.pos_embed  # (1, 1 + 14 * 14, 192)
    place = sine_2d(torch.ones(1, 14, 14, dtype=torch.bool), 192)[0].flatten(1).T
    with torch.no_grad():
        embedding[0, 1:] = 0.5 * place
    return encoder


@pytest.fixture(scope="module")
def plain() -> ImageEncoder:
    return vit(debias=False)


@pytest.fixture(scope="module")
def debiased() -> ImageEncoder:
    return vit(debias=True)


def tokens(features: Tensor) -> Tensor:
    """(1, T, c, h, w) -> (T h w, c)."""
    return features[0].permute(0, 2, 3, 1).flatten(0, 2)


def grid_places() -> Tensor:
    """(patches, 2): row and column of each patch."""
    rows, columns = (torch.arange(side // 16) for side in SIZE)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2).float()


def unexplained(features: Tensor, wanted: Tensor) -> float:
    """How badly a linear probe, fitted on the first half of the tokens, predicts `wanted` (tokens, k) on the second:
    the share of its variance that is left.
    """
    half = len(features) // 2
    ones = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    train, test = ones[:half], ones[half:]
    ridge = train.T @ train + 1e-2 * half * torch.eye(ones.shape[1], dtype=torch.double)
    weights = torch.linalg.solve(ridge, train.T @ wanted[:half].double())
    rest = test @ weights - wanted[half:].double()
    return float((rest.square().mean(0) / wanted[half:].double().var(0)).mean())


def pictures() -> tuple[Tensor, Tensor]:
    """Frames (1, FRAMES, 3, H, W) of flat 16-pixel tiles in random colours; the colour of each tile (tiles, 3)."""
    generator = torch.Generator().manual_seed(1)
    tiles = torch.randint(0, 256, (1, FRAMES, 3, SIZE[0] // 16, SIZE[1] // 16), generator=generator)
    frames = tiles.repeat_interleave(16, 3).repeat_interleave(16, 4).to(torch.uint8)
    return frames, tokens(tiles.float())


def test_the_place_is_harder_to_read_and_the_content_is_not(plain: ImageEncoder, debiased: ImageEncoder) -> None:
    frames, colours = pictures()
    places = grid_places().repeat(FRAMES, 1)

    before, after = (tokens(encoder(frames).f16) for encoder in (plain, debiased))

    assert unexplained(before, places) < 0.1
    assert unexplained(after, places) > 5 * unexplained(before, places)
    assert unexplained(after, colours) < unexplained(before, colours) + 0.01


def test_the_most_similar_patch_of_another_picture_no_longer_lies_near_the_same_place(
    plain: ImageEncoder, debiased: ImageEncoder
) -> None:
    """What matching suffers from: random tiles have nothing in common but their places."""
    frames, _ = pictures()

    def distance(encoder: ImageEncoder) -> float:
        features = tokens(encoder(frames).f16)
        features = torch.nn.functional.normalize(features - features.mean(0), dim=1).unflatten(0, (FRAMES, -1))
        best = torch.einsum("tqc,tkc->tqk", features[1:], features[:-1]).argmax(-1)
        places = grid_places()
        return float((places[best] - places).abs().sum(-1).mean())

    by_chance = float((grid_places()[:, None] - grid_places()).abs().sum(-1).mean())
    assert distance(plain) < 0.6 * by_chance
    assert distance(debiased) > 0.8 * by_chance


def test_every_depth_loses_directions_of_its_own_and_the_picture_none(
    plain: ImageEncoder, debiased: ImageEncoder
) -> None:
    frames, _ = pictures()

    before, after = plain(frames[:, :2]), debiased(frames[:, :2])

    assert torch.equal(before.f4, after.f4)
    for level in ("f8", "f16", "f32"):
        assert getattr(after, level).shape == getattr(before, level).shape
        assert 0.2 < getattr(after, level).norm() / getattr(before, level).norm() < 1


def test_directions_are_found_again_and_are_orthonormal(debiased: ImageEncoder) -> None:
    def directions(encoder: ImageEncoder) -> list[Tensor]:
        assert isinstance(encoder.model, ViTPyramid)
        assert encoder.model.position_bias is not None
        return encoder.model.position_bias.directions(SIZE, torch.device("cpu"))

    for first, second in zip(directions(debiased), directions(vit(debias=True)), strict=True):
        assert torch.equal(first, second)
        assert 0 < first.shape[1] <= 192 / 8
        torch.testing.assert_close(first.T @ first, torch.eye(first.shape[1]))


def test_other_weights_have_other_directions() -> None:
    encoder = vit(debias=True)
    frames = random_clips(1, size=(64, 96)).frames
    assert frames is not None
    before = encoder(frames).f16
    other = ViTPyramid(NAME, 16, pretrained=False).state_dict()

    encoder.model.load_state_dict(other)
    changed = encoder(frames).f16
    fresh = ImageEncoder(NAME, pretrained=False, debias=True)
    fresh.model.load_state_dict(other)

    assert not torch.equal(changed, before)
    assert torch.equal(changed, fresh(frames).f16)


def test_pure_noise_has_hardly_any_direction_and_a_place_has_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(32, 64, 10, 10, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(64, generator=generator), dim=0)
    ramp = torch.linspace(-2, 2, 10).expand(10, 10)

    assert position_directions(noise).shape[1] <= 3
    found = position_directions(noise + direction[:, None, None] * ramp)
    assert (found.T @ direction).norm() > 0.95


def test_noise_pictures_are_the_same_in_every_call() -> None:
    assert torch.equal(noise_pictures((32, 64)), noise_pictures((32, 64)))
    assert abs(float(noise_pictures((32, 64)).mean())) < 0.02


@pytest.mark.parametrize("name", ["package:efficientnet_lite0", "resnet18"])
def test_position_debias_is_for_vits(name: str) -> None:
    with pytest.raises(WeightsError, match=f"model.position_debias: image_encoder '{name}' is not a ViT"):
        ImageEncoder(name, pretrained=False, debias=True)


def test_cached_features_with_and_without_it_are_apart(plain: ImageEncoder, debiased: ImageEncoder) -> None:
    assert image_fingerprint(plain) != image_fingerprint(debiased)


def test_the_config_decides() -> None:
    trunk = Trunk(small_config(image_encoder="vit_tiny_patch16_224", pretrained=False, position_debias=True))

    pyramid = trunk.pyramid(random_clips(1, size=(64, 96)))

    assert trunk.image.debias
    assert pyramid.f16.isfinite().all()
