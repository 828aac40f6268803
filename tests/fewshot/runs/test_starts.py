"""Each start of a training is noted, whatever state the file of starts is in."""

import json
import logging

import pytest
import torch

from fewshot.runs.starts import add_start, read_starts

DAMAGES = ["", "{", "[]", "3", "{}", '{"starts": 3}', '{"starts": [3]}', '{"starts": {"a": 1}}', "[" * 100_000]


def test_each_start_is_noted_with_versions_and_seed(tmp_path):
    path = tmp_path / "meta.json"
    add_start(path, seed=3, step=0)
    add_start(path, seed=3, step=20)
    starts = read_starts(path)
    assert [start["step"] for start in starts] == [0, 20]
    assert starts[0]["seed"] == 3
    assert starts[0]["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert json.loads(path.read_text())["starts"] == starts


def test_without_a_file_no_start_is_known(tmp_path):
    assert read_starts(tmp_path / "meta.json") == []


@pytest.mark.parametrize("text", DAMAGES, ids=lambda text: text[:10])
def test_a_damaged_file_is_named_and_kept_when_the_next_start_is_noted(tmp_path, caplog, text):
    path = tmp_path / "meta.json"
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert read_starts(path) == []
        assert f"{path} is damaged" in caplog.text
        add_start(path, seed=1, step=7)
    assert [start["step"] for start in read_starts(path)] == [7]
    assert (tmp_path / "meta.json.damaged").read_text() == text
    assert str(tmp_path / "meta.json.damaged") in caplog.text


def test_bytes_that_are_no_text_are_damage_too(tmp_path):
    (tmp_path / "meta.json").write_bytes(b"\xff\xfe\x00")
    assert read_starts(tmp_path / "meta.json") == []
