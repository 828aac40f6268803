"""Experiments: strict YAML, `extends`, overrides, and errors that lead to the right key."""

import json
import subprocess
import sys

import pytest

from episodes.errors import ConfigError, UserError
from fewshot.config.document import Document, dotted, load_document, parse_document, parse_override
from fewshot.config.experiment import ExperimentConfig, config_hash, load_config, plain, to_yaml
from fewshot.config.messages import key_paths
from fewshot.config.yaml_text import dump
from tests.paths import ROOT

MINIMAL = "name: small\ndata: {root: somewhere}\n"


@pytest.fixture
def write(tmp_path):
    def _write(text, name="experiment.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def rejected(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


# --------------------------------------------------------------------------- values


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "0.0001", "+1e-4"])
def test_every_common_spelling_of_a_small_number_is_a_number(write, text):
    assert load_config(write(f"{MINIMAL}train: {{learning_rate: {text}}}\n")).train.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("off", "off"), ("2026-01-01", "2026-01-01"), ("1:30", "1:30"), ("010", 10), ("0x10", 16),
        ("0o10", 8), ("true", True), ("~", None), ("", None), ("'1'", "1"), ("-.5", -0.5), ("1.", 1.0),
        ("1_000", "1_000"), ("=", "="), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_plain_words_and_numbers_mean_what_yaml_1_2_says(text, value):
    found = parse_document(f"key: {text}\n", "here").values["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "value",
    ["1e-4", "yes", "true", "null", "", "010", "a: b", "x\ny", "~", "é", "2026-01-01", 1e-5, 1e300, 0.1, -3, None, []],
)
def test_a_dumped_value_reads_back_as_itself(value):
    assert parse_document(dump({"key": value}), "here").values == {"key": value}


def test_a_value_that_occurs_twice_is_dumped_without_an_alias():
    shared = [1, 2]
    assert parse_document(dump({"a": shared, "b": shared}), "here").values == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("value", ['"10"', "true", "10.5", "1e4", "[1]", "null", ".inf", "-1"])
def test_a_count_must_be_a_whole_positive_number(write, value):
    message = rejected(write(f"{MINIMAL}train:\n  steps: {value}\n"))
    assert "train.steps = " in message
    assert "experiment.yaml:4" in message
    assert "Optimiser steps" in message


@pytest.mark.parametrize("value", [".nan", ".inf", "0", "-1e-4"])
def test_a_learning_rate_must_be_finite_and_positive(write, value):
    assert "train.learning_rate" in rejected(write(f"{MINIMAL}train: {{learning_rate: {value}}}\n"))


@pytest.mark.parametrize("value", [".inf", ".nan"])
@pytest.mark.parametrize("key", ["model.loss.dice", "data.glyphs.colour", "episodes.augment.flip"])
def test_a_number_of_any_section_must_be_finite(write, key, value):
    message = rejected(write(MINIMAL), f"{key}={value}")
    assert f"{key} = " in message
    assert "finite number" in message


@pytest.mark.parametrize("label", ["prototype", "nearest", "cma+finetune", "", "a b", "a|b", "-", '"a\\n"'])
def test_a_label_that_another_row_could_have_is_rejected(write, label):
    assert "evaluate.label = " in rejected(write(MINIMAL), f"evaluate.label={label}" if label else "evaluate.label=''")


