"""A run needs nothing but its folder: encoders that no name leads to lie in it, and others are known again by hash."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from episodes.errors import CheckpointError
from episodes.files import file_digest
from fewshot import cli
from fewshot.config.experiment import load_config
from fewshot.runs.build import new_network, restored_network
from fewshot.runs.checkpoint import latest, read_encoder_weights
from fewshot.runs.encoders import encoder_weights, read_encoders, write_encoders
from fewshot.runs.run import Run
from models import cnn
from models.weights import EFFICIENTNET_LITE0, packaged_weights
from tests.converted_weights import write_converted, write_converted_experiment, write_tokenizer
from tests.image_text_models import clip, write_tower_tokenizer
from tests.published_weights import roberta
from tests.tiny_runs import TinySet, assert_same_bits, write_experiment


@pytest.fixture(autouse=True)
def _working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def records(run):
    """All scores, without the seconds that they took."""
    return [replace(record, seconds=0.0) for record in Run(run).evaluated().records]


def encoders_of(network):
    """Both encoders' state dicts as one."""
    return {**network.trunk.image.model.state_dict(), **network.trunk.text.model.state_dict()}


# --------------------------------------------------------------------------- encoders that a run stores


def test_a_run_is_evaluated_resumed_exported_and_started_from_after_its_parents_are_gone(tiny_set):
    converted = write_converted(Path())
    first = write_converted_experiment(Path("first.yaml"), converted, tiny_set)
    assert call("train", first) == 0
    second = write_converted_experiment(Path("second.yaml"), converted, tiny_set)
    one_step = ("initial_weights=runs/first", "train.steps=1", "train.validate_every=0", "train.schedule=constant")
    assert call("run", second, *one_step) == 0
    before = records(Path("runs/second"))
    assert call("export", "runs/second", "before.safetensors") == 0

    for parent in ("weights", "runs/first", "cma.pth"):
        shutil.move(parent, "gone")

    assert call("evaluate", "runs/second") == 0
    assert records(Path("runs/second")) == before
    assert call("evaluate", "runs/second", "--out", "elsewhere") == 0
    assert records(Path("elsewhere")) == before
    assert call("export", "runs/second", "after.safetensors") == 0
    assert_same_bits(load_file("after.safetensors"), load_file("before.safetensors"))
    config = "runs/second/config.yaml"
    assert call("train", config, "--out", "runs/second", "train.steps=2") == 2, (
        "a run of other values is still rejected"
    )
    assert call("train", config, "--out", "third", "name=third", "initial_weights=runs/second") == 0
    third = load_config(Path("third/config.yaml"))
    assert_same_bits(
        encoders_of(restored_network(third, latest(Path("third")))),
        encoders_of(restored_network(load_config(Path(config)), latest(Path("runs/second")))),
    )


def test_an_interrupted_run_resumes_after_its_parent_is_gone(tiny_set, monkeypatch):
    from fewshot.training.trainer import Trainer

    experiment = write_converted_experiment(Path("whole.yaml"), write_converted(Path()), tiny_set)
    steps = ("train.steps=2", "train.validate_every=0")
    assert call("train", experiment, *steps) == 0
    step = Trainer.step

    def interrupted(self, number, episodes):
        if number == 1:
            raise KeyboardInterrupt
        return step(self, number, episodes)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", interrupted)
        assert call("train", experiment, *steps, "--out", "resumed") == 130
    shutil.rmtree("weights")

    assert call("train", "resumed/config.yaml", "--out", "resumed") == 0
    whole, resumed = (load_file(latest(run) / "model.safetensors") for run in (Path("runs/whole"), Path("resumed")))
    assert_same_bits(resumed, whole)


def test_encoders_that_are_known_by_name_are_not_stored(experiment):
    assert call("train", experiment, "train.steps=0") == 0
    assert not Path("runs/tiny/encoders").exists()


def test_drawn_encoders_stay_those_of_their_run(experiment):
    drawn = ("train.steps=0", "model.pretrained=false", "model.image_encoder=resnet18")
    assert call("train", experiment, *drawn) == 0
    stored = read_encoders(Path("runs/tiny"))

    other = load_config(experiment, [*drawn, "seed=1", "initial_weights=runs/tiny"])

    assert_same_bits(encoders_of(new_network(other)), {**stored.image, **stored.text})


def test_a_text_encoder_of_a_folder_stays_with_the_run_after_the_folder_is_gone(experiment):
    roberta().save_pretrained("text")
    write_tokenizer(Path("text"))
    assert call("train", experiment, "train.steps=0", "model.text_encoder=text") == 0
    shutil.rmtree("text")

    trunk = restored_network(load_config(Path("runs/tiny/config.yaml")), latest(Path("runs/tiny"))).trunk

    assert_same_bits(trunk.text.model.state_dict(), roberta().state_dict())
    assert set(trunk.text.tokenizer.get_vocab()) >= {"red", "disc"}


