"""The frozen image encoder: frames -> features at strides 4, 8, 16 and 32."""

from typing import Self, cast

import timm
import torch
from einops import rearrange
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import FeatureInfo
from torch import Tensor, nn

from episodes.errors import WeightsError
from episodes.types import Pyramid
from models.weights import EFFICIENTNET_LITE0, packaged_weights

TRUNK_STRIDES = (4, 8, 16, 32)


class ImageEncoder(nn.Module):
    """A timm model in eval mode, without gradients. Frames come in as uint8 RGB; it normalises them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, pretrained: bool = True) -> None:
        super().__init__()
        self.name = name
        if name == "package:efficientnet_lite0":
            model = _packaged_lite0(pretrained)
            # The package's model was trained on (x - 127) / 128 (its README).
            mean, std = [127.0] * 3, [128.0] * 3
        else:
            model = _features_only(name, pretrained)
            config = timm.get_pretrained_cfg(name)
            mean = [255.0 * value for value in (config.mean if config else IMAGENET_DEFAULT_MEAN)]
            std = [255.0 * value for value in (config.std if config else IMAGENET_DEFAULT_STD)]
        self.model = model
        self.channels = dict(zip(TRUNK_STRIDES, cast(FeatureInfo, model.feature_info).channels(), strict=True))
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: batch statistics of a frozen encoder never move."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Pyramid:
        """frames (N, T, 3, H, W) uint8, H and W multiples of 32 -> features (N, T, c, H / s, W / s)."""
        n = frames.shape[0]
        pixels = (rearrange(frames, "n t c h w -> (n t) c h w").float() - self.mean) / self.std
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.model(pixels)
        return Pyramid(*(rearrange(f, "(n t) c h w -> n t c h w", n=n) for f in features))


def _features_only(name: str, pretrained: bool) -> nn.Module:
    try:
        model = timm.create_model(name, pretrained=False, features_only=True)
        strides = cast(FeatureInfo, model.feature_info).reduction()
        indices = tuple(strides.index(stride) for stride in TRUNK_STRIDES)
        return timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=indices)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"image_encoder {name!r} cannot serve as trunk: {error}. Give a timm model that supports features_only "
            f"at strides {TRUNK_STRIDES}, such as resnet50, or package:efficientnet_lite0"
        ) from error


def _packaged_lite0(pretrained: bool) -> nn.Module:
    features = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4))
    if not pretrained:
        return features
    path = packaged_weights(EFFICIENTNET_LITE0)
    published = torch.load(path, map_location="cpu", weights_only=True)
    values = [value for name, value in published.items() if not name.endswith("num_batches_tracked")]
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    # Same network, other names: both list tensors in forward order, so position decides (247 of 247 shapes agree).
    if [state[name].shape for name in names] != [value.shape for value in values]:
        raise WeightsError(
            f"{path} does not hold the tensors of tf_efficientnet_lite0 in order ({len(values)} tensors)"
        )
    state |= zip(names, values, strict=True)
    features.load_state_dict({name: state[name] for name in features.state_dict()})
    return features