def test_half_precision_without_loss_scaling_is_rejected_with_what_may_be_given(write):
    message = rejected(write(MINIMAL), "train.precision=fp16")
    assert "train.precision = 'fp16'" in message
    assert "'fp32' or 'bf16'" in message


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["evaluate.support_frames=1", "evaluate.curve_steps=[0,1]"], "leave out evaluate.curve_steps"),
        (["evaluate.support_frames=1", "learner.min_shots=1"], "evaluate.support_frames is 1"),
        (["episodes.support_frames=1", "learner.min_shots=1"], "episodes.support_frames is 1"),
    ],
)
def test_steps_on_a_single_clip_of_one_frame_leave_early_stop_nothing_to_hold_out(write, overrides, word):
    assert word in rejected(write(MINIMAL), "learner.early_stop=true", *overrides)
    load_config(write(MINIMAL), overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["evaluate.support_frames=1"],
        ["evaluate.support_frames=1", "evaluate.curve_steps=[0,1]", "evaluate.shots=[2,5]"],
        ["episodes.support_frames=1", "episodes.shots=2", "learner.min_shots=1"],
    ],
)
def test_early_stop_takes_one_frame_where_no_step_is_taken_on_a_single_clip(write, overrides):
    assert load_config(write(MINIMAL), ["learner.early_stop=true", *overrides]).learner.early_stop


@pytest.mark.parametrize("stages", ["[]", "[self,cross]"])
def test_only_the_matching_affinity_can_tell_what_is_unfamiliar(write, stages):
    asked = [f"model.affinity.stages={stages}", "learner.adapt=unfamiliar"]
    assert "set learner.adapt=always" in rejected(write(MINIMAL), *asked)
    load_config(write(MINIMAL), [asked[0], "learner.adapt=always"])


# --------------------------------------------------------------------------- rejected files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: &a {steps: 1}\n", ("anchors and aliases", ":1")),
        ("a: [x, x]\nb: *a\n", ("anchors and aliases", ":2")),
        ("name: a\n\nname: b\n", ("'name' is set twice", ":3", ":1")),
        ("train:\n  steps: 1\n  steps: 2\n", ("'train.steps' is set twice", ":3", ":2")),
        ("seed: !!python/object/apply:os.system [id]\n", ("tag", "python/object/apply", ":1")),
        ("seed: !!int 3\n", ("tag", ":1")),
        ("seed: !x 3\n", ("tag", ":1")),
        ("name: a\n---\nname: b\n", ("second YAML document", ":2")),
        ("name: [a\nseed: 1\n", ("not valid YAML", ":2")),
        ("name: a\n\tseed: 1\n", ("not valid YAML", ":2")),
        ("1: a\n", ("a key must be a word", ":1")),
        ("[a]: b\n", ("a key must be a word", ":1")),
        ("- a\n", ("a mapping",)),
        ("just words\n", ("a mapping",)),
        ("a: " + "[" * 500 + "]" * 500 + "\n", ("nested",)),
        ("{" * 500 + "\n", ("nested",)),
        ("seed: " + "9" * 5000 + "\n", ("digits",)),
        ("a: \x00\n", ("not valid YAML",)),
    ],
)
def test_a_dangerous_or_ambiguous_file_is_rejected_with_its_line(write, text, words):
    message = rejected(write(text))
    assert "experiment.yaml" in message
    for word in words:
        assert word in message


def test_a_bomb_of_aliases_is_rejected_at_once(write):
    levels = "".join(f"{chr(97 + i)}: &{chr(97 + i)} [{', '.join(['*' + chr(96 + i)] * 9)}]\n" for i in range(1, 20))
    assert "aliases" in rejected(write(f"a: &a [x]\n{levels}"))


@pytest.mark.parametrize("make", ["absent", "folder", "binary", "huge"])
def test_what_is_not_a_text_file_is_rejected_by_name(tmp_path, make):
    path = tmp_path / "experiment.yaml"
    if make == "folder":
        path.mkdir()
    elif make == "binary":
        path.write_bytes(b"name: \xff\xfe")
    elif make == "huge":
        path.write_text("#" * 1_000_001)
    assert str(path) in rejected(path)


# --------------------------------------------------------------------------- unknown keys


