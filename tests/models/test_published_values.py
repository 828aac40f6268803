"""The published network keeps its values, where the folder of published ones is absent too.

`published_values.json` was written by this file (`python tests/models/test_published_values.py`) when all tests of
test_reference.py held: values of our code, of a small head with weights and inputs that numpy draws. It says that the
function is still the one that equalled the published network, not what the published network gives.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from episodes.types import Pyramid
from models.config import AffinityConfig, LossConfig, MaskConfig, ModelConfig
from models.head import Head
from models.network import build_head
from models.set_loss import LayerPrediction, set_losses, targets_from_masks
from models.trunk import Encoded

VALUES = Path(__file__).with_name("published_values.json")
VARIANTS: dict[str, dict[str, Any]] = {
    "cma": {"stages": ("self", "cross"), "query_mode": "dab"},
    "cma_text": {"stages": ("self", "cross"), "query_mode": "text"},
    "self": {"stages": ("self",), "query_mode": "text"},
    "base": {"stages": (), "query_mode": "text"},
}
CHANNELS, TEXT = {4: 8, 8: 12, 16: 16, 32: 20}, 24
QUERY, SUPPORT, PICTURE = (64, 96), (64, 64), (60, 90)  # (height, width); the query is padded from PICTURE
FRAMES, WORDS = 3, 4


def drawn(name: str, *shape: int) -> Tensor:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def build(stages: tuple[str, ...], query_mode: str) -> Head:
    """The network of the release in small; every weight is a function of its name."""
    config = ModelConfig(
        hidden=64,
        heads=4,
        ffn=48,
        encoder_layers=1,
        decoder_layers=2,
        queries=3,
        query_mode=query_mode,  # type: ignore[arg-type]
        fusion="multiply",
        spacetime=False,
        word_prior=False,
        affinity=AffinityConfig(
            stages=stages,  # type: ignore[arg-type]
            support_frames="middle",
            background="keep",
            align_masks=False,
            pretransform=True,
        ),
        mask=MaskConfig(head="query", fine_width=64, mask_dim=32),
    )
    head = build_head(config, CHANNELS, TEXT).eval()
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            scale = 0.5 if "norm" in name or parameter.ndim < 2 else 1.0 / parameter[0].numel() ** 0.5
            parameter.copy_(scale * drawn(name, *parameter.shape) + (parameter.ndim == 1 and name.endswith("weight")))
    return head


def clip(name: str, size: tuple[int, int], picture: tuple[int, int]) -> tuple[Encoded, Tensor]:
    """What the trunk would give of a clip, and masks of its object."""
    h, w = size
    features = {s: drawn(f"{name}-f{s}", 1, FRAMES, c, h // s, w // s) for s, c in CHANNELS.items()}
    masks = torch.zeros(1, FRAMES, h, w, dtype=torch.bool)
    masks[..., 12:40, 20:50] = True
    masks[:, 0, :, :30] = False
    valid = torch.zeros(1, h, w, dtype=torch.bool)
    valid[:, : picture[0], : picture[1]] = True
    encoded = Encoded(
        pyramid=Pyramid(*features.values()),
        valid=valid,
        times=torch.linspace(0, 1, FRAMES)[None],
        words=drawn(f"{name}-words", 1, WORDS, TEXT),
        word_valid=torch.ones(1, WORDS, dtype=torch.bool),
        sentence=drawn(f"{name}-sentence", 1, TEXT),
    )
    return encoded, masks


def values(variant: str) -> dict[str, list[float]]:
    """Every output in a few numbers, all loss terms, and the gradient's norm by part of the head."""
    head = build(**VARIANTS[variant])
    query, truth = clip("query", QUERY, PICTURE)
    prediction = head(*clip("support", SUPPORT, SUPPORT), query)
    assert prediction.queries is not None
    assert prediction.masks is not None
    layers = [
        LayerPrediction(logits[None], boxes[None], masks)
        for logits, boxes, masks in zip(
            prediction.queries.logits, prediction.queries.boxes, prediction.masks, strict=True
        )
    ]
    losses = set_losses(layers, targets_from_masks(truth, query.valid), LossConfig())
    losses.total.backward()  # type: ignore[no-untyped-call]
    found: dict[str, list[float]] = {"loss.total": [float(losses.total.detach())], "matched": losses.matched.tolist()}
    found |= {f"loss.{name}": [float(value.detach())] for name, value in losses.terms.items()}
    outputs = {"logits": layers[-1].logits, "boxes": layers[-1].boxes, "masks": layers[-1].masks}
    for name, output in outputs.items():
        flat = output.detach().flatten().double()
        places = torch.linspace(0, len(flat) - 1, 7).long()
        found[name] = [float(flat.mean()), float(flat.std()), *flat[places].tolist()]
    for part, module in head.named_children():
        if gradients := [p.grad.norm() for p in module.parameters() if p.grad is not None]:
            found[f"gradient.{part}"] = [float(torch.stack(gradients).norm())]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_gives_the_values_that_it_gave_when_it_equalled_the_published_network(variant: str) -> None:
    expected = json.loads(VALUES.read_text(encoding="utf-8"))[variant]

    found = values(variant)

    assert found.keys() == expected.keys()
    for name, numbers in expected.items():
        scale = max(map(abs, numbers))
        assert found[name] == pytest.approx(numbers, abs=1e-3 * scale + 1e-7), name


def test_the_variants_differ() -> None:
    expected = json.loads(VALUES.read_text(encoding="utf-8"))

    assert len({tuple(expected[variant]["masks"]) for variant in VARIANTS}) == len(VARIANTS)


if __name__ == "__main__":
    VALUES.write_text(json.dumps({variant: values(variant) for variant in VARIANTS}, indent=1) + "\n", encoding="utf-8")
