"""Published checkpoint files become initial weights, and files again."""

import argparse
import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from episodes.errors import CheckpointError, ConversionError
from fewshot import cli
from fewshot.config.experiment import load_config
from fewshot.published.conversion import convert
from fewshot.published.file import read_published
from fewshot.runs.build import new_network
from fewshot.runs.checkpoint import latest, read_state, read_weights
from fewshot.runs.initial_weights import read_initial_weights
from tests.converted_weights import SENTENCES, write_converted, write_converted_experiment, write_tokenizer
from tests.fewshot.published.test_reference import FOLDER, NAMES
from tests.fewshot.published.test_reference import _weights as reference_weights
from tests.published_weights import TEXT, frozen_features, published_weights, roberta
from tests.tiny_runs import assert_same_bits


@pytest.fixture(autouse=True)
def _working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    return write_converted(tmp_path_factory.mktemp("converted"))


def _experiment(converted, data, name="published"):
    return write_converted_experiment(Path(f"{name}.yaml"), converted, data)


def _without_counters(state):
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def rejection(capsys):
    """Calls the command line with wrong input; returns its one paragraph."""

    def ask(*arguments):
        before = sorted(Path().rglob("*"))
        capsys.readouterr()
        assert call(*arguments) == 2
        message = capsys.readouterr().err
        assert message.count("Error: ") == 1
        assert "Traceback" not in message
        assert sorted(Path().rglob("*")) == before, "a rejected command leaves nothing"
        return message

    return ask


# --------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("form", ["text", "dab"])
def test_a_checkpoint_comes_back_bit_for_bit_and_the_counts_add_up(form, suffix, capsys):
    published = published_weights(form=form, affinity=form == "dab")
    torch.save({"model": published, "epoch": 3}, "in.pth")

    assert call("convert", "in.pth", "weights") == 0
    table = capsys.readouterr().out
    assert call("export", "weights", f"out{suffix}") == 0

    assert_same_bits(read_published(Path(f"out{suffix}")), published)
    record = json.loads(Path("weights/conversion.json").read_text())
    counts = record["counts"]
    assert counts["published_entries"] == len(published) == counts["renamed"] + counts["carried"]
    assert (counts["renamed"], counts["carried"]) == (len(record["renamed"]), len(record["carried"]))
    assert record["carried"].keys() == {"text_encoder.embeddings.position_ids"}
    assert re.search(rf"renamed +{counts['renamed']}\n", table)
    assert "text_encoder.embeddings (1)" in table


@pytest.mark.reference
@pytest.mark.parametrize("name", NAMES)
def test_every_reference_checkpoint_comes_back_bit_for_bit(name):
    if name == "absent":
        pytest.skip(f"no published values in {FOLDER}; CMA_REFERENCE names their folder")
    published = reference_weights(name)
    torch.save({"model": published}, "in.pth")

    assert call("convert", "in.pth", "weights") == 0
    assert call("export", "weights", "out.pth") == 0

    assert_same_bits(read_published(Path("out.pth")), published)
    shapes = {key: list(value.shape) for key, value in read_published(Path("out.pth")).items()}
    assert shapes == json.loads((FOLDER / f"{name}.keys.json").read_text())


@pytest.mark.parametrize("wrap", ["bare", "model", "distributed", "namespace", "safetensors"])
def test_every_published_form_of_a_file_is_read(wrap):
    published = published_weights()
    path = Path("in.safetensors" if wrap == "safetensors" else "in.pth")
    if wrap == "safetensors":
        save_file({name: value.clone() for name, value in published.items()}, path)
    elif wrap == "distributed":
        torch.save({"model": {f"module.{name}": value for name, value in published.items()}}, path)
    elif wrap == "namespace":
        torch.save({"model": published, "args": argparse.Namespace(lr=1e-4)}, path)
    else:
        torch.save(published if wrap == "bare" else {"model": published}, path)

    assert_same_bits(read_published(path), published)


def test_the_model_section_is_the_checkpoint_s_own(converted, tiny_set):
    model = load_config(_experiment(converted, tiny_set)).model

    assert (model.hidden, model.ffn, model.queries, model.points) == (64, 32, 2, 2)
    assert (model.encoder_layers, model.decoder_layers, model.query_mode) == (2, 2, "dab")
    assert (model.image_encoder, model.text_encoder) == ("resnet50", str(converted / "text_encoder"))


# --------------------------------------------------------------------------- the network that they give