@pytest.mark.parametrize(
    ("override", "path", "nearest"),
    [
        ("train.stepz=1", "'train.stepz'", "'train.steps'"),
        ("trian.steps=1", "'trian'", "'train'"),
        ("warmup_steps=1", "'warmup_steps'", "'train.warmup_steps'"),
        ("train.root=x", "'train.root'", "'data.root'"),
        ("train.threads=1", "'train.threads'", "'machine.threads'"),
        ("model.affinity.stage=[]", "'model.affinity.stage'", "'model.affinity.stages'"),
        ("data.glyphs.sede=1", "'data.glyphs.sede'", "'data.glyphs.seed'"),
    ],
)
def test_an_unknown_key_is_named_whole_with_the_nearest_valid_one(write, override, path, nearest):
    message = rejected(write(MINIMAL), override)
    assert f"Unknown key {path}" in message
    assert f"the nearest valid key is {nearest}" in message


def test_an_unknown_key_in_a_part_is_found_in_the_file_that_set_it(write):
    write("train:\n  stepz: 3\n", "parts/bad.yaml")
    assert f"parts{'/'}bad.yaml:2" in rejected(write(f"extends: parts/bad.yaml\n{MINIMAL}"))


def test_all_faults_are_named_at_once(write):
    message = rejected(write(MINIMAL), "seed=-1", "train.steps=-1", "nmae=x")
    assert all(word in message for word in ("3 errors", "seed", "train.steps", "'nmae'"))


def test_a_missing_key_is_named_with_its_meaning(write):
    assert "'data' is missing" in rejected(write("name: a\n"))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_is_not_a_plain_folder_name_is_rejected(write, name):
    assert "name = " in rejected(write(MINIMAL), f"name='{name}'")


def test_one_generator_alone_may_write_the_data(write):
    message = rejected(write(MINIMAL), "data.glyphs={}", "data.composed={}")
    assert "data.glyphs and data.composed would both write `root`; set one of them to null" in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "data.composed={scene: 0, still: 0, mosaic: 0}",
            "all weights of kinds are 0; give one of scene, still, mosaic",
        ),
        ("data.composed={frames: 1}", "motion needs at least 2 frames, found frames=1"),
        ("data.composed={smallest: 0.5}", "largest must be at least twice smallest, found 0.85 and 0.5"),
    ],
)
def test_composed_clips_that_cannot_be_made_are_rejected(write, override, words):
    assert words in rejected(write(MINIMAL), override)


# --------------------------------------------------------------------------- extends and overrides


def test_later_parts_win_over_earlier_ones_and_the_file_over_its_parts(write):
    write("train: {steps: 1, warmup_steps: 1, validate_every: 1}\nevaluate: {shots: [1, 2, 3]}\n", "parts/a.yaml")
    write("train: {warmup_steps: 2, validate_every: 2}\n", "parts/b.yaml")
    own = "train: {validate_every: 3}\nevaluate: {shots: [5]}\n"
    config = load_config(write(f"extends: [parts/a.yaml, parts/b.yaml]\n{MINIMAL}{own}"))
    assert (config.train.steps, config.train.warmup_steps, config.train.validate_every) == (1, 2, 3)
    assert config.evaluate.shots == (5,)


def test_parts_are_found_from_the_file_that_names_them(write, monkeypatch):
    write("extends: ../two/b.yaml\n", "one/a.yaml")
    write("seed: 7\n", "two/b.yaml")
    path = write(f"extends: one/a.yaml\n{MINIMAL}")
    monkeypatch.chdir("/")
    assert load_config(path).seed == 7


def test_a_part_that_several_files_extend_is_read_once(write):
    for level in range(40):  # read each time, this would be 2 ** 40 files
        write(f"extends: [p{level + 1}.yaml, p{level + 1}.yaml]\n", f"p{level}.yaml")
    write(MINIMAL, "p40.yaml")
    assert load_config(write("extends: p0.yaml\n")).name == "small"