def test_a_run_on_a_vit_and_a_text_tower_is_trained_and_evaluated_again_after_their_files_are_gone(tiny_set, tmp_path):
    """Features are cached, the place is taken out of them, and the run holds all that it needs."""
    clip().save_pretrained("clip")
    write_tower_tokenizer(Path("clip"), "clip")
    experiment = write_experiment(Path("tiny.yaml"), TinySet(tiny_set.root, tmp_path / "cache"))
    vit = ("model.pretrained=false", "model.image_encoder=vit_tiny_patch16_224", "model.position_debias=true")
    assert call("run", experiment, *vit, "model.text_encoder=clip", "train.steps=1", "train.validate_every=0") == 0
    before = records(Path("runs/tiny"))
    shutil.rmtree("clip")

    assert call("evaluate", "runs/tiny") == 0

    assert records(Path("runs/tiny")) == before


def test_a_run_with_a_semantic_map_is_evaluated_again(tiny_set, tmp_path):
    experiment = write_experiment(Path("tiny.yaml"), TinySet(tiny_set.root, tmp_path / "cache"))
    steps = ("train.steps=1", "train.validate_every=0")
    assert call("run", experiment, "model.semantic_map=true", *steps) == 0
    before = records(Path("runs/tiny"))

    assert call("evaluate", "runs/tiny") == 0

    assert records(Path("runs/tiny")) == before


def test_encoders_that_an_earlier_start_left_are_replaced(experiment, tiny_set):
    write_encoders(Path("runs/tiny"), {"of another": torch.ones(1)}, {}, {})
    shutil.copy(experiment, "runs/tiny/config.yaml")

    assert call("train", experiment, "train.steps=0") == 0

    assert not Path("runs/tiny/encoders").exists()


@pytest.mark.parametrize("file", ["image_encoder.safetensors", "text_encoder.safetensors", "encoders.json"])
def test_damaged_stored_encoders_are_named(experiment, file, capsys):
    assert call("train", experiment, "train.steps=0", "model.pretrained=false", "model.image_encoder=resnet18") == 0
    path = Path("runs/tiny/encoders", file)
    path.write_bytes(path.read_bytes()[:-9])

    assert call("evaluate", "runs/tiny") == 2

    message = capsys.readouterr().err
    assert f"{path} is damaged" in message
    assert "Restore runs/tiny/encoders from a copy" in message


# --------------------------------------------------------------------------- encoders that are found by name


@pytest.fixture
def another_package(monkeypatch):
    """Installs a version of the image encoder's package with another weight."""

    def install():
        package, name, _, command = EFFICIENTNET_LITE0
        path = Path("elsewhere", package, name)
        path.parent.mkdir(parents=True)
        Path("elsewhere", package, "__init__.py").touch()
        weights = torch.load(packaged_weights(EFFICIENTNET_LITE0), weights_only=True)
        next(iter(weights.values())).mul_(1.001)
        torch.save(weights, path)
        monkeypatch.syspath_prepend(str(Path("elsewhere").resolve()))
        monkeypatch.setattr(cnn, "EFFICIENTNET_LITE0", (package, name, file_digest(path), command))

    return install


def test_a_checkpoint_records_its_encoders_by_hash(experiment):
    assert call("train", experiment, "train.steps=1", "train.validate_every=0") == 0
    config = load_config(experiment)

    recorded = read_encoder_weights(latest(Path("runs/tiny")))

    assert recorded == encoder_weights(new_network(config).trunk, config.model)
    assert [(encoder.kind, encoder.name) for encoder in recorded] == [
        ("image", "package:efficientnet_lite0"),
        ("text", "package:minilm"),
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "runs/tiny"),
        ("train", "tiny.yaml", "train.steps=2", "train.validate_every=0"),
        ("train", "tiny.yaml", "name=child", "initial_weights=runs/tiny"),
    ],
    ids=["evaluate", "resume", "initial weights"],
)
def test_a_changed_encoder_is_rejected_by_kind_name_and_hash(experiment, another_package, capsys, command):
    assert call("train", experiment, "train.steps=2", "train.validate_every=0") == 0
    image = read_encoder_weights(latest(Path("runs/tiny")))[0]
    capsys.readouterr()
    another_package()

    assert call(*command) == 2

    message = capsys.readouterr().err
    assert "was trained with other encoders" in message
    assert f"its image encoder {image.name} had weights of SHA-256 {image.sha256}, the one loaded now has" in message
    assert "restore what has changed: the installed package" in message
    assert "text encoder" not in message
    assert not Path("runs/child").exists()


def test_other_encoders_are_rejected_with_both_names(experiment):
    assert call("train", experiment, "train.steps=0") == 0
    config = load_config(experiment, ["initial_weights=runs/tiny", "model.image_encoder=tf_efficientnet_lite0"])
    with pytest.raises(CheckpointError) as rejected:
        new_network(config.model_copy(update={"model": config.model.model_copy(update={"pretrained": False})}))
    assert (
        "its image encoder is package:efficientnet_lite0, the experiment's is tf_efficientnet_lite0 "
        "(set model.image_encoder=package:efficientnet_lite0)"
    ) in str(rejected.value)
