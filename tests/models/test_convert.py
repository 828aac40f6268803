"""Published names to ours: strict in both directions."""

import pytest
import torch
from torch import Tensor

from models.convert import ConversionError, from_published, our_name

# A few published names of every part, with the shapes of a tiny model.
PUBLISHED = {
    "class_embed.0.weight": (1, 8),
    "bbox_embed.0.layers.0.weight": (8, 8),
    "transformer.decoder.bbox_embed.0.layers.0.weight": (8, 8),
    "transformer.decoder.layers.0.linear1.weight": (16, 8),
    "pixel_decoder.adapter_1.weight": (8, 4, 1, 1),
    "pixel_decoder.adapter_1.norm.weight": (8,),
    "support_qkv.Key.weight": (4, 8, 3, 3),
    "backbone.0.body.bn1.running_mean": (4,),
}


def _published() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) for name, shape in PUBLISHED.items()}
    state["transformer.decoder.bbox_embed.0.layers.0.weight"] = state["bbox_embed.0.layers.0.weight"]
    return state


def _own() -> dict[str, Tensor]:
    own = {our_name(name): torch.zeros(shape) for name, shape in PUBLISHED.items()}
    return own | {"trunk.image.model.bn1.num_batches_tracked": torch.tensor(7)}


def test_names_become_ours() -> None:
    assert our_name("pixel_decoder.cross_attn_3.linear2.bias") == "head.fpn.stages.16.block.ffn.linear2.bias"
    assert our_name("pixel_decoder.adapter_4.norm.bias") == "head.fpn.stages.32.adapter.1.bias"
    assert our_name("input_proj.3.0.weight") == "head.project.64.0.weight"
    assert our_name("query_qkv.Value.bias") == "head.affinity.query_qkv.value.bias"
    assert our_name("transformer.decoder.bbox_embed.1.layers.2.bias") == our_name("bbox_embed.1.layers.2.bias")


def test_every_value_arrives_and_batch_counters_stay() -> None:
    published = _published()

    conversion = from_published(published, _own())

    assert set(conversion.state) == set(_own())
    assert conversion.dropped == ()
    for name, ours in conversion.renamed.items():
        assert torch.equal(conversion.state[ours], published[name])
    assert conversion.state["trunk.image.model.bn1.num_batches_tracked"] == 7


def test_affinity_weights_that_a_variant_does_not_have_are_dropped_and_listed() -> None:
    own = _own()
    del own["head.affinity.support_qkv.key.weight"]

    assert from_published(_published(), own).dropped == ("support_qkv.Key.weight",)


def _unknown(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    published["module.strange"] = torch.zeros(1)


def _missing(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    del published["class_embed.0.weight"]


def _reshaped(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    published["class_embed.0.weight"] = torch.zeros(2, 8)


def _untied(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    published["bbox_embed.0.layers.0.weight"] = torch.zeros(8, 8)


def _homeless(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    del own["head.decoder.class_embed.0.weight"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_unknown, "no name of the published"),
        (_missing, "get no value"),
        (_reshaped, r"shape \(2, 8\), but .* has \(1, 8\)"),
        (_untied, "twin disagree"),
        (_homeless, "does not have"),
    ],
)
def test_whatever_does_not_fit_is_refused_by_name(spoil, message) -> None:
    published, own = _published(), _own()
    spoil(published, own)

    with pytest.raises(ConversionError, match=message):
        from_published(published, own)
