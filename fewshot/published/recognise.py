"""Which model a published checkpoint is of, read off the names and shapes of its entries."""

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoModel, PretrainedConfig, RobertaConfig

from episodes.errors import ConversionError
from fewshot.published.layout import HEAD, IMAGE, TEXT
from models.backbone import ImageEncoder
from models.config import AffinityConfig, MaskConfig, ModelConfig
from models.network import build_head
from models.text import load_text_config

# Published: every model has 8 attention heads (shapes do not tell), and every RoBERTa heads of width 64.
_HEADS, _TEXT_HEAD_WIDTH = 8, 64
# Blocks of the four stages -> timm's name (He et al. 2016, table 1).
_IMAGE_ENCODERS = {(3, 4, 6, 3): "resnet50", (3, 4, 23, 3): "resnet101"}
# Vocabulary, width, layers, feed-forward width, positions (two more than tokens) -> transformers' name.
_TEXT_ENCODERS = {(50265, 768, 12, 3072, 514): "roberta-base", (50265, 1024, 24, 4096, 514): "roberta-large"}


def recognise(published: Mapping[str, Tensor], text_encoder: str) -> ModelConfig:
    """The model section that fits: sizes from the shapes, all choices as published; only these values are set.

    A checkpoint with affinity weights is taken for the whole method, stages [self, cross]: those of its variants have
    the same entries. One without any (ReferFormer) becomes the variant that has none, stages []. Raises
    ConversionError where the entries that tell the sizes are absent.
    """
    dab = "tgt_embed.weight" in published
    levels = _size(published, "transformer.level_embed", 0)
    samples = _size(published, "transformer.decoder.layers.0.cross_attn.attention_weights.weight", 0)
    try:
        return ModelConfig(
            image_encoder=recognise_image_encoder(published),
            text_encoder=text_encoder,
            hidden=_size(published, "resizer.fc.weight", 0),
            heads=_HEADS,
            ffn=_size(published, "transformer.decoder.layers.0.linear1.weight", 0),
            levels=tuple(8 * 2**level for level in range(levels)),
            points=samples // (_HEADS * levels),
            encoder_layers=_count(published, "transformer.encoder.layers."),
            decoder_layers=_count(published, "transformer.decoder.layers."),
            queries=_size(published, "tgt_embed.weight" if dab else "query_embed.weight", 0),
            query_mode="dab" if dab else "text",
            fusion="multiply",
            spacetime=False,
            word_prior=False,
            affinity=AffinityConfig(
                stages=("self", "cross") if "query_qkv.query.weight" in published else (),
                support_frames="middle",
                background="keep",
                align_masks=False,
                pretransform=True,
            ),
            mask=MaskConfig(
                head="query",
                fine_width=_size(published, "pixel_decoder.adapter_1.weight", 0),
                mask_dim=_size(published, "pixel_decoder.mask_features.weight", 0),
                vl_strides=(4, 8, 16, 32),
            ),
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConversionError(f"no model has the checkpoint's shapes: {faults}") from error


def recognise_image_encoder(published: Mapping[str, Tensor]) -> str:
    """timm's name of the image encoder; ConversionError where it is neither of the two ResNets."""
    blocks = tuple(_count(published, f"backbone.0.body.layer{stage}.") for stage in range(1, 5))
    if blocks not in _IMAGE_ENCODERS or "backbone.0.body.layer1.0.conv3.weight" not in published:
        raise ConversionError(
            f"the image encoder of the checkpoint is neither a ResNet-50 nor a ResNet-101: its stages "
            f"backbone.0.body.layer1 to 4 have {list(blocks)} blocks, wanted {' or '.join(map(str, _IMAGE_ENCODERS))}"
        )
    return _IMAGE_ENCODERS[blocks]


def recognise_text_encoder(published: Mapping[str, Tensor]) -> RobertaConfig:
    """The RoBERTa that the checkpoint holds; numbers that no shape tells are those of the published RoBERTa."""
    hidden = _size(published, "text_encoder.embeddings.word_embeddings.weight", 1)
    return RobertaConfig(
        vocab_size=_size(published, "text_encoder.embeddings.word_embeddings.weight", 0),
        hidden_size=hidden,
        num_hidden_layers=_count(published, "text_encoder.encoder.layer."),
        num_attention_heads=max(1, hidden // _TEXT_HEAD_WIDTH),
        intermediate_size=_size(published, "text_encoder.encoder.layer.0.intermediate.dense.weight", 0),
        max_position_embeddings=_size(published, "text_encoder.embeddings.position_embeddings.weight", 0),
        type_vocab_size=_size(published, "text_encoder.embeddings.token_type_embeddings.weight", 0),
        layer_norm_eps=1e-5,
    )


def text_encoder_name(config: PretrainedConfig) -> str | None:
    """transformers' name of a text encoder of these sizes; None where no published RoBERTa has them."""
    return _TEXT_ENCODERS.get(_text_encoder_sizes(config))


def reject_other_architectures(published: Mapping[str, Tensor], model: ModelConfig) -> None:
    """ConversionError where the experiment's encoders are of other architectures than the checkpoint's."""
    faults = []
    image, wanted = recognise_image_encoder(published), model.image_encoder
    if wanted.split(".")[0] != image:  # after the dot, timm names weights of the same architecture
        faults.append(f"its image encoder is {image}, not {wanted} (set model.image_encoder={image})")
    sizes, name = _text_encoder_sizes(recognise_text_encoder(published)), model.text_encoder.rpartition("/")[2]
    known = {name: sizes for sizes, name in _TEXT_ENCODERS.items()}
    other = None if name in known else load_text_config(model.text_encoder)
    kind = "roberta" if other is None else other.model_type
    asked = known[name] if other is None else _text_encoder_sizes(other) if kind == "roberta" else "other sizes"
    if asked != sizes:
        faults.append(
            f"its text encoder is a roberta with (vocabulary, width, layers, feed-forward, positions) = {sizes}, "
            f"{model.text_encoder} is a {kind} with {asked}"
        )
    if faults:
        raise ConversionError(f"The checkpoint does not fit the experiment's model: {'; '.join(faults)}")


def empty_state(model: ModelConfig, text: PretrainedConfig) -> dict[str, Tensor]:
    """Names and shapes of a FewShotRVOS with this text encoder, as tensors without memory. Nothing is downloaded."""
    with torch.device("meta"):
        image = ImageEncoder(model.image_encoder, pretrained=False)
        head = build_head(model, image.channels, text.hidden_size)
        parts = {IMAGE: image.model, TEXT: AutoModel.from_config(text), HEAD: head}
    return {prefix + name: value for prefix, part in parts.items() for name, value in part.state_dict().items()}


def _text_encoder_sizes(config: PretrainedConfig) -> tuple[int, int, int, int, int]:
    """Vocabulary, width, layers, feed-forward width, positions."""
    sizes = (config.vocab_size, config.hidden_size, config.num_hidden_layers, config.intermediate_size)
    return (*sizes, config.max_position_embeddings)


def _count(published: Mapping[str, Tensor], prefix: str) -> int:
    """Number of different parts right behind the prefix."""
    return len({name.removeprefix(prefix).split(".")[0] for name in published if name.startswith(prefix)})


def _size(published: Mapping[str, Tensor], name: str, axis: int) -> int:
    if name not in published or published[name].ndim <= axis:
        raise ConversionError(
            f"this is not a checkpoint of CMA or ReferFormer: it has no {name!r} with {axis + 1} or more axes. "
            f"Its {len(published)} entries begin with {', '.join(list(published)[:3])}"
        )
    return int(published[name].shape[axis])
