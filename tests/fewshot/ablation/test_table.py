"""The table of an ablation holds the cells' own numbers, their controls, and paired changes against the first."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from episodes.controls import Control
from episodes.task_file import TaskFile
from fewshot.ablation.cells import Cell, load_ablation
from fewshot.ablation.plot import _numeric_key, draw_plot
from fewshot.ablation.table import table_rows, write_csv, write_markdown
from fewshot.config.experiment import plain
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import Item, Record
from fewshot.results.row import Row
from fewshot.results.summary import summarise
from tests.markdown import markdown_rows

LEVELS = {
    **{("cma", 1, None): 0.5, ("cma", 3, None): 0.6, ("cma", 5, None): 0.7},
    **{("cma", 1, Control.NO_MASK): 0.1, ("cma", 2, Control.WRONG_SENTENCE): 0.2},
}


def evaluated_cell(folder, config, shift, levels):
    """A cell whose scores are `shift` above `levels`, clip by clip."""
    rng = np.random.default_rng(0)  # the same clips are hard in every cell
    records = []
    for scoring in ("paper", "davis"):
        for (method, shots, control), level in levels.items():
            for name in ("anchor", "crown"):
                for video in range(5):
                    region = np.clip(rng.normal(level, 0.1, size=4), 0, 0.6) + shift
                    row, item = Row(method, shots, control, scoring, 1), Item(0, name, f"{name}-{video}", "1", "0")
                    records.append(Record.of_clip(row, item, region, region, seconds=0.1))
    summary = summarise(records, resamples=50)
    tasks = TaskFile(benchmark="x", manifest="", tasks=())
    return EvaluatedRun(folder, folder.name, plain(config), summary, tuple(records), tasks, (), (), {}, {})


@pytest.fixture
def study(tmp_path):
    """(cells, their runs) of an ablation with two named cells and a grid over `grid`."""

    def make(grid, levels=LEVELS):
        (tmp_path / "base.yaml").write_text("name: base\ndata: {root: x}\nevaluate: {bootstrap_samples: 50}\n")
        text = f"name: study\nbase: base.yaml\ncells: {{one: {{}}, two: {{model.fusion: multiply}}}}\ngrid: {grid}\n"
        (tmp_path / "study.yaml").write_text(text)
        cells = load_ablation(tmp_path / "study.yaml").cells
        runs = {
            cell.label: evaluated_cell(tmp_path / cell.label, cell.config, 0.05 * n, levels)
            for n, cell in enumerate(cells)
        }
        return cells, runs

    return make


def test_each_cell_method_and_number_of_shots_has_a_row_with_the_summary_s_numbers(study):
    cells, runs = study("{}")
    rows = table_rows(runs, cells)
    assert [(row.cell.label, row.row.scoring, row.row.shots) for row in rows] == [
        (cell, scoring, shots) for cell in ("one", "two") for scoring in ("paper", "davis") for shots in (1, 3, 5, 2)
    ]
    for row in rows:
        summary_rows = runs[row.cell.label].summary.rows
        assert row.scores == summary_rows.get(row.row)
        for control in (Control.NO_MASK, Control.WRONG_SENTENCE):
            assert row.controls.get(control) == summary_rows.get(replace(row.row, control=control))


def test_the_change_is_paired_against_the_first_cell(study):
    cells, runs = study("{}")
    rows = table_rows(runs, cells)
    assert all(row.change is None for row in rows if row.cell is cells[0])
    changes = [row.change for row in rows if row.cell is cells[1] and row.scores is not None]
    # Every clip is better by 5 points, so the paired interval has no width, whatever the spread of the clips.
    assert [(round(c.JF, 6), round(c.JF_low, 6), round(c.JF_high, 6)) for c in changes] == [(5.0, 5.0, 5.0)] * 6


def test_cells_without_a_result_are_left_out(study):
    cells, runs = study("{}")
    only = {"two": runs["two"]}
    rows = table_rows(only, cells)
    assert {row.cell.label for row in rows} == {"two"}
    assert all(row.change is None for row in rows), "there is nothing to compare with"
    assert table_rows({}, cells) == []


def test_markdown_and_csv_hold_the_same_rows(study, tmp_path):
    cells, runs = study("{seed: [0, 1]}")
    rows = table_rows(runs, cells)
    text = write_markdown(tmp_path / "table.md", "study", rows, "one_seed-0", plot=True)
    assert (tmp_path / "table.md").read_text() == text
    write_csv(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(rows)
    shown = {cells[:6] for cells in markdown_rows(text)}
    for row, line in zip(rows, lines, strict=True):
        assert (line["cell"], line["seed"], int(line["shots"])) == (
            row.cell.label,
            str(row.cell.config.seed),
            row.row.shots,
        )
        if row.scores is None:
            assert line["JF"] == ""
            continue
        assert float(line["JF"]) == row.scores.JF
        scores = (f"{score:.1f}" for score in (row.scores.J, row.scores.F, row.scores.JF))
        assert (row.cell.label, "cma", str(row.row.shots), *scores) in shown
    assert text.count("\n## ") == 2, "a table for each scoring"
    assert "seconds" not in text, "two runs of one ablation give the same table"


@pytest.mark.parametrize(
    ("grid", "key"),
    [
        ("{learner.steps: [1, 2]}", "learner.steps"),
        ("{model.word_prior: [true, false], learner.learning_rate: [1e-5, 1e-2]}", "learner.learning_rate"),
        ("{seed: [0, 1]}", None),
        ("{}", None),
    ],
)
def test_a_line_is_drawn_over_a_quantity_of_the_grid(study, tmp_path, grid, key):
    cells, runs = study(grid)
    rows = table_rows(runs, cells)
    assert _numeric_key(rows) == key
    assert draw_plot(rows, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as picture:
        picture.load()


def test_bars_are_drawn_where_there_are_few_shots_and_nothing_without_scores(study, tmp_path):
    cells, runs = study("{}", {("cma", 1, None): 0.5, ("cma", 1, Control.WRONG_CLASS): 0.1})
    rows = table_rows(runs, cells)
    assert draw_plot(rows, tmp_path / "plot.png")
    assert not draw_plot([replace(row, scores=None) for row in rows], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    assert isinstance(rows[0].cell, Cell)