def test_a_circle_of_parts_is_rejected_with_all_its_files(write):
    write("extends: b.yaml\n", "a.yaml")
    write("extends: c.yaml\n", "b.yaml")
    write("extends: b.yaml\n", "c.yaml")
    with pytest.raises(ConfigError, match=r"circle: \S*/b.yaml -> \S*/c.yaml -> \S*/b.yaml"):
        load_document(write("extends: a.yaml\n"))


def test_a_missing_part_is_rejected_with_the_file_that_asked_for_it(write):
    message = rejected(write("extends: parts/none.yaml\n"))
    assert "parts/none.yaml" in message
    assert "extended by" in message
    assert "experiment.yaml" in message


@pytest.mark.parametrize("value", ["3", "{a: b}", "[1]", "null"])
def test_extends_takes_paths_only(write, value):
    assert "`extends` is a path" in rejected(write(f"extends: {value}\n"))


def test_overrides_reach_every_depth_and_the_last_one_wins(write):
    config = load_config(
        write(MINIMAL),
        [
            "train.learning_rate=1e-4",
            "evaluate.shots=[1, 3]",
            "data.glyphs.seed=4",
            "seed=1",
            "seed=2",
            "machine.cache=null",
        ],
    )
    assert (config.train.learning_rate, config.evaluate.shots, config.seed) == (1e-4, (1, 3), 2)
    assert config.data.glyphs is not None
    assert config.data.glyphs.seed == 4
    assert config.machine.cache is None


@pytest.mark.parametrize("text", ["seed", "=1", "a..b=1", "a b=1", ".a=1", "train.=1", "1a=2"])
def test_what_is_not_an_override_is_rejected(text):
    with pytest.raises(ConfigError, match="not key=value"):
        parse_override(text)


@pytest.mark.parametrize("text", ["seed=*a", "seed=!!python/name:os.system", "seed=[1", "train={steps: 1, steps: 2}"])
def test_override_values_are_read_as_strictly_as_files(write, text):
    assert "override" in rejected(write(MINIMAL), text)


# --------------------------------------------------------------------------- the resolved config


def test_the_resolved_config_is_a_valid_experiment_and_reads_back_equal(write):
    config = load_config(write(MINIMAL), ["train.learning_rate=3e-5", "data.glyphs={}", "model.loss.class=1", "seed=5"])
    again = load_config(write(to_yaml(config), "resolved.yaml"))
    assert again == config
    assert to_yaml(again) == to_yaml(config)
    assert config_hash(again) == config_hash(config)
    assert parse_document(to_yaml(config), "resolved").values == plain(config) == json.loads(json.dumps(plain(config)))


def test_configs_that_differ_have_different_hashes(write):
    path = write(MINIMAL)
    assert config_hash(load_config(path)) != config_hash(load_config(path, ["seed=1"]))


def test_a_loaded_config_cannot_be_changed(write):
    config = load_config(write(MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        config.train.steps = 3


def test_each_key_of_the_tree_has_a_description_and_each_section_rejects_unknown_keys():
    for key, field in key_paths(ExperimentConfig):
        assert field.description, f"{'.'.join(key)} has no description"
        for option in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if hasattr(option, "model_config"):
                assert option.model_config.get("extra") == "forbid", f"{'.'.join(key)} takes unknown keys"


def test_places_of_replaced_values_are_forgotten():
    document = parse_document("a: {b: 1}\n", "one")
    assert document.place(("a", "b")) == "one:1"
    assert Document({}, {}).place(("a",)) == ""


def test_every_error_of_a_config_is_a_user_error():
    assert issubclass(ConfigError, UserError)
    assert issubclass(UserError, ValueError)


def test_loading_a_config_needs_no_torch():
    code = "import sys, fewshot.config.experiment; print('torch' in sys.modules)"
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_dotted_keys_are_those_that_overrides_name():
    values = {"train": {"steps": 3, "inner": {"rate": None}}, "shots": [1, 5], "empty": {}}
    assert dotted(values) == {"train.steps": 3, "train.inner.rate": None, "shots": [1, 5]}
