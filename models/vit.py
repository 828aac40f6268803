"""ViT trunks: a timm vision transformer has features at one stride; a pyramid is made of them without new weights.

f8, f16 and f32 are the outputs of the blocks at a half, three quarters and the end of its depth, each after the model's
last norm, resampled to their stride. f4 is the picture itself, its 4 x 4 pixels side by side: a ViT knows nothing finer
than its patch, and stretching its features over four times as many places would only fill memory. The head's learned
1 x 1 convolution of f4 is thus a small stem of its own.

Letters: P pictures, H W their size, p the model's patch size, c its channels, h = H / 16, w = W / 16.
"""

import math
from typing import Any, cast

import timm
import torch.nn.functional as F
from timm.models import FeatureInfo
from torch import Tensor, nn

from models.cnn import unusable
from models.position_bias import PositionBias

GRID_STRIDE = 16  # pixels of the given picture for each patch of the ViT
MIN_BLOCKS = 4  # with fewer, two of the three depths would be the same block


class ViTPyramid(nn.Module):
    """Frames -> list of four maps, as convolutional trunks give them.

    Pictures are resized so that one patch covers 16 x 16 of their pixels (a patch of 14 pixels: to 14/16). So every
    patch size fits every picture, and features lie exactly where their pixels lie. Larger pictures
    (`data.short_side`) give a finer grid. Position embeddings are interpolated to it.
    """

    def __init__(self, name: str, patch: int, pretrained: bool = True, *, debias: bool = False) -> None:
        """`name` in timm, whose features have the stride `patch`; `debias`: f8, f16 and f32 without the part that
        depends on the place alone. Raises WeightsError naming it.
        """
        super().__init__()
        self.patch = patch
        try:
            model: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
        except TypeError as error:
            raise unusable(name, f"it takes pictures of one size alone ({error})") from error
        except (OSError, RuntimeError, ValueError, AttributeError) as error:
            raise unusable(name, error) from error
        if not hasattr(model, "forward_intermediates"):
            raise unusable(name, "it does not give the features of its inner blocks (forward_intermediates)")
        info = cast(FeatureInfo, model.feature_info)
        if len(info) < MIN_BLOCKS:
            raise unusable(name, f"it has {len(info)} blocks, and the pyramid needs {MIN_BLOCKS}")
        self.depths = [math.ceil(len(info) * share) - 1 for share in (1 / 2, 3 / 4, 1)]
        model.prune_intermediate_layers(self.depths, prune_norm=False, prune_head=True)  # the classifier
        self.model = model
        self.position_bias = PositionBias(self.blocks) if debias else None
        self.register_load_state_dict_post_hook(self._on_other_weights)
        self.channels = [3 * 4 * 4, *(info[depth]["num_chs"] for depth in self.depths)]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """pixels (P, 3, H, W) normalised, H and W multiples of 32 -> (P, 48 or c, H / s, W / s), s = 4, 8, 16, 32."""
        maps = self.blocks(pixels)
        if self.position_bias is not None:
            maps = self.position_bias.remove(maps, (pixels.shape[-2], pixels.shape[-1]))
        half, late, last = maps
        finer = (pixels.shape[-2] // 8, pixels.shape[-1] // 8)
        return [
            F.pixel_unshuffle(pixels.contiguous(), 4),
            F.interpolate(half, size=finer, mode="bilinear"),
            late,
            F.avg_pool2d(last, 2),
        ]

    def _on_other_weights(self, *_: object) -> None:
        if self.position_bias is not None:
            self.position_bias.forget()

    def blocks(self, pixels: Tensor) -> list[Tensor]:
        """pixels (P, 3, H, W) normalised -> features (P, c, h, w) of the three depths."""
        h, w = (side // GRID_STRIDE for side in pixels.shape[-2:])
        size = (h * self.patch, w * self.patch)
        if size != tuple(pixels.shape[-2:]):
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        features: list[Tensor] = self.model.forward_intermediates(
            pixels, indices=self.depths, norm=True, intermediates_only=True
        )
        return features
