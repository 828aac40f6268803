"""The frozen image encoder: frames -> features at strides 4, 8, 16 and 32, and a semantic map where it is asked for."""

from typing import Self, cast

import timm
import torch
from einops import rearrange
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import FeatureInfo
from torch import Tensor, nn

from episodes.errors import WeightsError
from episodes.types import Pyramid
from models.cnn import (
    LITE0,
    TRUNK_STRIDES,
    packaged_lite0,
    semantic_channels,
    semantic_map,
    timm_cnn,
    timm_strides,
    without_semantic_map,
)
from models.vit import ViTPyramid


class ImageEncoder(nn.Module):
    """A timm model in eval mode, without gradients. Frames come in as uint8 RGB; it normalises them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, pretrained: bool = True, *, semantic: bool = False, debias: bool = False) -> None:
        """`semantic`: the pyramid's map of that name is asked for; `debias`: a ViT's features are to be free of the
        place. Raises WeightsError where the encoder has no such map, or is no ViT.
        """
        super().__init__()
        self.name = name
        self.semantic = semantic
        self.debias = debias
        self.model = _model(name, pretrained, semantic, debias)
        self.channels = dict(zip(TRUNK_STRIDES, _channels(self.model), strict=True))
        self.semantic_channels = semantic_channels(self.model) if semantic else None
        if name == LITE0:
            # The package's model was trained on (x - 127) / 128 (its README).
            mean, std = [127.0] * 3, [128.0] * 3
        else:
            config = timm.get_pretrained_cfg(name)
            mean = [255.0 * value for value in (config.mean if config else IMAGENET_DEFAULT_MEAN)]
            std = [255.0 * value for value in (config.std if config else IMAGENET_DEFAULT_STD)]
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
        maps = self.model(pixels)
        if self.semantic:
            maps.append(semantic_map(self.model, maps[-1]))
        return Pyramid(*(rearrange(f, "(n t) c h w -> n t c h w", n=n) for f in maps))


def _model(name: str, pretrained: bool, semantic: bool, debias: bool) -> nn.Module:
    """Frames -> list of maps at TRUNK_STRIDES. Raises WeightsError."""
    strides = [] if name == LITE0 else timm_strides(name)
    if len(strides) > 1 and len(set(strides)) == 1:
        if semantic:
            raise without_semantic_map(name)
        return ViTPyramid(name, strides[0], pretrained, debias=debias)
    if debias:
        raise WeightsError(
            f"model.position_debias: image_encoder {name!r} is not a ViT, and only ViTs are de-biased; set "
            "model.position_debias=false, or name a ViT"
        )
    if name == LITE0:
        return packaged_lite0(pretrained, semantic)
    return timm_cnn(name, strides, pretrained, semantic)


def _channels(model: nn.Module) -> list[int]:
    return model.channels if isinstance(model, ViTPyramid) else cast(FeatureInfo, model.feature_info).channels()
