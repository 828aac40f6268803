"""ViT trunks, with random weights: a pyramid for every patch size, aligned with the picture, and nothing trained."""

import pytest
import timm
import torch
from timm.models import VisionTransformer
from torch import Tensor

from episodes.errors import WeightsError
from models.backbone import ImageEncoder
from models.network import FewShotRVOS, build_head
from models.trunk import Trunk
from models.vit import ViTPyramid
from tests.random_clips import random_clips, random_support, small_config

FAMILIES = {
    "vit_tiny_patch16_224": 192,
    "vit_small_patch8_224": 384,
    "vit_small_patch14_dinov2": 384,
    "vit_small_patch14_reg4_dinov2": 384,
    "vit_small_patch16_dinov3": 384,
    "vit_base_patch16_siglip_224": 768,
    "vit_base_patch32_clip_224": 768,
    "eva02_tiny_patch14_224": 192,
}


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest) -> ImageEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ImageEncoder(request.param, pretrained=False)


def frames_with_box(box: tuple[slice, slice] | None = None, size: tuple[int, int] = (128, 128)) -> Tensor:
    """One grey frame (1, 1, 3, H, W), brighter inside the box."""
    frames = torch.full((1, 1, 3, *size), 90, dtype=torch.uint8)
    if box is not None:
        frames[(..., *box)] = 240
    return frames


def test_a_vit_gives_every_stride_in_any_picture_size(encoder: ImageEncoder) -> None:
    frames = random_clips(1, frames=2, size=(64, 96)).frames
    assert frames is not None

    pyramid = encoder(frames)

    channels = FAMILIES[encoder.name]
    assert encoder.channels == {4: 48, 8: channels, 16: channels, 32: channels}
    for stride in (4, 8, 16, 32):
        feature: Tensor = getattr(pyramid, f"f{stride}")
        assert feature.shape == (1, 2, encoder.channels[stride], 64 // stride, 96 // stride)
        assert feature.isfinite().all()
        assert not torch.allclose(feature[:, 0], feature[:, 1], atol=0.01)
        assert not feature.requires_grad


def test_an_object_lies_in_the_features_where_it_lies_in_the_picture(encoder: ImageEncoder) -> None:
    plain = encoder(frames_with_box())
    changed = encoder(frames_with_box((slice(32, 64), slice(64, 96))))

    for stride in (4, 8, 16, 32):
        difference = (getattr(changed, f"f{stride}") - getattr(plain, f"f{stride}")).abs().sum((0, 1, 2))
        place = torch.nn.functional.adaptive_avg_pool2d(difference[None, None], (4, 4))[0, 0]
        assert place.flatten().argmax() == 1 * 4 + 2, f"stride {stride}"


def test_the_deeper_a_map_the_coarser_its_stride(encoder: ImageEncoder) -> None:
    model = encoder.model
    assert isinstance(model, ViTPyramid)

    assert [depth + 1 for depth in model.depths] == [6, 9, 12]


def test_the_finest_map_is_the_picture_itself() -> None:
    encoder = ImageEncoder("vit_tiny_patch16_224", pretrained=False)
    frames = random_clips(1).frames
    assert frames is not None

    f4 = encoder(frames).f4[0]

    pixels = (frames[0].float() - encoder.mean) / encoder.std
    torch.testing.assert_close(torch.nn.functional.pixel_shuffle(f4, 4), pixels)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_the_last_map_is_what_the_whole_model_says_of_the_picture(name: str) -> None:
    encoder = ImageEncoder(name, pretrained=False)
    whole = timm.create_model(name, num_classes=0, dynamic_img_size=True).eval()
    assert isinstance(encoder.model, ViTPyramid)
    whole.load_state_dict(encoder.model.model.state_dict(), strict=False)
    frames = random_clips(1).frames
    assert frames is not None

    tokens = whole.forward_features((frames[0].float() - encoder.mean) / encoder.std)[:, whole.num_prefix_tokens :]

    grid = tokens.detach().transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(encoder(frames).f32[0], torch.nn.functional.avg_pool2d(grid, 2), atol=1e-4, rtol=1e-4)


def test_a_frame_has_the_same_features_in_every_batch() -> None:
    encoder = ImageEncoder("vit_small_patch14_dinov2", pretrained=False)
    frames = random_clips(3).frames
    assert frames is not None

    together, alone = encoder(frames), encoder(frames[1:2])

    for level in ("f4", "f8", "f16", "f32"):
        torch.testing.assert_close(getattr(together, level)[1:2], getattr(alone, level), atol=1e-4, rtol=1e-4)


def test_a_vit_without_inner_features_is_rejected_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(VisionTransformer, "forward_intermediates")

    with pytest.raises(WeightsError, match=r"'vit_tiny_patch16_224' cannot serve as trunk: .*forward_intermediates"):
        ImageEncoder("vit_tiny_patch16_224", pretrained=False)


def test_a_vit_that_takes_one_picture_size_alone_is_rejected_by_name() -> None:
    with pytest.raises(WeightsError, match=r"'convit_tiny' cannot serve as trunk: it takes pictures of one size alone"):
        ImageEncoder("convit_tiny", pretrained=False)


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")

    with pytest.raises(WeightsError, match=r"image_encoder 'vit_small_patch14_dinov2\.lvd142m' cannot serve as trunk"):
        ImageEncoder("vit_small_patch14_dinov2.lvd142m")


def test_a_network_answers_on_a_vit_trunk_and_its_head_learns() -> None:
    """Gradients reach the head and stop at the trunk."""
    config = small_config(image_encoder="vit_tiny_patch16_224", pretrained=False)
    trunk = Trunk(config)
    network = FewShotRVOS(config, trunk, build_head(config, trunk.image.channels, trunk.text.dim))

    prediction = network(random_support(1), random_clips(1))
    assert prediction.dense is not None
    prediction.dense.sum().backward()

    assert prediction.dense.isfinite().all()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.head.parameters())
    assert all(p.grad is None for p in network.trunk.parameters())
