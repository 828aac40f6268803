"""The query decoder and its heads."""

import pytest
import torch
from torch import Tensor

from models.decoder import DecoderOutput, QueryDecoder, inverse_sigmoid

SIZES = [(8, 8), (4, 4), (2, 2), (1, 1)]


def _decoder(mode: str, layers: int = 2) -> QueryDecoder:
    torch.manual_seed(0)
    return QueryDecoder(16, heads=2, levels=4, points=3, ffn=32, layers=layers, dropout=0.0, queries=5, mode=mode)  # type: ignore[arg-type]


def _decode(decoder: QueryDecoder, sentence: Tensor) -> DecoderOutput:
    generator = torch.Generator().manual_seed(1)
    memories = [torch.randn(len(sentence), 16, *size, generator=generator) for size in SIZES]
    valid = [torch.ones(len(sentence), *size, dtype=torch.bool) for size in SIZES]
    return decoder(memories, valid, sentence)


@pytest.mark.parametrize("mode", ["text", "dab"])
def test_every_layer_says_scores_and_boxes_for_each_query(mode: str) -> None:
    output = _decode(_decoder(mode), torch.randn(3, 16))

    assert output.hidden.shape == (2, 3, 5, 16)
    assert output.boxes.shape == (2, 3, 5, 4)
    assert output.logits.shape == (2, 3, 5, 1)


def test_at_the_start_a_query_is_improbable_and_its_box_small_and_centred_on_its_reference() -> None:
    decoder, sentence = _decoder("text", layers=1), torch.randn(3, 16)
    output = _decode(decoder, sentence)

    assert torch.allclose(output.boxes[0, ..., :2], decoder.queries.start(sentence)[1], atol=1e-5)
    assert torch.allclose(output.boxes[0, ..., 2:], torch.tensor(-2.0).sigmoid())
    assert output.logits.mean().sigmoid() < 0.05


def test_the_sentence_changes_text_queries_and_leaves_dab_queries_alone() -> None:
    for mode, differs in (("text", True), ("dab", False)):
        decoder = _decoder(mode)
        one, other = (_decode(decoder, torch.full((1, 16), value)) for value in (0.0, 1.0))
        one_more = _decode(decoder, torch.randn(1, 16, generator=torch.Generator().manual_seed(3)))
        assert torch.equal(one.hidden, other.hidden) is not differs
        assert torch.equal(one.hidden, one_more.hidden) is not differs


def test_a_later_layer_sends_no_gradient_through_the_reference_of_an_earlier_one() -> None:
    decoder = _decoder("text")
    _decode(decoder, torch.randn(3, 16)).boxes[1].sum().backward()

    gradients = [parameter.grad for parameter in decoder.bbox_embed[0].parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)
    assert decoder.bbox_embed[1].last.bias.grad.any()


@pytest.mark.parametrize("mode", ["text", "dab"])
def test_every_parameter_of_the_decoder_gets_a_gradient(mode: str) -> None:
    decoder = _decoder(mode)
    output = _decode(decoder, torch.randn(3, 16))
    (output.boxes.sum() + output.logits.sum() + output.hidden.square().sum()).backward()

    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None] == []


def test_inverse_sigmoid_undoes_sigmoid_and_stays_finite_at_the_ends() -> None:
    x = torch.linspace(-8, 8, 9)

    assert torch.allclose(inverse_sigmoid(x.sigmoid()), x, atol=1e-2)
    assert torch.isfinite(inverse_sigmoid(torch.tensor([0.0, 1.0]))).all()
