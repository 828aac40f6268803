"""One experiment over the groups of a benchmark: the mean over groups that published tables are headed by.

There is one evaluated run for each group.
"""

from collections.abc import Callable, Sequence
from statistics import fmean

from episodes.catalog import GROUPS
from episodes.controls import Control
from episodes.errors import UserError
from fewshot.results.comparable import experiment_differences, listed
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.statistics import RESAMPLES, estimate_over_groups
from fewshot.results.summary import SummaryRow, split
from fewshot.results.tables import VISIBLE_HEAD, VISIBLE_NOTE, Cells, interval, points


def groups_table(
    evaluated: Sequence[EvaluatedRun], form: Callable[[Sequence[str], Cells], str], *, resamples: int = RESAMPLES
) -> str:
    """The table of all rows that every run holds, one block for each scoring; `form` lays out head and body.

    Raises UserError if two runs are of one group, fewer than two are given, or they are of different experiments.
    """
    runs = by_group(evaluated)
    parts = split([record for run in runs.values() for record in run.records])
    held = [{_key(row): row for row in run.summary.rows} for run in runs.values()]
    keys = [key for key in held[0] if all(key in rows for rows in held)]
    columns = (*VISIBLE_HEAD, *(f"group {group}" for group in runs))
    head = ("method", "shots", "control", "J", "F", "J&F", "95 % interval", *columns)
    blocks = []
    for scoring in dict.fromkeys(key[3] for key in keys):
        body = []
        for key in (key for key in keys if key[3] == scoring):
            mean = estimate_over_groups([r for group in runs for r in parts[(*key, group)]], resamples=resamples)
            numbers = (points(mean.J), points(mean.F), points(mean.JF), interval(mean.JF_low, mean.JF_high))
            of_row = [rows[key] for rows in held]
            means = (fmean(getattr(row, name) for row in of_row) for name in ("J_visible", "F_visible", "absent"))
            further = (*map(points, means), *(points(row.JF) for row in of_row))
            body.append((key[0], str(key[1]), key[2] or "-", *numbers, *further))
        blocks.append(f"{_title(runs)}, {scoring} scoring (points, 0-100)\n\n{form(head, body)}")
    notes = [
        f"Interval: of the mean J&F, from {resamples} bootstrap resamples: groups are fixed; classes, then videos in "
        "each drawn class, are drawn within each group, and the groups' means are averaged. Columns of groups: J&F.",
        VISIBLE_NOTE,
    ]
    lost = dict.fromkeys(
        f"{key[0]} {key[1]}-shot {key[2] or ''}".strip() for rows in held for key in rows if key not in keys
    )
    if lost:
        notes.append(f"Left out, since not every run holds it: {', '.join(lost)}.")
    if any(run.config["evaluate"]["transfer"] for run in runs.values()):
        notes.append("Transfer: these groups share classes, but are drawn apart, so the interval is too narrow.")
    return "\n\n".join((*blocks, "\n".join(notes)))


def by_group(evaluated: Sequence[EvaluatedRun]) -> dict[int, EvaluatedRun]:
    """The runs by group, groups ascending. UserError if they are not one experiment over two groups or more."""
    if len(evaluated) < 2:
        raise UserError(f"a mean over groups needs a run for each group, found {len(evaluated)}; name two or more")
    runs: dict[int, EvaluatedRun] = {}
    for run in evaluated:
        if run.group in runs:
            raise UserError(
                f"{runs[run.group].folder} and {run.folder} are both of group {run.group}; name one run for each group"
            )
        first = next(iter(runs.values()), run)
        runs[run.group] = run
        differing = experiment_differences(first.summary.facts, run.summary.facts, over="data.group")
        if differing and run is not first:
            raise UserError(
                f"{first.folder} and {run.folder} are of different experiments: {listed(differing)}. Only name, place "
                "of data, machine, data.group and what belongs to a group (evaluate.tasks, weights to start from) may "
                "differ: train or evaluate one of them again"
            )
    return dict(sorted(runs.items()))


def _key(row: SummaryRow) -> tuple[str, int, Control | None, str]:
    return row.method, row.shots, row.control, row.scoring


def _title(runs: dict[int, EvaluatedRun]) -> str:
    few = "" if len(runs) == len(GROUPS) else f" of {len(GROUPS)} (the headline is the mean over all)"
    return f"Mean over groups {', '.join(map(str, runs))}{few}"
