"""Results as tables: aligned text for a terminal, Markdown for a report."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from fewshot.results.summary import Summary, SummaryRow

Cells = Sequence[Sequence[str]]
VISIBLE_HEAD = ("J vis.", "F vis.", "absent")
VISIBLE_NOTE = "J vis., F vis.: only over frames that show the object; absent: percentage of the frames without it."


def results_table(summary: Summary) -> str:
    """All rows of a summary as plain text, one block for each scoring."""
    blocks = []
    for group, scoring in dict.fromkeys((row.group, row.scoring) for row in summary.rows):
        rows = [row for row in summary.rows if (row.group, row.scoring) == (group, scoring)]
        head = ("method", "shots", "control", "J", "F", "J&F", "95 % interval", *VISIBLE_HEAD, "seconds")
        body = [
            (
                *(row.method, str(row.shots), row.control or "-"),
                *(points(row.J), points(row.F), points(row.JF), interval(row.JF_low, row.JF_high)),
                *(*visible_cells(row), f"{row.seconds:.1f}"),
            )
            for row in rows
        ]
        asked = transfer_note(summary) or "novel classes"
        seeds = max(row.seeds for row in rows)
        drawn = f"{seeds} support seed{'' if seeds == 1 else 's'}"
        title = f"Group {group}, {asked}, {drawn}, {scoring} scoring (points, 0-100)"
        blocks.append(f"{title}\n{text_table(head, body)}")
    notes = [VISIBLE_NOTE] if summary.rows else []
    notes += [f"Interval: {summary.facts['interval']}."] if "interval" in summary.facts else []
    notes += [f"Support list (manifest): {summary.facts['manifest']}"] if "manifest" in summary.facts else []
    return "\n\n".join([*blocks, "\n".join(notes)]).rstrip()


def visible_cells(row: SummaryRow) -> tuple[str, str, str]:
    """The cells below VISIBLE_HEAD: J and F over the frames with the object, and the percentage of those without."""
    return points(row.J_visible), points(row.F_visible), points(row.absent)


def transfer_note(summary: Summary) -> str:
    """Where the tasks are of another benchmark than that of the training: which, and what the training has seen."""
    transfer = summary.facts.get("transfer")
    if not transfer:
        return ""
    seen = [name for name in transfer["evaluated"] if name in transfer["seen_in_training"]]
    return f"transfer to {transfer['root']}" + (f", seen in training: {', '.join(seen)}" if seen else "")


def points(value: float) -> str:
    return f"{value:.1f}"


def signed(value: float) -> str:
    return f"{value:+.1f}"


def interval(low: float, high: float, form: str = ".1f") -> str:
    return f"[{low:{form}}, {high:{form}}]"


def text_table(head: Sequence[str], body: Cells) -> str:
    """Columns aligned by spaces: words to the left, numbers to the right."""
    return _table(head, body, "simple")


def markdown_table(head: Sequence[str], body: Cells) -> str:
    """The same as Markdown; only `|` is escaped."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (head, *body)]
    return _table(escaped[0], escaped[1:], "pipe")


def _table(head: Sequence[str], body: Cells, form: str) -> str:
    sides = ["right" if numeric else "left" for numeric in numeric_columns(head, body)]
    # Cells are text already: tabulate would read numbers in them, and round or align these by their point.
    return tabulate(body, head, tablefmt=form, colalign=sides, disable_numparse=True)


def numeric_columns(head: Sequence[str], body: Cells) -> list[bool]:
    """For each column whether it holds nothing but numbers and intervals, which are set to the right."""
    return [all(_is_numeric(row[column]) for row in body) for column in range(len(head))]


def _is_numeric(cell: str) -> bool:
    return re.fullmatch(r"[-+.,\[\] 0-9]*", cell) is not None
