"""Results as tables: aligned text for a terminal, Markdown for a report."""

import re
from collections.abc import Sequence

from tabulate import tabulate

from fewshot.config.evaluation import TRAINING_FREE
from fewshot.results.row import HEAD, group_title
from fewshot.results.statistics import Difference, Estimate
from fewshot.results.summary import RowScores, Summary

Cells = Sequence[Sequence[str]]
INTERVAL_HEAD = "95 % interval"
SCORE_HEAD = ("J", "F", "J&F", INTERVAL_HEAD)
VISIBLE_HEAD = ("J vis.", "F vis.", "absent", "right")
VISIBLE_NOTE = (
    "J vis., F vis.: only over frames that show the object; absent: percentage of the frames without it; right: "
    "percentage of the answers that share more pixels with their object than with any other annotated one, among the "
    "clips that show another (an answer that touches none is wrong)."
)


def results_table(summary: Summary) -> str:
    """All rows of a summary as plain text, one block for each scoring."""
    blocks = []
    for group, scoring in dict.fromkeys(row.table for row in summary.rows):
        rows = {row: scores for row, scores in summary.rows.items() if row.table == (group, scoring)}
        head = (*HEAD, "control", *SCORE_HEAD, *VISIBLE_HEAD)
        body = [
            (*row.cells, row.control or "-", *score_cells(scores), *visible_cells(scores))
            for row, scores in rows.items()
        ]
        seeds = draws_note(summary, max(scores.seeds for scores in rows.values()))
        title = f"{group_title(group)}, {tasks_note(summary)}, {seeds}, {scoring} scoring (points, 0-100)"
        blocks.append(f"{title}\n{text_table(head, body)}")
    notes = [VISIBLE_NOTE] if summary.rows else []
    notes += filter(None, [unadapted_note(summary)])
    notes += [f"Interval: {summary.facts['interval']}."] if "interval" in summary.facts else []
    notes += [f"Task list (manifest): {summary.facts['manifest']}"] if "manifest" in summary.facts else []
    return "\n\n".join([*blocks, "\n".join(notes)]).rstrip()


def score_cells(scores: Estimate | None) -> tuple[str, ...]:
    """The cells below SCORE_HEAD; dashes where there is none."""
    if scores is None:
        return ("-",) * len(SCORE_HEAD)
    return points(scores.J), points(scores.F), points(scores.JF), interval(scores.JF_low, scores.JF_high)


def unadapted_note(summary: Summary) -> str:
    """Which rows repeat those of the unadapted model, since their learner takes no steps on so few clips."""
    config = summary.facts.get("config", {})
    least, label = config.get("learner", {}).get("min_shots", 0), config.get("evaluate", {}).get("label")
    methods = {row.method for row in summary.rows if not row.control and row.shots < least}
    names = sorted(methods - {label, *TRAINING_FREE})
    return f"With fewer than {least} shots {' and '.join(names)} takes no steps and repeats {label}." if names else ""


def visible_cells(scores: RowScores | None) -> tuple[str, ...]:
    """The cells below VISIBLE_HEAD: J and F over the frames with the object, the percentage of those without, and that
    of answers about the right object."""
    if scores is None:
        return ("-",) * len(VISIBLE_HEAD)
    return tuple(map(points, (scores.J_visible, scores.F_visible, scores.absent, scores.right)))


def change_cells(change: Difference | None) -> tuple[str, str]:
    """A difference of J&F with its sign, and its interval; dashes where there is none."""
    if change is None:
        return "-", "-"
    return signed(change.JF), interval(change.JF_low, change.JF_high, "+.1f")


def tasks_note(summary: Summary) -> str:
    """What the tasks are of: novel classes, or another benchmark than that of the training (which, and what the
    training has seen of it)."""
    transfer = summary.facts.get("transfer")
    if not transfer:
        return "novel classes"
    seen = [name for name in transfer["evaluated"] if name in transfer["seen_in_training"]]
    return f"transfer to {transfer['root']}" + (f", seen in training: {', '.join(seen)}" if seen else "")


def draws_note(summary: Summary, seeds: int) -> str:
    """How support and queries were chosen: by so many seeds, or all pairs of videos."""
    asked = summary.facts.get("config", {}).get("evaluate", {})
    pairs = asked.get("draw") == "pairs" and not asked.get("tasks")
    return "all ordered pairs of videos" if pairs else counted(seeds, "support seed")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


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
    numbers = re.compile(r"[-+.,\[\] 0-9]*")
    return [all(numbers.fullmatch(row[column]) for row in body) for column in range(len(head))]
