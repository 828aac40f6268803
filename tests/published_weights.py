"""Small random state dicts in the published checkpoint layout, written down by hand: names and shapes alone.

Only the ResNet has its full size, because its layer counts are what tells it; all values are drawn once.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50
from torchvision.ops import FrozenBatchNorm2d
from transformers import RobertaConfig, RobertaModel

HIDDEN, FFN, QUERIES, LAYERS, LEVELS, POINTS, HEADS = 64, 32, 2, 2, 4, 2, 8
TEXT = RobertaConfig(
    vocab_size=40,
    hidden_size=64,
    num_hidden_layers=1,
    num_attention_heads=1,
    intermediate_size=48,
    max_position_embeddings=40,
    type_vocab_size=1,
    layer_norm_eps=1e-5,
)
Shapes = dict[str, tuple[int, ...]]


@cache
def body() -> ResNet:
    """A ResNet-50 with frozen batch norms, every weight and statistic drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = resnet50(norm_layer=FrozenBatchNorm2d).eval()
        for module in network.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.weight.uniform_(0.3, 0.7)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2.0)
    return network


@cache
def roberta() -> RobertaModel:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return RobertaModel(TEXT).eval()


def tiny_roberta() -> dict[str, Tensor]:
    return {name: value.detach() for name, value in roberta().state_dict().items()}


def published_weights(
    *, form: str = "text", affinity: bool = True, classes: int = 1, old_transformers: bool = True
) -> dict[str, Tensor]:
    """A whole checkpoint; ReferFormer's layout is the text-conditioned one without affinity."""
    state = published_head(form, affinity, classes)
    state |= {f"backbone.0.body.{name}": v for name, v in body().state_dict().items() if not name.startswith("fc.")}
    state |= {f"text_encoder.{name}": value for name, value in tiny_roberta().items()}
    if old_transformers:
        state["text_encoder.embeddings.position_ids"] = torch.arange(TEXT.max_position_embeddings)[None]
    return state


def published_head(form: str = "text", affinity: bool = True, classes: int = 1) -> dict[str, Tensor]:
    """Everything but the two encoders."""
    c = HIDDEN
    shapes: Shapes = {"transformer.level_embed": (LEVELS, c)}
    for layer in range(LAYERS):
        at = f"transformer.encoder.layers.{layer}"
        shapes |= _deformable(f"{at}.self_attn") | _norms(at, 2) | _ffn(at)
        at = f"transformer.decoder.layers.{layer}"
        shapes |= _deformable(f"{at}.cross_attn") | _attention(f"{at}.self_attn") | _norms(at, 3) | _ffn(at)
        shapes |= _linear(f"class_embed.{layer}", c, classes)
        shapes |= _mlp(f"bbox_embed.{layer}", [c, c, c, 4])
    if form == "text":
        shapes |= {"query_embed.weight": (QUERIES, c)} | _linear("transformer.reference_points", c, 2)
    else:
        shapes |= {"tgt_embed.weight": (QUERIES, c), "refpoint_embed.weight": (QUERIES, 4)}
        shapes |= _mlp("transformer.decoder.ref_point_head", [2 * c, c, c])
        shapes |= _mlp("transformer.decoder.query_scale", [c, c, c])
    for level, (channels, kernel) in enumerate([(512, 1), (1024, 1), (2048, 1), (2048, 3)]):
        shapes |= _convolution(f"input_proj.{level}.0", channels, c, kernel) | _norm(f"input_proj.{level}.1")
    shapes |= _linear("resizer.fc", TEXT.hidden_size, c) | _norm("resizer.layer_norm")
    shapes |= _attention("fusion_module.multihead_attn")
    for stage, channels in enumerate([256, c, c, c], start=1):
        shapes |= {f"pixel_decoder.adapter_{stage}.weight": (c, channels, 1, 1)}
        shapes |= {f"pixel_decoder.layer_{stage}.weight": (c, c, 3, 3)}
        shapes |= _norm(f"pixel_decoder.adapter_{stage}.norm") | _norm(f"pixel_decoder.layer_{stage}.norm")
        at = f"pixel_decoder.cross_attn_{stage}"
        shapes |= _attention(f"{at}.self_attn") | _attention(f"{at}.multihead_attn") | _ffn(at) | _norms(at, 3)
    shapes |= _convolution("pixel_decoder.mask_features", c, c, 3)
    # Three layers of a dynamic convolution of 8 channels over mask features and two coordinates, with their biases.
    shapes |= _mlp("controller", [c, c, c, (c + 2) * 8 + 8 * 8 + 8 + 8 + 8 + 1])
    if affinity:
        for side in ("support_qkv", "query_qkv"):
            for part in ("query", "Key", "Value"):
                shapes |= _convolution(f"{side}.{part}", c, c // 2, 3)
        shapes |= _convolution("conv_q", c, c // 2, 1)
        shapes |= {"layer_norm.weight": (c // 2,), "layer_norm.bias": (c // 2,)}
    generator = torch.Generator().manual_seed(3)
    state = {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    twins = {f"transformer.decoder.{name}": v for name, v in state.items() if name.startswith("bbox_embed.")}
    return {**state, **twins}


def frozen_features(frames: Tensor) -> list[Tensor]:
    """Features of `body` at strides 4, 8, 16 and 32 for normalised frames (N, 3, H, W)."""
    network = body()
    x = network.maxpool(network.relu(network.bn1(network.conv1(frames))))
    features = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        assert isinstance(stage, nn.Sequential)
        x = stage(x)
        features.append(x)
    return features


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _convolution(name: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def _norm(name: str) -> Shapes:
    return {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}


def _norms(name: str, count: int) -> Shapes:
    return {key: shape for n in range(1, count + 1) for key, shape in _norm(f"{name}.norm{n}").items()}


def _ffn(name: str) -> Shapes:
    return _linear(f"{name}.linear1", HIDDEN, FFN) | _linear(f"{name}.linear2", FFN, HIDDEN)


def _mlp(name: str, widths: list[int]) -> Shapes:
    layers = [_linear(f"{name}.layers.{n}", *widths[n : n + 2]) for n in range(len(widths) - 1)]
    return {key: shape for layer in layers for key, shape in layer.items()}


def _attention(name: str) -> Shapes:
    c = HIDDEN
    return {f"{name}.in_proj_weight": (3 * c, c), f"{name}.in_proj_bias": (3 * c,)} | _linear(f"{name}.out_proj", c, c)


def _deformable(name: str) -> Shapes:
    c, samples = HIDDEN, HEADS * LEVELS * POINTS
    return {
        **_linear(f"{name}.sampling_offsets", c, 2 * samples),
        **_linear(f"{name}.attention_weights", c, samples),
        **_linear(f"{name}.value_proj", c, c),
        **_linear(f"{name}.output_proj", c, c),
    }
