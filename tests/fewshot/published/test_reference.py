"""The published network, fixture by fixture: same weights, same inputs, same values, losses and gradients.

Any folder of the same form may be given in CMA_REFERENCE; sizes, frame, layer and query counts are read from it.
"""

import functools
import importlib.util
import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from episodes.types import Pyramid
from fewshot.published.layout import Conversion, from_published, our_name
from models.backbone import ImageEncoder
from models.config import AffinityConfig, LossConfig, MaskConfig, ModelConfig
from models.network import build_head
from models.set_loss import LayerPrediction, Targets, set_losses
from models.trunk import Encoded
from tests.paths import REFERENCE

FOLDER = REFERENCE
NAMES = sorted(path.name.removesuffix(".keys.json") for path in FOLDER.glob("*.keys.json")) or ["absent"]
TERMS = {"class": "ce", "box": "bbox", "giou": "giou", "mask_focal": "mask", "dice": "dice"}  # ours -> published

pytestmark = [pytest.mark.reference, pytest.mark.parametrize("name", NAMES)]


class Published(nn.Module):
    """FewShotRVOS with the fixtures' text encoder: they give token ids and normalised pixels, not sentences."""

    def __init__(self, config: ModelConfig, text: RobertaConfig) -> None:
        super().__init__()
        self.trunk = nn.Module()
        self.trunk.image = ImageEncoder("resnet50", pretrained=False)
        self.trunk.text = nn.Module()
        self.trunk.text.model = RobertaModel(text)
        self.head = build_head(config, self.trunk.image.channels, text.hidden_size)


@dataclass
class Run:
    """Expected values and ours by the published names, gradient norms by published parameter name."""

    expected: dict[str, Tensor]
    found: dict[str, Tensor]
    gradients: dict[str, float]
    conversion: Conversion
    model: Published


def _weights(name: str) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("reference_weights", FOLDER / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arrays = module.reference_state_dict(FOLDER / f"{name}.keys.json")
    return {key: torch.from_numpy(np.array(value)) for key, value in arrays.items()}


def _count(keys: dict[str, list[int]], prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in keys if key.startswith(prefix)})


def _model_config(keys: dict[str, list[int]], expected: dict[str, Tensor]) -> ModelConfig:
    dab = "tgt_embed.weight" in keys
    stages: tuple[str, ...] = ()
    if "gradnorm.query_qkv.query.weight" in expected:
        stages = ("self", "cross") if "gradnorm.support_qkv.Value.weight" in expected else ("self",)
    return ModelConfig(
        image_encoder="resnet50",
        pretrained=False,
        word_prior=False,
        hidden=keys["resizer.fc.weight"][0],
        ffn=keys["transformer.encoder.layers.0.linear1.weight"][0],
        encoder_layers=_count(keys, "transformer.encoder.layers."),
        decoder_layers=_count(keys, "transformer.decoder.layers."),
        queries=keys["tgt_embed.weight" if dab else "query_embed.weight"][0],
        query_mode="dab" if dab else "text",
        fusion="multiply",
        spacetime=False,
        affinity=AffinityConfig(stages=stages, support_frames="middle", background="keep", pretransform=True),
        mask=MaskConfig(head="query"),
    )


def _text_config(keys: dict[str, list[int]]) -> RobertaConfig:
    vocabulary, width = keys["text_encoder.embeddings.word_embeddings.weight"]
    return RobertaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=_count(keys, "text_encoder.encoder.layer."),
        num_attention_heads=12,
        intermediate_size=keys["text_encoder.encoder.layer.0.intermediate.dense.weight"][0],
        max_position_embeddings=keys["text_encoder.embeddings.position_embeddings.weight"][0],
        pad_token_id=1,
    )


def _padded(x: Tensor) -> Tensor:
    """Right and bottom padding of the last two axes with zeros, to multiples of 32."""
    return F.pad(x, (0, -x.shape[-1] % 32, 0, -x.shape[-2] % 32))


def _encode(model: Published, expected: dict[str, Tensor], side: str) -> Encoded:
    frames = expected[f"in.{side}_frames"]
    with torch.no_grad():
        features = model.trunk.image.model(_padded(frames))
        text = model.trunk.text.model(expected[f"in.{side}_tokens"])
    words = text.last_hidden_state
    return Encoded(
        pyramid=Pyramid(*(feature[None] for feature in features)),
        valid=_padded(torch.ones(1, *frames.shape[-2:])).bool(),
        times=torch.linspace(0, 1, len(frames))[None],
        words=words,
        word_valid=torch.ones(words.shape[:2], dtype=torch.bool),
        sentence=text.pooler_output,
    )


