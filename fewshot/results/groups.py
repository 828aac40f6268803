"""One experiment over the groups of a benchmark: the mean over groups, the headline of published tables.

There is one evaluated run for each group.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from episodes.catalog import GROUPS
from episodes.errors import UserError
from fewshot.results.comparable import experiment_differences, listed
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.row import HEAD, NO_GROUP
from fewshot.results.statistics import RESAMPLES, estimate_over_groups
from fewshot.results.tables import SCORE_HEAD, VISIBLE_HEAD, VISIBLE_NOTE, Cells, points, score_cells


def groups_table(
    evaluated: Sequence[EvaluatedRun], form: Callable[[Sequence[str], Cells], str], *, resamples: int = RESAMPLES
) -> str:
    """The table of all rows that every run holds, one block for each scoring; `form` lays out head and body.

    Raises UserError if two runs are of one group, fewer than two are given, or they are of different experiments.
    """
    runs = by_group(evaluated)
    few = "" if len(runs) == len(GROUPS) else f" of {len(GROUPS)} (the headline is the mean over all)"
    title = f"Mean over groups {', '.join(map(str, runs))}{few}"
    first = next(iter(runs))
    # The rows of each run under the name that they have in the first.
    held = [{replace(row, group=first): scores for row, scores in run.summary.rows.items()} for run in runs.values()]
    shared = [row for row in held[0] if all(row in rows for rows in held)]
    head = (*HEAD, "control", *SCORE_HEAD, *VISIBLE_HEAD, *(f"group {group}" for group in runs))
    blocks = []
    for scoring in dict.fromkeys(row.scoring for row in shared):
        body = []
        for row in (row for row in shared if row.scoring == scoring):
            records = [record for group, run in runs.items() for record in run.rows[replace(row, group=group)]]
            mean = estimate_over_groups(records, resamples=resamples)
            scores = [rows[row] for rows in held]
            visible = (fmean(getattr(one, name) for one in scores) for name in ("J_visible", "F_visible", "absent"))
            shares = [one.right for one in scores if one.right is not None]
            right = fmean(shares) if len(shares) == len(scores) else None
            further = (*map(points, visible), points(right), *(points(one.JF) for one in scores))
            body.append((*row.cells, row.control or "-", *score_cells(mean), *further))
        blocks.append(f"{title}, {scoring} scoring (points, 0-100)\n\n{form(head, body)}")
    notes = [
        f"Interval: of the mean J&F, from {resamples} bootstrap resamples: groups are fixed; classes, then videos in "
        "each drawn class, are drawn within each group, and the groups' means are averaged. Columns of groups: J&F.",
        VISIBLE_NOTE,
    ]
    lost = dict.fromkeys(
        f"{row.method} {row.shots}-shot {row.control or ''}".strip()
        for rows in held
        for row in rows
        if row not in shared
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
        if run.group == NO_GROUP:
            raise UserError(f"{run.folder} has no novel group (data.group=null); name runs of groups {list(GROUPS)}")
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
                "differ, and validation where the last checkpoint is evaluated: train or evaluate one of them again"
            )
    return dict(sorted(runs.items()))
