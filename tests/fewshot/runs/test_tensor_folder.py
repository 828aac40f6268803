"""Folders of tensors: exact, complete or absent, and damage is named."""

import json

import pytest
import torch

from episodes.errors import CheckpointError
from fewshot.runs import tensor_folder
from fewshot.runs.tensor_folder import TensorFolder, state_differences

FORM = TensorFolder("a box of tensors", "box.json", "Write {folder} again.")


@pytest.fixture
def folder(tmp_path):
    FORM.write(tmp_path / "box", {"a.safetensors": {"x": torch.ones(2)}, "b.safetensors": {}}, {"number": 0.1 + 0.2})
    return tmp_path / "box"


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]
)
def test_every_number_format_and_memory_order_comes_back_exactly(tmp_path, dtype):
    whole = torch.arange(24).to(dtype)
    tensors = {
        "plain": whole.reshape(2, 3, 4),
        "turned": whole.reshape(2, 3, 4).permute(2, 0, 1),
        "part": whole[::2],
        "of the same memory": whole[:4],
        "scalar": torch.tensor(1).to(dtype),
    }
    FORM.write(tmp_path / "box", {"a.safetensors": tensors}, {})

    read = FORM.read(tmp_path / "box", "a.safetensors")

    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == dtype for name, tensor in tensors.items())


def test_values_come_back_beside_the_tensors_and_a_file_may_hold_none(folder):
    assert FORM.read_record(folder)["number"] == 0.1 + 0.2
    assert FORM.read(folder, "b.safetensors") == {}
    assert FORM.holds(folder)
    assert not FORM.holds(folder.parent)


def test_other_files_appear_together_with_the_tensors(tmp_path):
    def more(aside):
        assert not (tmp_path / "box").exists()
        (aside / "deep").mkdir()
        (aside / "deep" / "note.txt").write_text("beside")

    FORM.write(tmp_path / "box", {}, {}, more)

    assert (tmp_path / "box/deep/note.txt").read_text() == "beside"
    assert [path.name for path in tmp_path.iterdir()] == ["box"]


@pytest.mark.parametrize("failing", ["a.safetensors", "box.json", "more"])
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, failing):
    write = tensor_folder._write

    def until_full(path, content):
        if path.name == failing:
            raise OSError(28, "No space left on device", str(path))
        return write(path, content)

    def more(aside):
        if failing == "more":
            raise OSError(28, "No space left on device", str(aside))

    monkeypatch.setattr(tensor_folder, "_write", until_full)
    with pytest.raises(OSError, match="No space left"):
        FORM.write(tmp_path / "box", {"a.safetensors": {"x": torch.ones(2)}}, {}, more)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_write_are_replaced(tmp_path):
    (tmp_path / ".writing-box").mkdir()
    (tmp_path / ".writing-box" / "half.safetensors").write_bytes(b"half")

    FORM.write(tmp_path / "box", {}, {})

    assert [path.name for path in (tmp_path / "box").iterdir()] == ["box.json"]
    assert not (tmp_path / ".writing-box").exists()


def test_a_folder_that_holds_something_is_not_replaced(folder):
    with pytest.raises(OSError, match="not empty"):
        FORM.write(folder, {}, {})
    assert FORM.read(folder, "a.safetensors")["x"].sum() == 2


def _rehash(folder, content):
    """Replace a file, and its SHA-256 in the record."""
    (folder / "a.safetensors").write_bytes(content)
    record = json.loads((folder / "box.json").read_text())
    record["sha256"]["a.safetensors"] = tensor_folder.hashlib.sha256(content).hexdigest()
    (folder / "box.json").write_text(json.dumps(record))


DAMAGES = [
    (lambda folder: (folder / "a.safetensors").unlink(), r"a\.safetensors is missing"),
    (
        lambda folder: (folder / "a.safetensors").write_bytes(b"x"),
        r"a\.safetensors is damaged: its SHA-256 is 2d711642b726\.\.\., box\.json has ",
    ),
    (lambda folder: _rehash(folder, b"x"), r"a\.safetensors is not a safetensors file"),
    (lambda folder: (folder / "box.json").write_text("{"), r"box\.json is damaged"),
    (lambda folder: (folder / "box.json").write_text("[]"), r"box\.json is of format None"),
    (lambda folder: (folder / "box.json").write_text('{"format": 9}'), r"box\.json is of format 9, .* reads format 1"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damage_is_named_with_its_file_and_what_to_do(folder, damage, message):
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        FORM.read(folder, "a.safetensors")
    assert f"Write {folder} again." in str(caught.value)


def test_a_folder_of_another_kind_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"is not a box of tensors: it holds no box\.json"):
        FORM.read_record(tmp_path)


def test_differences_of_states_name_every_side_and_shape():
    stored = {"same": torch.zeros(1), "other": torch.zeros(2), "more": torch.zeros(1)}
    wanted = {"same": torch.ones(1), "other": torch.zeros(3), "less": torch.zeros(1), "optional": torch.zeros(1)}

    assert state_differences(stored, wanted, may_lack={"optional"}) == [
        "1 missing: less",
        "1 unknown to the model: more",
        "1 of another shape (stored, model): other (2,) (3,)",
    ]
    assert state_differences(wanted, wanted) == []