@functools.cache
def _run(name: str) -> Run:
    if name == "absent":
        pytest.skip(f"no published values in {FOLDER}; CMA_REFERENCE names their folder")
    expected = load_file(FOLDER / f"{name}.safetensors")
    keys = json.loads((FOLDER / f"{name}.keys.json").read_text())
    model = Published(_model_config(keys, expected), _text_config(keys)).eval()
    conversion = from_published(_weights(name), model.state_dict())
    model.load_state_dict({**model.state_dict(), **conversion.state}, strict=True)

    found: dict[str, Tensor] = {}

    def remember(prefix: str, maps: list[Tensor]) -> None:
        found.update({f"{prefix}.{level}": feature for level, feature in enumerate(maps)})

    encoder = model.head.encoder
    encoder.register_forward_pre_hook(lambda _, args: remember("mid.affinity", args[0]))
    encoder.register_forward_hook(lambda _, __, memories: remember("mid.memory", memories))
    query = _encode(model, expected, "query")
    # Published: the support's mask is not padded with its frames, so it is slightly misaligned.
    masks, truth = expected["in.support_masks"].bool()[None], _padded(expected["in.query_masks"].bool()[None])
    prediction = model.head(_encode(model, expected, "support"), masks, query)
    queries = prediction.queries
    found |= {"mid.hs": queries.hidden, "mid.inter_references": queries.boxes}
    found["out.reference_points"] = queries.boxes[-2][None, ..., :2]

    layers = [
        LayerPrediction(logits[None], boxes[None], masks)
        for logits, boxes, masks in zip(queries.logits, queries.boxes, prediction.masks, strict=True)
    ]
    for index, layer in enumerate(layers):
        prefix = "out" if index == len(layers) - 1 else f"out.aux.{index}"
        found[f"{prefix}.pred_logits"] = layer.logits
        found[f"{prefix}.pred_boxes"] = layer.boxes
        found[f"{prefix}.pred_masks"] = layer.masks

    targets = Targets(truth, expected["in.query_boxes"][None], truth.flatten(2).any(2))
    losses = set_losses(layers, targets, LossConfig())
    losses.total.backward()
    found |= {"loss.total": losses.total, "match.query": losses.matched}
    for term, value in losses.terms.items():
        base, _, index_ = term.rpartition("_") if term[-1].isdigit() else (term, "", "")
        found[f"loss.loss_{TERMS[base]}" + (f"_{index_}" if index_ else "")] = value

    ours = dict(model.named_parameters())
    published = {key.removeprefix("gradnorm.") for key in expected if key.startswith("gradnorm.")}
    gradients = {}
    for parameter in published:
        gradient = ours[our_name(parameter)].grad
        gradients[parameter] = 0.0 if gradient is None else float(gradient.norm())
    return Run(expected, {key: value.detach() for key, value in found.items()}, gradients, conversion, model)


def _assert_equal(run: Run, prefix: str) -> None:
    names = [key for key in run.expected if key.startswith(prefix) and "cardinality_error" not in key]
    assert names
    for key in names:
        expected, found = run.expected[key], run.found[key]
        assert found.shape == expected.shape, key
        tolerance = 1e-3 if key.endswith("pred_masks") else 1e-4
        error = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
        assert error <= tolerance, f"{key} differs by {error:.1e} of its largest magnitude"


def test_affinity_memory_and_queries_equal_the_published_ones(name: str) -> None:
    _assert_equal(_run(name), "mid.")


def test_scores_boxes_and_masks_of_every_decoder_layer_equal_the_published_ones(name: str) -> None:
    _assert_equal(_run(name), "out.")


def test_every_loss_term_and_the_matched_query_equal_the_published_ones(name: str) -> None:
    run = _run(name)
    _assert_equal(run, "loss.")
    assert run.found["match.query"].tolist() == run.expected["match.query"].tolist()


def test_every_gradient_norm_equals_the_published_one(name: str) -> None:
    run = _run(name)
    # A bias before a softmax has gradient zero but for rounding, which scales with the other gradients.
    rounding = 1e-7 * max(run.gradients.values())
    for parameter, found in run.gradients.items():
        expected = float(run.expected[f"gradnorm.{parameter}"])
        assert abs(found - expected) <= 1e-3 * expected + rounding, f"{parameter}: {found} instead of {expected}"


def test_no_parameter_has_a_gradient_that_the_published_network_does_not_have(name: str) -> None:
    run = _run(name)
    known = {our_name(parameter) for parameter in run.gradients}
    for parameter, value in run.model.named_parameters():
        if value.grad is not None and bool(value.grad.any()):
            assert parameter in known, parameter


def test_every_published_parameter_has_its_place_but_for_affinity_weights_that_a_variant_never_reads(name: str) -> None:
    run = _run(name)
    assert len(run.conversion.renamed) + len(run.conversion.carried) == len(_weights(name))
    stages = run.model.head.config.affinity.stages
    unread = {"layer_norm", "conv_q", "query_qkv", "support_qkv"} if not stages else {"support_qkv"}
    carried = {key.split(".")[0] for key in run.conversion.carried}
    assert carried == (set() if "cross" in stages else unread)
