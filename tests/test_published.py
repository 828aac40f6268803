"""The presets of the published method: what differs from ours is exactly what docs/published.md lists."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from episodes.readers.layouts import SAIL_CLASSES
from fewshot.cli import main
from fewshot.config.experiment import load_config, plain
from fewshot.runs.run import Run
from tests.paths import ROOT
from tests.tiny_benchmark import write_tiny_benchmark

TABLES = (ROOT / "docs/published.md").read_text(encoding="utf-8").split("\n## ")[1:]
Differences = dict[str, tuple[Any, Any]]


def documented(section: str, table: int = 0) -> Differences:
    """key -> (left value, right value) of a table in the section whose title holds this text."""
    (text,) = (part for part in TABLES if section in part.splitlines()[0])
    rows = [re.findall(r"^\| `(\w[\w.]*)` \| `(.+?)` \| `(.+?)` \|", line) for line in text.splitlines()]
    groups: list[Differences] = [{}]
    for row in rows:
        if row:
            key, left, right = row[0]
            groups[-1][key] = (json.loads(left), json.loads(right))
        elif groups[-1]:
            groups.append({})
    return [group for group in groups if group][table]


def differences(left: Any, right: Any, key: str = "") -> Differences:
    if isinstance(left, dict) and isinstance(right, dict):
        assert left.keys() == right.keys()
        found: Differences = {}
        for name in left:
            found |= differences(left[name], right[name], f"{key}.{name}" if key else name)
        return found
    return {} if left == right else {key: (left, right)}


@pytest.fixture
def model_of(tmp_path: Path) -> Any:
    def load(part: str) -> dict[str, Any]:
        path = tmp_path / "experiment.yaml"
        path.write_text(f"extends: {ROOT / 'configs/model' / part}\nname: x\ndata: {{root: data}}\n")
        return {"model": plain(load_config(path))["model"]}

    return load


def show(title: str, found: Differences) -> None:
    print(f"{title}:", *(f"{key}: {left!r} -> {right!r}" for key, (left, right) in found.items()), sep="\n  ")  # noqa: T201


def test_faithful_differs_from_the_papers_network_in_exactly_the_documented_settings(model_of: Any) -> None:
    found = differences(model_of("published.yaml"), model_of("faithful.yaml"))

    show("published -> faithful", found)
    assert found == documented("What the release does differently")


def test_the_default_differs_from_the_papers_network_in_exactly_the_documented_settings(model_of: Any) -> None:
    found = differences(model_of("default.yaml"), model_of("published.yaml"))

    show("default -> published", found)
    assert found == documented("What we add")


def test_faithful_differs_from_the_default_in_the_settings_of_both_tables_and_no_other(model_of: Any) -> None:
    found = differences(model_of("default.yaml"), model_of("faithful.yaml"))

    show("default -> faithful", found)
    assert found == documented("What we add") | documented("What the release does differently")


def test_the_faithful_experiment_differs_from_ours_by_its_model_and_the_documented_training() -> None:
    ours, faithful = (plain(load_config(ROOT / f"experiments/mini_ytvos_{name}.yaml")) for name in ("cma", "faithful"))
    found = differences(ours, faithful)

    show("mini_ytvos_cma -> mini_ytvos_faithful", found)
    who = {key for key in found if key == "name" or key.startswith(("learner.", "evaluate.label", "evaluate.methods"))}
    rest = {key: value for key, value in found.items() if key not in who and not key.startswith("model.")}
    assert rest == documented("What the release does differently", table=1)


# --------------------------------------------------------------------------- the experiments of the official sets

STAND_IN = [
    *("initial_weights=null", "model.image_encoder=resnet18", "model.text_encoder=package:minilm"),
    *("model.pretrained=false", "data.short_side=64", "data.max_long_side=96"),
    *("train.steps=2", "train.milestones=[1]", "train.validation_episodes=1"),
    *("machine.loader_workers=0", "machine.threads=1", "machine.log_every=1"),
    *("evaluate.seeds=[0]", "evaluate.shots=[1]", "evaluate.max_queries_per_class=1"),
    *("evaluate.controls=[]", "machine.save_overlays=1", "evaluate.bootstrap_samples=10"),
]


@pytest.mark.parametrize("name", ["mini_ytvos_cma", "mini_ytvos_faithful", "mini_sailvos_transfer"])
def test_an_official_experiment_takes_two_steps_and_is_evaluated_with_small_encoders(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the encoders, the picture size and the length is as the experiment says."""
    monkeypatch.chdir(tmp_path)
    names = ("hat", "plant", "hand", "dog", "raccoon", "squirrel", "bus", "person")
    write_tiny_benchmark(tmp_path / "data/Mini-Ref-YouTube-VOS", names=names, frames=6, videos_per_class=3)
    write_tiny_benchmark(tmp_path / "data/Mini-Ref-SAIL-VOS", layout="sailvos-readme", names=SAIL_CLASSES, frames=6)

    assert main(["run", str(ROOT / f"experiments/{name}.yaml"), "--out", "run", *STAND_IN]) == 0

    steps = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [line["total"] for line in steps if line["kind"] == "train"]
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    classes = {record.item.category for record in Run(tmp_path / "run").evaluated().records}
    assert classes == set(SAIL_CLASSES if "sail" in name else ("hat", "raccoon"))
