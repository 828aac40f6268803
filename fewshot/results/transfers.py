"""One model on several other benchmarks: all results in one table."""

from collections.abc import Mapping

from fewshot.results.row import HEAD
from fewshot.results.summary import Summary
from fewshot.results.tables import (
    SCORE_HEAD,
    VISIBLE_HEAD,
    VISIBLE_NOTE,
    score_cells,
    tasks_note,
    text_table,
    unadapted_note,
    visible_cells,
)


def transfers_table(summaries: Mapping[str, Summary]) -> str:
    """Name of a benchmark -> its results, as plain text: one block for each scoring, with all rows of each benchmark.

    There is no mean over benchmarks: they ask for different things.
    """
    head = ("benchmark", *HEAD, "control", *SCORE_HEAD, *VISIBLE_HEAD)
    blocks = []
    for scoring in dict.fromkeys(row.scoring for summary in summaries.values() for row in summary.rows):
        body = [
            (name, *row.cells, row.control or "-", *score_cells(scores), *visible_cells(scores))
            for name, summary in summaries.items()
            for row, scores in summary.rows.items()
            if row.scoring == scoring
        ]
        blocks.append(f"Transfer, {scoring} scoring (points, 0-100)\n{text_table(head, body)}")
    notes = [VISIBLE_NOTE, *(f"{name}: {tasks_note(summary)}." for name, summary in summaries.items())]
    notes += filter(None, dict.fromkeys(map(unadapted_note, summaries.values())))
    return "\n\n".join([*blocks, "\n".join(notes)])
