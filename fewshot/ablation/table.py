"""The result of an ablation: one row for each cell, method and number of shots, as Markdown and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from episodes.controls import Control
from episodes.files import write_whole
from fewshot.ablation.cells import Cell
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import csv_text
from fewshot.results.row import HEAD, Row
from fewshot.results.statistics import Difference, paired_difference
from fewshot.results.summary import RowScores
from fewshot.results.tables import (
    INTERVAL_HEAD,
    SCORE_HEAD,
    VISIBLE_HEAD,
    VISIBLE_NOTE,
    change_cells,
    markdown_table,
    points,
    score_cells,
    visible_cells,
)

_HEADINGS = tuple(control.heading for control in Control)
_NOTE = (
    "Points, 0-100. Interval: of J&F, 95 % bootstrap over classes and videos. Change: of J&F against the cell "
    "`{first}` (same method and shots), paired on the items that both answered. "
    f"{VISIBLE_NOTE} J&F of the unadapted model with a wrong input: "
    + "; ".join(f"{control.heading}: {control.meaning}" for control in Control)
    + ". Without a score: shots with which only controls were run (evaluate.control_shots)."
)


@dataclass(frozen=True)
class TableRow:
    """A row of a cell, without and with the controls. `scores` is None where only controls were run with this number of
    shots; `change` is None for the first cell."""

    cell: Cell
    row: Row
    scores: RowScores | None
    controls: Mapping[Control, RowScores]
    change: Difference | None


def table_rows(runs: Mapping[str, EvaluatedRun], cells: Sequence[Cell]) -> list[TableRow]:
    """Rows of the evaluated cells, those that have a run, in the order of `cells`; the first is compared with."""
    rows: list[TableRow] = []
    first = runs.get(cells[0].label)
    for cell in cells:
        run = runs.get(cell.label)
        scores = {} if run is None else run.summary.rows
        # Controls may be run with numbers of shots of their own.
        for row in dict.fromkeys(row.whole for row in scores):
            with_control = {control: scores.get(replace(row, control=control)) for control in Control}
            controls = {control: scored for control, scored in with_control.items() if scored is not None}
            change = None
            if run is not None and first is not None and run is not first and row in run.rows and row in first.rows:
                resamples = cell.config.evaluate.bootstrap_samples
                change = paired_difference([run.rows[row]], [first.rows[row]], resamples=resamples)
            rows.append(TableRow(cell, row, scores.get(row), controls, change))
    return rows


def write_markdown(path: Path, name: str, rows: Sequence[TableRow], first: str, *, plot: bool) -> str:
    """Write table.md, a table for each group and scoring; returns its text."""
    blocks = [f"# Ablation {name}", _NOTE.format(first=first)]
    blocks += ["![J&F of the cells](plot.png)"] if plot else []
    head = ("cell", *HEAD, *SCORE_HEAD, "change", INTERVAL_HEAD, *VISIBLE_HEAD, *_HEADINGS)
    for group, scoring in dict.fromkeys(row.row.table for row in rows):
        body = [
            (
                *(row.cell.label, *row.row.cells, *score_cells(row.scores), *change_cells(row.change)),
                *visible_cells(row.scores),
                *(points(row.controls[control].JF) if control in row.controls else "-" for control in Control),
            )
            for row in rows
            if row.row.table == (group, scoring)
        ]
        blocks += [f"## Group {group}, `{scoring}` scoring", markdown_table(head, body)]
    text = "\n\n".join(blocks) + "\n"
    write_whole(path, text.encode())
    return text


def write_csv(path: Path, rows: Sequence[TableRow]) -> None:
    """Write table.csv: a column for each key of the grid, scores with every bit; empty where there is none."""
    keys = list(dict.fromkeys(key for row in rows for key in row.cell.point))
    scores = ("J", "F", "JF", "JF_low", "JF_high", "J_visible", "F_visible", "absent", "right")
    changes = ("items", "JF", "JF_low", "JF_high")
    head = (
        *("cell", "variant", *keys, "group", "scoring", *HEAD, *scores),
        *(f"change_{name}" for name in changes),
        *(heading.replace(" ", "_") for heading in _HEADINGS),
    )
    body = [
        (
            *(row.cell.label, row.cell.variant, *(row.cell.point.get(key, "") for key in keys)),
            *(*row.row.table, *row.row.cells),
            *(getattr(row.scores, name, None) for name in scores),
            *(getattr(row.change, name, None) for name in changes),
            *(getattr(row.controls.get(control), "JF", None) for control in Control),
        )
        for row in rows
    ]
    write_whole(path, csv_text(head, body).encode())
