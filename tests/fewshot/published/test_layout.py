"""Published state dicts to ours and back: strict in both directions, and every entry accounted for."""

import pytest
import torch
from torch import Tensor

from episodes.errors import ConversionError, UserError
from fewshot.published.layout import from_published, our_name, published_names, to_published
from fewshot.published.recognise import empty_state, recognise, recognise_image_encoder, recognise_text_encoder
from tests.published_weights import published_head, published_weights, tiny_roberta

# A few published names of every part, with the shapes of a tiny model.
PUBLISHED = {
    "class_embed.0.weight": (1, 8),
    "bbox_embed.0.layers.0.weight": (8, 8),
    "transformer.decoder.bbox_embed.0.layers.0.weight": (8, 8),
    "transformer.decoder.layers.0.linear1.weight": (16, 8),
    "pixel_decoder.adapter_1.weight": (8, 4, 1, 1),
    "pixel_decoder.adapter_1.norm.weight": (8,),
    "support_qkv.Key.weight": (4, 8, 3, 3),
    "tgt_embed.weight": (2, 8),
    "refpoint_embed.weight": (2, 4),
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


def test_names_of_every_part_become_ours_and_theirs_again() -> None:
    every = {*published_weights(form="text"), *published_weights(form="dab")}
    for name in every:
        assert name in published_names(our_name(name))
    twins = {name for name in every if len(published_names(our_name(name))) == 2}
    assert {name.removeprefix("transformer.decoder.").split(".")[0] for name in twins} == {"bbox_embed"}


@pytest.mark.parametrize(
    "name",
    [
        "strange.weight",
        "transformer.decoder.class_embed.0.weight",
        "transformer.decoder.queries.query_embed.weight",
        "transformer.encoder.level_embed",
        "pixel_decoder.cross_attn_1.multihead_attn.q_proj_weight",
    ],
)
def test_a_name_outside_the_layout_has_none_of_ours(name) -> None:
    assert our_name(name) is None


def test_every_value_arrives_and_batch_counters_are_left() -> None:
    published = _published()

    conversion = from_published(published, _own())

    assert set(conversion.state) | set(conversion.left) == set(_own())
    assert conversion.carried == {}
    for name, ours in conversion.renamed.items():
        assert torch.equal(conversion.state[ours], published[name])
    assert list(conversion.left) == ["trunk.image.model.bn1.num_batches_tracked"]


def test_affinity_weights_that_a_variant_does_not_have_are_carried_along() -> None:
    own = _own()
    del own["head.affinity.support_qkv.key.weight"]

    assert list(from_published(_published(), own).carried) == ["support_qkv.Key.weight"]


def test_a_checkpoint_without_affinity_leaves_it_at_its_initial_value() -> None:
    published = _published()
    del published["support_qkv.Key.weight"]

    conversion = from_published(published, _own())

    assert conversion.left["head.affinity.support_qkv.key.weight"] == "the checkpoint has no affinity"


def test_queries_of_the_other_form_are_carried_and_ours_are_left() -> None:
    published = _published()
    del published["tgt_embed.weight"], published["refpoint_embed.weight"]
    published |= {"query_embed.weight": torch.ones(2, 8), "transformer.reference_points.bias": torch.ones(2)}

    conversion = from_published(published, _own())

    assert set(conversion.carried) == {"query_embed.weight", "transformer.reference_points.bias"}
    queries = {name.removeprefix("head.decoder.queries.") for name in conversion.left if "queries" in name}
    assert queries == {"tgt_embed.weight", "refpoint_embed.weight"}


def test_a_class_head_of_other_classes_is_carried_with_both_numbers() -> None:
    published = _published() | {"class_embed.0.weight": torch.zeros(65, 8)}

    conversion = from_published(published, _own())

    assert conversion.carried == {"class_embed.0.weight": "class head of 65 classes, this model has 1"}
    assert "head.decoder.class_embed.0.weight" in conversion.left


def test_a_part_to_be_re_initialised_takes_no_value_whatever_its_shape() -> None:
    published = _published() | {"tgt_embed.weight": torch.zeros(9, 8)}

    conversion = from_published(published, _own(), ["decoder.class_embed", "decoder.queries.tgt_embed"])

    assert set(conversion.carried) == {"class_embed.0.weight", "tgt_embed.weight"}
    assert {"head.decoder.class_embed.0.weight", "head.decoder.queries.tgt_embed.weight"} <= set(conversion.left)
    with pytest.raises(ConversionError, match=r"no part 'decoder\.class'"):
        from_published(published, _own(), ["decoder.class"])


def _unknown(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    published["module.strange"] = torch.zeros(1)


def _missing(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    del published["class_embed.0.weight"]


def _half_a_form(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    del published["refpoint_embed.weight"]


def _reshaped(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    published["class_embed.0.weight"] = torch.zeros(2, 9)


def _untied(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    published["bbox_embed.0.layers.0.weight"] = torch.zeros(8, 8)


def _without_place(published: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    del own["head.decoder.class_embed.0.weight"]


FAULTS = [
    (_unknown, "'module.strange' is not a name of the published"),
    (_missing, "'head.decoder.class_embed.0.weight' gets no value: the checkpoint has no class_embed.0.weight"),
    (_half_a_form, "'head.decoder.queries.refpoint_embed.weight' gets no value"),
    (_reshaped, r"shape \(2, 9\), but .* has \(1, 8\)"),
    (_untied, "have different values"),
    (_without_place, "does not have"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS)
def test_whatever_does_not_fit_is_rejected_by_name(spoil, message) -> None:
    published, own = _published(), _own()
    spoil(published, own)

    with pytest.raises(ConversionError, match=message):
        from_published(published, own)


def test_all_faults_are_listed_at_once() -> None:
    published, own = _published(), _own()
    for spoil in (_unknown, _half_a_form, _reshaped, _untied):
        spoil(published, own)

    with pytest.raises(UserError, match="4 errors") as rejected:
        from_published(published, own)
    for name in ("module.strange", "refpoint_embed", r"(2, 9)", "different values"):
        assert name in str(rejected.value)


@pytest.mark.parametrize("form", ["text", "dab"])
@pytest.mark.parametrize("affinity", [True, False])
def test_the_whole_layout_goes_to_the_model_that_it_is_of_and_back(form, affinity) -> None:
    published = published_weights(form=form, affinity=affinity)
    model = recognise(published, "somewhere")
    assert (model.query_mode, model.affinity.stages) == (form, ("self", "cross") if affinity else ())

    conversion = from_published(published, empty_state(model, recognise_text_encoder(published)))
    carried = {name: published[name] for name in conversion.carried}
    exported = to_published(conversion.state, carried)

    assert len(conversion.renamed) + len(conversion.carried) == len(published)
    assert set(conversion.carried) == {"text_encoder.embeddings.position_ids"}
    assert exported.state.keys() == published.keys()
    assert all(torch.equal(value, published[name]) for name, value in exported.state.items())


def test_a_trained_part_replaces_the_carried_one_and_says_so() -> None:
    ours = {"head.decoder.class_embed.0.weight": torch.ones(1, 8)}
    carried = {"class_embed.0.weight": torch.zeros(65, 8), "query_embed.weight": torch.zeros(2, 8)}

    exported = to_published(ours, carried)

    assert torch.equal(exported.state["class_embed.0.weight"], torch.ones(1, 8))
    assert (exported.carried, exported.superseded) == (("query_embed.weight",), ("class_embed.0.weight",))


def test_parts_that_the_layout_has_no_place_for_are_all_listed() -> None:
    state = dict.fromkeys(["head.matching.elsewhere", "head.decoder.class_embed.0.bias", "head.dense.layers.0.bias"])

    with pytest.raises(ConversionError, match=r"2 parts .*head\.matching\.elsewhere, head\.dense\.layers\.0\.bias"):
        to_published({name: torch.zeros(1) for name in state}, {})


def test_the_image_encoder_is_told_by_the_number_of_its_blocks() -> None:
    from torchvision.models import resnet50, resnet101
    from torchvision.ops import FrozenBatchNorm2d

    for build in (resnet50, resnet101):
        with torch.device("meta"):
            body = build(norm_layer=FrozenBatchNorm2d).state_dict()
        published = published_head() | {f"text_encoder.{name}": value for name, value in tiny_roberta().items()}
        published |= {f"backbone.0.body.{name}": v for name, v in body.items() if not name.startswith("fc.")}
        assert recognise_image_encoder(published) == build.__name__
        own = empty_state(recognise(published, "somewhere"), recognise_text_encoder(published))
        assert len(from_published(published, own).renamed) == len(published)


@pytest.mark.parametrize("stage", [1, 3])
def test_another_image_encoder_is_rejected_with_its_blocks(stage) -> None:
    published = {name: v for name, v in published_weights().items() if f"layer{stage}.2." not in name}
    with pytest.raises(ConversionError, match=r"neither a ResNet-50 nor a ResNet-101.* blocks"):
        recognise(published, "somewhere")


def test_what_is_no_checkpoint_of_this_kind_is_rejected_with_what_it_holds() -> None:
    with pytest.raises(ConversionError, match=r"not a checkpoint of CMA or ReferFormer.*begin with fc\.weight"):
        recognise({"fc.weight": torch.zeros(2, 2)}, "somewhere")
