"""Text towers of image-text models, tiny and random, written to a folder: words and a sentence, as from any encoder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, Siglip2Model, SiglipModel

from episodes.errors import WeightsError
from models.text import TextEncoder
from tests.image_text_models import KINDS, POSITIONS, WORDS, clip, siglip, write_tower_tokenizer


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole image-text model with its tokenizer, as save_pretrained writes them."""
    path: Path = tmp_path_factory.mktemp("towers") / request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        KINDS[request.param]().save_pretrained(path)
    write_tower_tokenizer(path, request.param)
    return path


def test_the_text_tower_alone_is_loaded_with_its_weights(folder: Path) -> None:
    encoder = TextEncoder(str(folder))
    whole = {"clip": CLIPModel, "siglip": SiglipModel, "siglip2": Siglip2Model}[folder.name].from_pretrained(folder)

    theirs = {name.removeprefix("text_model."): value for name, value in whole.state_dict().items()}
    ours = {name.removeprefix("text_model."): value for name, value in encoder.model.state_dict().items()}

    assert encoder.dim == 32
    assert not any("vision" in name for name in ours)
    values = [name for name in ours if not name.endswith("position_ids")]
    assert values
    assert all(torch.equal(ours[name], theirs[name]) for name in values)


def test_a_sentence_has_the_feature_that_the_whole_model_gives_it(folder: Path) -> None:
    encoder = TextEncoder(str(folder))
    whole = {"clip": CLIPModel, "siglip": SiglipModel, "siglip2": Siglip2Model}[folder.name].from_pretrained(folder)
    sentences = ("the red dog", "a cat that runs on the left")
    padding = True if folder.name == "clip" else "max_length"  # as each was trained
    how = {"padding": padding, "truncation": True, "max_length": POSITIONS, "padding_side": "right"}
    tokens = encoder.tokenizer(list(sentences), **how, return_tensors="pt")
    mask = {"attention_mask": tokens["attention_mask"]} if folder.name == "clip" else {}

    expected = whole.get_text_features(tokens["input_ids"], **mask).pooler_output.detach()
    pooled = encoder(sentences)[2]
    if folder.name == "clip":
        pooled = whole.text_projection(pooled).detach()

    torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=1e-5)


def test_words_in_padding_are_zero_and_invalid(folder: Path) -> None:
    encoder = TextEncoder(str(folder))
    sentences = ("dog", "a red dog that runs")
    lengths = [len(ids) for ids in encoder.tokenizer(list(sentences))["input_ids"]]

    words, valid, sentence = encoder(sentences)

    assert lengths[0] < lengths[1]
    assert valid.sum(1).tolist() == lengths
    assert words.shape == (2, lengths[1], 32)
    assert sentence.shape == (2, 32)
    assert (words[~valid] == 0).all()
    assert (words[valid].abs().sum(-1) > 0).all()


def test_padding_does_not_change_a_sentence(folder: Path) -> None:
    encoder = TextEncoder(str(folder))

    alone, beside = encoder(("dog",)), encoder(("dog", "a red dog that runs on the left"))

    torch.testing.assert_close(beside[2][:1], alone[2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(beside[0][:1, : alone[0].shape[1]], alone[0], atol=1e-5, rtol=1e-5)


def test_a_sentence_longer_than_the_tower_is_cut(folder: Path) -> None:
    words, valid, _ = TextEncoder(str(folder))((" ".join(WORDS * 3),))

    assert words.shape[1] == POSITIONS
    assert valid.all()
    assert words.isfinite().all()


def test_random_weights_and_the_stored_half_load_as_well(folder: Path, tmp_path: Path) -> None:
    """A run keeps config and tokenizer of the tower, not of the whole model."""
    encoder = TextEncoder(str(folder))
    encoder.model.config.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)

    again = TextEncoder(str(tmp_path), pretrained=False)
    again.model.load_state_dict(encoder.model.state_dict())

    assert all(torch.equal(a, b) for a, b in zip(again(("the dog",)), encoder(("the dog",)), strict=True))


def test_a_tower_whose_sentence_has_another_width_than_its_words_is_rejected(tmp_path: Path) -> None:
    siglip(projection_size=24).save_pretrained(tmp_path)
    write_tower_tokenizer(tmp_path, "siglip")

    with pytest.raises(WeightsError, match=r"its sentence feature has 24 numbers, but a word has 32"):
        TextEncoder(str(tmp_path))


def test_an_image_text_model_of_another_kind_is_rejected_by_its_type(tmp_path: Path) -> None:
    clip().save_pretrained(tmp_path)
    write_tower_tokenizer(tmp_path, "clip")
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"model_type": "clip"', '"model_type": "altclip"'))

    with pytest.raises(WeightsError, match=r"of type 'altclip', whose text part is unknown; .* clip, siglip, siglip2"):
        TextEncoder(str(tmp_path))


def test_weights_without_the_tower_are_rejected(tmp_path: Path) -> None:
    clip().save_pretrained(tmp_path)
    write_tower_tokenizer(tmp_path, "clip")
    file = tmp_path / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if "text_model.embeddings" not in name}
    save_file(kept, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError, match=r"its weights lack 2 tensors, "):
        TextEncoder(str(tmp_path))
