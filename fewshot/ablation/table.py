"""The result of an ablation: one row for each cell, method and number of shots, as Markdown and CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from episodes.controls import Control
from episodes.files import write_whole
from fewshot.ablation.cells import Cell
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import Record, csv_text
from fewshot.results.statistics import Difference, paired_difference
from fewshot.results.summary import Key, SummaryRow, split
from fewshot.results.tables import (
    VISIBLE_HEAD,
    VISIBLE_NOTE,
    interval,
    markdown_table,
    points,
    signed,
    visible_cells,
)

_HEADINGS = tuple(control.heading for control in Control)
_INTERVAL = "95 % interval"
_NOTE = (
    "Points, 0-100. Interval: of J&F, 95 % bootstrap over classes and videos. Change: of J&F against the cell "
    "`{first}` (same method and shots), paired on the items that both answered. "
    f"{VISIBLE_NOTE} J&F that is left to the model fed forward with a wrong input: "
    + "; ".join(f"{control.heading}: {control.meaning}" for control in Control)
    + "."
)


@dataclass(frozen=True)
class TableRow:
    """`scores` is None where only controls were run with this number of shots; `change` is None for the first cell."""

    cell: Cell
    group: int
    scoring: str
    method: str
    shots: int
    scores: SummaryRow | None
    controls: Mapping[Control, SummaryRow]
    change: Difference | None


def table_rows(runs: Mapping[str, EvaluatedRun], cells: Sequence[Cell]) -> list[TableRow]:
    """Rows of the evaluated cells, those that have a run, in the order of `cells`; the first is compared with."""
    rows: list[TableRow] = []
    reference: dict[Key, list[Record]] = {}
    for cell in cells:
        if cell.label not in runs:
            continue
        summary_rows = {_key(row): row for row in runs[cell.label].summary.rows}
        records = split(runs[cell.label].records)
        if cell is cells[0]:
            reference = records
        # Controls may be run with numbers of shots of their own.
        for method, shots, scoring, group in dict.fromkeys((k[0], k[1], k[3], k[4]) for k in summary_rows):
            plain: Key = (method, shots, None, scoring, group)
            keys = {control: (method, shots, control, scoring, group) for control in Control}
            controls = {control: summary_rows[key] for control, key in keys.items() if key in summary_rows}
            change = None
            if cell is not cells[0] and plain in records and plain in reference:
                resamples = cell.config.evaluate.bootstrap_samples
                change = paired_difference(records[plain], reference[plain], resamples=resamples)
            rows.append(TableRow(cell, group, scoring, method, shots, summary_rows.get(plain), controls, change))
    return rows


def write_markdown(path: Path, name: str, rows: Sequence[TableRow], first: str, *, plot: bool) -> str:
    """Write table.md, a table for each group and scoring; returns its text."""
    blocks = [f"# Ablation {name}", _NOTE.format(first=first)]
    blocks += ["![J&F of the cells](plot.png)"] if plot else []
    for group, scoring in dict.fromkeys((row.group, row.scoring) for row in rows):
        body = [_cells(row) for row in rows if (row.group, row.scoring) == (group, scoring)]
        head = ("cell", "method", "shots", "J", "F", "J&F", _INTERVAL, "change", _INTERVAL, *VISIBLE_HEAD, *_HEADINGS)
        blocks += [f"## Group {group}, `{scoring}` scoring", markdown_table(head, body)]
    text = "\n\n".join(blocks) + "\n"
    write_whole(path, text.encode())
    return text


def write_csv(path: Path, rows: Sequence[TableRow]) -> None:
    """Write table.csv: a column for each key of the grid, scores with every bit; empty where there is none."""
    keys = list(dict.fromkeys(key for row in rows for key in row.cell.point))
    scores = ("J", "F", "JF", "JF_low", "JF_high", "J_visible", "F_visible", "absent")
    changes = ("items", "JF", "JF_low", "JF_high")
    head = (
        *("cell", "variant", *keys, "group", "scoring", "method", "shots", *scores),
        *(f"change_{name}" for name in changes),
        *(heading.replace(" ", "_") for heading in _HEADINGS),
    )
    body = [
        (
            *(row.cell.label, row.cell.variant, *(row.cell.point.get(key, "") for key in keys)),
            *(row.group, row.scoring, row.method, row.shots),
            *(_number(row.scores, name) for name in scores),
            *(_number(row.change, name) for name in changes),
            *(_number(row.controls.get(control), "JF") for control in Control),
        )
        for row in rows
    ]
    write_whole(path, csv_text(head, body).encode())


def _key(row: SummaryRow) -> Key:
    return row.method, row.shots, row.control, row.scoring, row.group


def _cells(row: TableRow) -> tuple[str, ...]:
    scores, visible = ("-",) * 4, ("-",) * 3
    if row.scores is not None:
        s, visible = row.scores, visible_cells(row.scores)
        scores = (points(s.J), points(s.F), points(s.JF), interval(s.JF_low, s.JF_high))
    change = ("-", "-")
    if row.change is not None:
        change = signed(row.change.JF), interval(row.change.JF_low, row.change.JF_high, "+.1f")
    controls = (points(row.controls[control].JF) if control in row.controls else "-" for control in Control)
    return row.cell.label, row.method, str(row.shots), *scores, *change, *visible, *controls


def _number(source: Any, name: str) -> str:
    return "" if source is None else repr(getattr(source, name))
