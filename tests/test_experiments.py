"""Every YAML of the project: experiments and cells load and resolve to themselves, parts are used."""

import pytest

from fewshot.ablation.cells import load_ablation
from fewshot.config.document import load_document
from fewshot.config.experiment import load_config, to_yaml
from tests.paths import ROOT

ABLATIONS = sorted((ROOT / "experiments" / "ablations").glob("*.yaml"))
EXPERIMENTS = sorted({*(ROOT / "experiments").rglob("*.yaml")} - {*ABLATIONS})
PARTS = sorted((ROOT / "configs").rglob("*.yaml"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
def test_an_experiment_loads_and_resolves_to_itself(path, tmp_path):
    config = load_config(path)
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("path", ABLATIONS, ids=name_of)
def test_each_cell_of_an_ablation_resolves_to_itself(path, tmp_path):
    ablation = load_ablation(path)
    ablation.reject_many(allowed=False)
    for cell in ablation.cells:
        (tmp_path / "config.yaml").write_text(to_yaml(cell.config), encoding="utf-8")
        assert load_config(tmp_path / "config.yaml") == cell.config


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_a_part_fits_an_experiment(path, tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text("name: part\ndata: {root: data}\n")
    whole = tmp_path / "whole.yaml"
    whole.write_text(f"extends: [base.yaml, {path.as_posix()}]\n")
    load_config(whole)
    assert set(load_document(path).values) <= {path.parent.name}, (
        "a part sets the section that its folder is named after"
    )


def test_each_experiment_has_a_run_folder_of_its_own():
    names = [load_config(path).name for path in EXPERIMENTS]
    assert len(set(names)) == len(names)
    assert [load_ablation(path).config.name for path in ABLATIONS] == [path.stem for path in ABLATIONS]
