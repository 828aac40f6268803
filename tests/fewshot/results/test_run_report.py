"""Report and results table of a small run folder, written by the same functions as a real one."""

import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from episodes.controls import Control
from episodes.evaluation_tasks import EvaluationTask
from episodes.files import json_digest
from episodes.task_file import task_file_text
from episodes.types import ClipRef
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.gallery import DrawnQuery
from fewshot.results.overlays import ClipPicture, draw_overlay, write_overlay
from fewshot.results.page.markdown import markdown_page
from fewshot.results.page.report import build_page
from fewshot.results.records import Item, Record
from fewshot.results.row import Row
from fewshot.results.summary import summarise
from fewshot.results.tables import results_table
from fewshot.runs.run import Run
from tests.markdown import markdown_rows

LEVELS = {  # method, shots, control -> mean J
    ("prototype", 1, None): 0.17,
    ("prototype", 5, None): 0.21,
    ("cma", 1, None): 0.62,
    ("cma", 5, None): 0.68,
    ("cma+finetune", 1, None): 0.64,
    ("cma+finetune", 5, None): 0.71,
    ("cma", 1, Control.WRONG_CLASS): 0.12,
    ("cma", 1, Control.NO_MASK): 0.10,
    ("cma", 1, Control.WRONG_SENTENCE): 0.24,
}
CLASSES = ("umbrella", "anchor", "snowman", "crown")
TASKS = [
    EvaluationTask(name, seed, (ClipRef("a", "1", "0", ("f",)),), (ClipRef(f"{name}-0", "1", "0", ("f",)),))
    for name in CLASSES
    for seed in range(3)
]


def _records() -> list[Record]:
    rng = np.random.default_rng(0)
    records = []
    for scoring in ("paper", "davis"):
        for (method, shots, control), level in LEVELS.items():
            for seed in range(3):
                for name in CLASSES:
                    for video in range(4):
                        region = np.clip(rng.normal(level, 0.1, size=9), 0, 1)
                        row = Row(method, shots, control, scoring, 1)
                        item = Item(seed, name, f"{name}-{video}", "1", "0")
                        boundary = np.clip(region + 0.05, 0, 1)
                        records.append(Record.of_clip(row, item, region, boundary, seconds=0.02))
    return records


def _clip(frames: int, text: str, offset: int) -> ClipPicture:
    rows, columns = np.mgrid[:96, :128]
    masks = np.stack([np.hypot(rows - 48, columns - offset - 6 * t) < 18 for t in range(frames)])
    pictures = np.random.default_rng(offset).integers(60, 140, size=(frames, 96, 128, 3)).astype(np.uint8)
    pictures[masks] = (60, 90, 200)
    return ClipPicture(pictures, masks, text)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "demo")
    run.folder.mkdir()
    records = _records()
    run.config_file.write_text("name: demo-of-tests\ndata: {root: x, short_side: 480}\n")
    config = {"name": "demo-of-tests", "seed": 0, "data": {"group": 1, "short_side": 96}, "evaluate": {"label": "cma"}}
    for step in (0, 40):
        run.add_start(seed=0, step=step)
    rng = np.random.default_rng(1)
    with run.log(step=0, main=True) as log:
        for step in range(0, 1000, 10):
            log.scalars(
                step, "train", {"loss": 4 * np.exp(-step / 300) + 0.8 + 0.3 * rng.random(), "seconds": step / 9}
            )
            if step % 200 == 0:
                log.scalars(
                    step, "validation", {"J": 60 - 50 * np.exp(-step / 250), "F": 63 - 50 * np.exp(-step / 250)}
                )
    query = _clip(8, "the blue disk that moves to the right", 30)
    support = [_clip(5, "a disk", 20), _clip(5, "the disk on a noisy ground, blue & round", 50)]
    page = draw_overlay(support, query, np.roll(query.masks, 5, axis=2), title="cma 2-shot, umbrella", scores=[0.6] * 8)
    with run.new_results() as results:
        picture = results.overlays / "umbrella-0.png"
        write_overlay(picture, page)
        row, item = Row("cma", 1, None, "paper", 1), Item(0, "umbrella", "umbrella-0", "1", "0")
        shown = DrawnQuery(picture, "best", row, item, query.text, J=60.0, F=65.0)
        summary = summarise(records, resamples=200, config=config, training_seconds=312.5)
        results.write(summary, records, task_file_text(TASKS, "x"), None, [shown])
        results.write_report(run.evaluated(results=results))
    return run