def test_both_encoders_equal_the_published_ones_in_output(converted, tiny_set):
    network = new_network(load_config(_experiment(converted, tiny_set)))
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (1, 2, 3, 64, 96), dtype=torch.uint8, generator=generator)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (frames[0] / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)

    pyramid = network.trunk.image(frames)
    with torch.no_grad():
        frozen = frozen_features(normalised)
        for found, expected in zip((pyramid.f4, pyramid.f8, pyramid.f16, pyramid.f32), frozen, strict=True):
            torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)

        words, valid, sentence = network.trunk.text(SENTENCES)
        tokens = network.trunk.text.tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
        expected = roberta()(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    assert tokens["input_ids"].max() < TEXT.vocab_size
    torch.testing.assert_close(words[valid], expected.last_hidden_state[valid], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sentence, expected.pooler_output, rtol=1e-4, atol=1e-5)


def test_a_published_checkpoint_is_evaluated_as_it_is_and_trained_from(converted, tiny_set, capsys):
    experiment = _experiment(converted, tiny_set)

    assert call("run", experiment) == 0

    run = Path("runs/published")
    assert latest(run).name == "step-00000000"
    assert read_state(latest(run))["step"] == 0
    assert_same_bits(read_weights(latest(run)), load_file(converted / "head.safetensors"))
    assert (run / "results" / "summary.json").is_file()
    assert call("run", experiment) == 0, "a run that has its step 0 is taken up"
    assert call("evaluate", run) == 0

    # A run is initial weights too: of its head, and of the encoders that it started from itself.
    again = _experiment(converted, tiny_set, "again")
    assert call("train", again, f"initial_weights={run}", "train.steps=1", "train.validate_every=0") == 0
    assert latest(Path("runs/again")).name == "step-00000001"
    assert_same_bits(
        _without_counters(read_initial_weights(run).encoders.image),
        load_file(converted / "encoders/image_encoder.safetensors"),
    )

    # What was trained goes out with the published encoders, and in again.
    assert call("export", "runs/again", "trained.safetensors") == 0
    trained, published = load_file("trained.safetensors"), published_weights(form="dab")
    assert trained.keys() == published.keys()
    changed = {name for name, value in published.items() if not torch.equal(value, trained[name])}
    assert changed
    assert not any(name.startswith(("backbone.", "text_encoder.")) for name in changed)
    assert call("convert", "trained.safetensors", "weights") == 0


def test_zero_steps_without_initial_weights_keep_what_the_seed_draws(experiment):
    assert call("train", experiment, "train.steps=0") == 0
    kept = read_weights(latest(Path("runs/tiny")))
    drawn = new_network(load_config(experiment)).head.state_dict()
    started = {f"matching.{name}" for name in ("directions.weight", "directions.bias", "elsewhere", "trust.bias")}
    assert started < kept.keys(), "these are taken from the training's pictures"
    assert_same_bits(*({name: x for name, x in of.items() if name not in started} for of in (kept, drawn)))


def test_a_fitted_conversion_leaves_what_the_checkpoint_lacks_to_the_seed(converted, tiny_set, capsys):
    torch.save({"model": published_weights(form="text", affinity=False, classes=3)}, "referformer.pth")
    experiment = _experiment(converted, tiny_set)

    assert call("convert", "referformer.pth", "weights", "--experiment", experiment) == 0

    table = capsys.readouterr().out
    assert "query_embed (1), transformer.reference_points (2)" in table
    assert "class head of 3 classes, this model has 1: class_embed (4)" in table
    assert "the checkpoint has no affinity: head.affinity.query_qkv" in table
    network = new_network(load_config(experiment, ["initial_weights=weights"]))
    drawn = new_network(load_config(experiment))
    given = load_file("weights/head.safetensors")
    for name, value in network.head.state_dict().items():
        if name in given:
            assert torch.equal(value, given[name]), name
    left = network.head.state_dict().keys() - given.keys()
    assert {"affinity.point.weight", "decoder.class_embed.0.weight", "decoder.queries.tgt_embed.weight"} <= left
    # Drawn by the seed alone, so the same network comes again.
    again = new_network(load_config(experiment, ["initial_weights=weights"]))
    assert_same_bits(again.head.state_dict(), network.head.state_dict())
    other = new_network(load_config(experiment, ["initial_weights=weights", "seed=1"]))
    assert not torch.equal(other.head.affinity.point.weight, network.head.affinity.point.weight)
    assert torch.equal(other.head.fusion.attention.in_proj_weight, network.head.fusion.attention.in_proj_weight)
    assert not torch.equal(drawn.head.affinity.point.weight, network.head.affinity.point.weight)
    # And the export gives back what had no place.
    assert call("export", "weights", "back.pth") == 0
    assert_same_bits(read_published(Path("back.pth")), read_published(Path("referformer.pth")))


def test_a_matching_affinity_that_the_weights_lack_starts_from_the_pictures_and_one_that_they_hold_is_kept(
    converted, tiny_set, monkeypatch
):
    monkeypatch.setattr("fewshot.training.start.START_EPISODES", 4)
    torch.save({"model": published_weights(form="text", affinity=False)}, "referformer.pth")
    experiment = _experiment(converted, tiny_set)
    ours = ("model.affinity.stages=[match]", "model.affinity.dim=8", "model.affinity.elsewhere=4")
    assert call("convert", "referformer.pth", "weights", "--experiment", experiment, *ours) == 0

    for name, given in (("first", "weights"), ("second", "runs/first")):
        values = (*ours, f"initial_weights={given}", "train.steps=0", "train.validate_every=0", f"name={name}")
        assert call("train", experiment, *values) == 0

    drawn = new_network(load_config(experiment, [*ours, "initial_weights=weights"])).head.state_dict()
    first, second = (read_weights(latest(Path("runs") / name)) for name in ("first", "second"))
    assert not torch.equal(first["matching.directions.weight"], drawn["matching.directions.weight"])
    assert torch.equal(first["fusion.attention.in_proj_weight"], drawn["fusion.attention.in_proj_weight"])
    assert_same_bits(second, first)


def test_a_re_initialised_part_is_carried_and_drawn(converted, tiny_set):
    assert call("convert", converted.parent / "cma.pth", "weights", "--reinitialise", "decoder.class_embed") == 0
    write_tokenizer(Path("weights/text_encoder"))

    record = json.loads(Path("weights/conversion.json").read_text())

    assert {name for name in record["carried"] if name.startswith("class_embed.")} == {
        f"class_embed.{layer}.{part}" for layer in (0, 1) for part in ("weight", "bias")
    }
    bias = new_network(load_config(_experiment(Path("weights"), tiny_set))).head.decoder.class_embed[0].bias
    torch.testing.assert_close(bias.sigmoid(), torch.tensor([0.01]))  # the focal prior of a fresh head


# --------------------------------------------------------------------------- what is rejected


class Danger:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_file_that_wants_to_run_code_is_rejected_and_runs_none(rejection):
    torch.save({"model": published_weights(), "extra": Danger()}, "in.pth")
    message = rejection("convert", "in.pth", "weights")
    assert "wants to run code" in message
    assert "system" in message
    assert "torch.is_tensor(v)" in message
    assert not Path("ran").exists()


def test_the_safe_way_out_gives_a_file_that_converts(rejection):
    torch.save({"model": published_weights(), "epoch": Path("x")}, "in.pth")
    command = re.search(r'python -c "(.*)"', rejection("convert", "in.pth", "weights"))[1]
    exec(command)
    assert_same_bits(read_published(Path("tensors.pth")), published_weights())


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_checkpoint_is_named(rejection, content, suffix):
    Path(f"in{suffix}").write_bytes(content)
    message = rejection("convert", f"in{suffix}", "weights")
    assert f"in{suffix}" in message
    assert re.search(r"not a checkpoint|not a safetensors|no state dict", message)


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": {}}, {"model": {"a": 1, "b": torch.ones(1)}}, "text"])
def test_a_file_without_a_state_dict_is_named_with_what_it_holds(rejection, content):
    torch.save(content, "in.pth")
    assert re.search(
        r"in\.pth(: 1 entries are not tensors: 'a' \(int\)| holds no state dict)", rejection("convert", "in.pth", "o")
    )


def test_a_missing_file_is_named(rejection):
    assert "nowhere.pth: no such file" in rejection("convert", "nowhere.pth", "weights")


def test_a_target_that_exists_is_left_alone(rejection, converted):
    Path("weights").mkdir()
    Path("out.pth").write_text("mine")
    assert "weights exists already" in rejection("convert", converted.parent / "cma.pth", "weights")
    assert "out.pth exists already" in rejection("export", converted, "out.pth")
    assert "must end in .pth or .safetensors" in rejection("export", converted, "out.bin")
    assert Path("out.pth").read_text() == "mine"


def test_every_unknown_missing_and_reshaped_entry_is_listed_with_both_shapes(rejection):
    published = published_weights(form="dab")
    published["strange.weight"] = torch.zeros(1)
    del published["controller.layers.1.bias"]
    published["conv_q.weight"] = torch.zeros(32, 65, 1, 1)
    torch.save(published, "in.pth")

    message = rejection("convert", "in.pth", "weights")

    assert "3 errors" in message
    assert "'strange.weight' is not a name" in message
    assert "'head.dynamic.controller.layers.1.bias' gets no value" in message
    assert "(32, 65, 1, 1)" in message
    assert "(32, 64, 1, 1)" in message


def test_encoders_of_another_architecture_are_named_with_what_to_set(rejection, converted, experiment):
    message = rejection("convert", converted.parent / "cma.pth", "weights", "--experiment", experiment)
    assert "its image encoder is resnet50, not package:efficientnet_lite0 (set model.image_encoder=resnet50)" in message
    assert "(40, 64, 1, 48, 40), package:minilm is a bert" in message


def test_overrides_need_an_experiment(rejection, converted):
    assert "name it with --experiment" in rejection("convert", converted.parent / "cma.pth", "weights", "model.ffn=3")


def test_initial_weights_that_do_not_fit_are_rejected_with_both_shapes(rejection, converted, tiny_set):
    experiment = _experiment(converted, tiny_set)
    config = load_config(experiment, ["model.ffn=40", "model.query_mode=text", "model.image_encoder=resnet18"])
    with pytest.raises(CheckpointError) as rejected:
        new_network(config)
    message = str(rejected.value)
    assert re.search(r"; \d+ missing: decoder\.queries\.query_embed\.weight", message)
    assert re.search(r"; \d+ unknown to the model: decoder\.queries\.", message)
    assert re.search(r"of another shape .*ffn\.linear1\.weight \(32, 64\) \(40, 64\)", message)
    assert re.search(
        r"image encoder: .* of another shape .*layer1\.0\.conv1\.weight \(64, 64, 1, 1\) \(64, 64, 3", message
    )
    assert "model.yaml" in message


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_a_folder_without_weights_is_named(experiment, rejection, path):
    Path("empty").mkdir()
    with pytest.raises(CheckpointError, match=f"no weights in {path}: it is neither"):
        new_network(load_config(experiment, [f"initial_weights={path}"]))
    assert f"no weights in {path}: it is neither" in rejection("export", path, "out.pth")


@pytest.mark.parametrize("damage", ["cut", "gone", "record"])
def test_damaged_initial_weights_are_named(damage):
    torch.save(published_weights(), "in.pth")
    convert(Path("in.pth"), Path("weights"))
    file = Path("weights/head.safetensors" if damage != "record" else "weights/conversion.json")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(CheckpointError, match=rf"{file}.*Convert the checkpoint again"):
        read_initial_weights(Path("weights"))


def test_a_tokenizer_that_is_nowhere_is_named_with_where_it_would_come_from(tiny_set):
    torch.save(published_weights(), "in.pth")
    convert(Path("in.pth"), Path("weights"))
    config = load_config(_experiment(Path("weights"), tiny_set))
    with pytest.raises(ValueError, match=r"text_encoder 'weights/text_encoder' cannot be loaded.*tokenizer and config"):
        new_network(config)


def test_a_head_with_parts_of_ours_is_not_exported_and_all_of_them_are_listed(experiment, rejection):
    assert call("train", experiment, "train.steps=0") == 0
    message = rejection("export", "runs/tiny", "out.pth")
    parts = {"matching", "word_prior", "prior_gate", "dense", "residual_scale"}
    assert all(re.search(rf"head\.{part}\b", message) for part in parts)


def test_a_half_written_conversion_leaves_nothing(monkeypatch):
    torch.save(published_weights(), "in.pth")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device", "weights")

    monkeypatch.setattr("fewshot.published.conversion.dump", fail)
    assert call("convert", "in.pth", "weights") == 2
    assert sorted(path.name for path in Path().iterdir()) == ["in.pth"]


def test_nothing_unreadable_is_silently_left_out():
    torch.save({"model": {"a": torch.ones(1), "b": None}}, "in.pth")
    with pytest.raises(ConversionError, match="'b' \\(NoneType\\)"):
        read_published(Path("in.pth"))
