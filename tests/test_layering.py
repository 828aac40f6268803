"""The direction of imports: episodes <- models <- fewshot, and no heavy import where an answer must be quick."""

import ast
import re
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("episodes", "models", "fewshot")
ALLOWED = {"episodes": {"episodes"}, "models": {"models", "episodes"}, "fewshot": {"fewshot", "models", "episodes"}}
# What `models` may know of `episodes`: the typed batches, their padding, the errors that the command line understands,
# and the base of all config sections.
SHARED_WITH_MODELS = {"episodes.types", "episodes.padding", "episodes.errors", "episodes.config"}
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
COMMAND_LINE = {Path("fewshot/cli.py"), Path("fewshot/__main__.py")}
COMMAND_LINE |= {path for path in FILES if path.parts[1] == "commands"}


def imported(path):
    """Full names of the modules that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by the full name"
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_package_imports_only_what_lies_below_it(path):
    package = path.parts[0]
    for name in imported(path):
        top = name.split(".")[0]
        assert top not in PACKAGES or top in ALLOWED[package], f"{path} imports {name}"
        if package == "models" and top == "episodes":
            assert name in SHARED_WITH_MODELS, f"{path} imports {name}"


@pytest.mark.parametrize("path", [path for path in FILES if path not in COMMAND_LINE], ids=str)
def test_only_the_command_line_prints_or_ends_the_process(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "sys.exit", "exit", "os._exit"), f"{path}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_global_random_generator_is_used(path):
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            assert node.attr in ("default_rng", "Generator", "SeedSequence"), f"{path}:{node.lineno} uses {node.attr}"
    assert "random" not in imported(path), f"{path} imports the global generator of Python"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_is_unpickled_and_only_one_module_reads_yaml(path):
    names = imported(path)
    assert not names & {"pickle", "dill", "joblib", "marshal", "shelve"}
    assert path == Path("fewshot/config/yaml_text.py") or not {name for name in names if "yaml" in name.split(".")}
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            safe = {word.arg: ast.unparse(word.value) for word in node.keywords}.get("weights_only")
            assert safe == "True", f"{path}:{node.lineno} loads more than tensors"


def test_only_the_parser_knows_how_the_program_is_called():
    named = [path for path in FILES if "run.py" in (ROOT / path).read_text(encoding="utf-8")]
    assert named == [Path("fewshot/arguments.py")], "a message names the command alone"


# A Run is the only thing that knows what lies in a run folder. (A benchmark has a meta.json of its own.)
OF_A_RUN = {
    *("config.yaml", "checkpoints", "metrics.jsonl", "meta.json", "tb", "results"),
    *("summary.json", "records.csv", "tasks.json", "adaptation_curve.csv", "overlays", "overlays.json"),
    *("report.md", "curve.png"),
}


def path_parts(path):
    """(line, part) of every string in the code, f-strings included, that may be a path; prose has spaces."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.search(r"\s", node.value):
            yield from ((node.lineno, part) for part in node.value.split("/"))


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != Path("fewshot/runs")], ids=str)
def test_only_a_run_names_the_files_of_a_run_folder(path):
    owned = OF_A_RUN - ({"meta.json"} if path.parts[0] == "episodes" else set())
    named = [f"{path}:{line} names {part}" for line, part in path_parts(path) if part in owned]
    assert named == [], "ask fewshot.runs.run.Run"


def test_every_file_of_a_run_folder_is_named_once():
    parts = [part for path in FILES if path.parent == Path("fewshot/runs") for _, part in path_parts(path)]
    assert {name: parts.count(name) for name in OF_A_RUN} == dict.fromkeys(OF_A_RUN, 1)


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[:2] == ("fewshot", "results")], ids=str)
def test_results_do_not_know_where_they_lie(path):
    assert not [name for name in imported(path) if name.startswith("fewshot.runs")]