@pytest.fixture(scope="module")
def report(run: Run) -> str:
    return (run.folder / "results" / "report.md").read_text(encoding="utf-8")


def report_text(evaluated: EvaluatedRun, folder: Path) -> str:
    return markdown_page(build_page([evaluated]), folder)


def test_the_report_holds_every_number_of_the_main_table(run: Run, report: str) -> None:
    for row, found in run.evaluated().summary.rows.items():
        if row.control is None or row.scoring == "paper":
            control = () if row.control is None else (row.control,)
            numbers = (
                f"{found.J:.1f}",
                f"{found.F:.1f}",
                f"{found.JF:.1f}",
                f"[{found.JF_low:.1f}, {found.JF_high:.1f}]",
            )
            cells = (row.method, str(row.shots), *control, *numbers)
            assert cells in [shown[: len(cells)] for shown in markdown_rows(report)]


def test_the_report_says_how_sure_it_is_and_what_it_stands_on(report: str) -> None:
    assert json_digest(TASKS) in report
    assert "200 bootstrap resamples" in report
    assert re.search(r"\| +3 \| +\d\.\d \| seed 0: \d\d\.\d, seed 1: \d\d\.\d, seed 2: \d\d\.\d \|", report)
    assert "demo-of-tests" in report
    assert "312.5" in report
    assert "short side 96" in report
    assert {("step", "40"), ("versions.torch", version("torch"))} <= set(markdown_rows(report))


def test_the_report_names_every_class_control_and_seed(report: str) -> None:
    for word in (*CLASSES, *(control.meaning for control in Control), "seed 2"):
        assert word in report


def test_every_file_that_the_report_links_exists(run: Run, report: str) -> None:
    links = [part.split(")")[0] for part in report.split("](")[1:]]

    assert set(links) == {"curve.png", "overlays/umbrella-0.png"}
    assert all((run.folder / "results" / link).is_file() for link in links)


def test_every_markdown_table_has_rows_of_one_length(report: str) -> None:
    for block in report.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_the_training_curve_is_a_picture(run: Run) -> None:
    with Image.open(run.folder / "results" / "curve.png") as picture:
        assert picture.width > 500


def test_equal_runs_give_equal_reports(run: Run, report: str) -> None:
    assert report_text(run.evaluated(), run.folder / "results") == report


def test_a_report_needs_neither_training_nor_pictures(run: Run) -> None:
    text = report_text(replace(run.evaluated(), start={}, series={}, training_curve=None, drawn=()), run.folder)

    for absence in ("No loss was logged", "No start of the training is known", "No query of this run was drawn"):
        assert absence in text


def test_the_report_is_of_the_config_that_was_evaluated_not_of_the_training(run: Run, report: str) -> None:
    assert "short_side: 480" in run.config_file.read_text(encoding="utf-8")
    assert "short side 96" in report
    assert "short side 480" not in report


def test_pictures_are_linked_from_where_the_report_lies_whatever_they_are_called(run: Run, tmp_path: Path) -> None:
    evaluated = run.evaluated()
    drawn = replace(evaluated.drawn[0], picture=tmp_path / "a (b) [c].png", sentence="a [b](c) d]")

    text = report_text(replace(evaluated, drawn=(drawn,)), tmp_path / "report")

    assert "](../a%20%28b%29%20%5Bc%5D.png)" in text
    assert "sentence “a (b)(c) d)”" in text


def test_the_terminal_table_shows_each_row_on_one_line_of_at_most_120_characters(run: Run) -> None:
    table, notes = results_table(run.evaluated().summary).rsplit("\n\n", 1)

    assert all(len(line) <= 120 for line in table.splitlines())
    assert sum(line.startswith(("cma", "prototype")) for line in table.splitlines()) == 2 * len(LEVELS)
    assert "bootstrap" in notes
