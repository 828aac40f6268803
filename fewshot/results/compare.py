"""Two evaluated runs, or two methods, side by side: the paired difference on the items that both answered.

A pair shares draws in the bootstrap, so what makes a class or a video hard for both cancels.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from episodes.errors import UserError
from episodes.types import ClipRef
from fewshot.results.comparable import benchmark_differences, benchmark_text
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import Record
from fewshot.results.statistics import RESAMPLES, Difference, paired_difference
from fewshot.results.tables import interval, points, signed, text_table


@dataclass(frozen=True)
class Comparison:
    """One row: A minus B on shared items. `other_supports` of `tasks` shared (class, seed) have other support clips in
    A than in B, among the first K."""

    shots: int
    scoring: str
    difference: Difference
    other_supports: int
    tasks: int


def comparison_table(
    first: EvaluatedRun,
    second: EvaluatedRun,
    *,
    method_a: str | None = None,
    method_b: str | None = None,
    shots: int | None = None,
    scoring: str | None = None,
    resamples: int = RESAMPLES,
) -> str:
    """A table as text of run `first` (A) minus run `second` (B), and what the pairing holds equal.

    A method that is not named is the run's own trained model (its evaluate.label); shots and scorings that are not
    named are all that both share. Raises UserError if the benchmarks differ, a method or row is absent, or no item
    is shared.
    """
    runs = first, second
    _refuse_other_benchmark(*runs)
    methods = _method(runs[0], method_a, "--method-a"), _method(runs[1], method_b, "--method-b")
    rows = compare(runs, methods, _wanted(runs, methods, shots, scoring), resamples=resamples)
    head = ("method A", "method B", "shots", "scoring", "items", "J", "F", "J&F", "95 % interval")
    body = [
        (
            *(*methods, str(row.shots), row.scoring, str(row.difference.items)),
            *(signed(value) for value in (row.difference.J, row.difference.F, row.difference.JF)),
            interval(row.difference.JF_low, row.difference.JF_high, "+.1f"),
        )
        for row in rows
    ]
    title = f"A: {first.folder}, B: {second.folder}. A - B in points, paired on the items that both answered"
    notes = [f"Interval: of J&F, from {resamples} bootstrap resamples of classes and videos, the same for A and B."]
    return "\n".join((title, text_table(head, body), "", *notes, *_notes(runs, rows)))


def compare(
    runs: tuple[EvaluatedRun, EvaluatedRun],
    methods: tuple[str, str],
    wanted: Iterable[tuple[int, str]],
    *,
    resamples: int = RESAMPLES,
) -> list[Comparison]:
    """A row for each (shots, scoring). Raises UserError if the runs share no item there."""
    of_a, of_b = map(_supports, runs)
    rows = []
    for shots, scoring in wanted:
        sides = [_records(run, method, shots, scoring) for run, method in zip(runs, methods, strict=True)]
        difference = paired_difference(*sides, resamples=resamples)
        if difference is None:
            about = " and ".join(_drawn(run, side) for run, side in zip(runs, sides, strict=True))
            raise UserError(
                f"{about} share no item (group, seed, class, video, object, sentence) at {shots} shot(s). "
                "Compare runs of one group, or evaluate one on the tasks of the other (evaluate.tasks)"
            )
        shared = {record.item for record in sides[0]} & {record.item for record in sides[1]}
        tasks = {(item.category, item.seed) for item in shared}
        other = sum(of_a[task][:shots] != of_b[task][:shots] for task in tasks)
        rows.append(Comparison(shots, scoring, difference, other, len(tasks)))
    return rows


def _refuse_other_benchmark(first: EvaluatedRun, second: EvaluatedRun) -> None:
    if benchmark_differences(first.summary.facts, second.summary.facts):
        texts = [f"{run.folder} was evaluated on {benchmark_text(run.summary.facts)}" for run in (first, second)]
        raise UserError(
            f"{' and '.join(texts)}: not the same benchmark. Evaluate both on one (data.root, or evaluate.transfer)"
        )


def _method(run: EvaluatedRun, named: str | None, option: str) -> str:
    method = str(run.config["evaluate"]["label"]) if named is None else named
    if not run.rows_of(method):
        held = list(dict.fromkeys(row.method for row in run.summary.rows if row.control is None))
        raise UserError(f"{run.folder} has no row of method {method!r}; name one of {', '.join(held)} with {option}")
    return method


def _wanted(
    runs: tuple[EvaluatedRun, EvaluatedRun], methods: tuple[str, str], shots: int | None, scoring: str | None
) -> list[tuple[int, str]]:
    """(shots, scoring) that both runs hold and the options leave."""
    held = [run.rows_of(method) for run, method in zip(runs, methods, strict=True)]
    found = [row for row in held[0] if row in held[1] and shots in (None, row[0]) and scoring in (None, row[1])]
    if not found:
        asked = f"{'any' if shots is None else shots} shot(s) in {'any' if scoring is None else scoring} scoring"
        listed = [
            f"{run.folder} holds {', '.join(f'{k}-shot {name}' for k, name in rows)}"
            for run, rows in zip(runs, held, strict=True)
        ]
        raise UserError(f"no row of {asked} is in both runs: {'; '.join(listed)}. Ask for one that both hold")
    return found


def _records(run: EvaluatedRun, method: str, shots: int, scoring: str) -> list[Record]:
    wanted = (method, shots, None, scoring)
    return [record for record in run.records if (record.method, record.shots, record.control, record.scoring) == wanted]


def _supports(run: EvaluatedRun) -> dict[tuple[str, int], tuple[ClipRef, ...]]:
    """Support clips by (class, seed)."""
    return {(task.category, task.seed): task.support for task in run.tasks.tasks}


def _drawn(run: EvaluatedRun, records: Iterable[Record]) -> str:
    groups, seeds = (sorted({getattr(record, name) for record in records}) for name in ("group", "seed"))
    listed = [", ".join(map(str, values)) for values in (groups, seeds)]
    return f"{run.folder} (group {listed[0]}, seeds {listed[1]})"


def _notes(runs: tuple[EvaluatedRun, EvaluatedRun], rows: list[Comparison]) -> list[str]:
    notes = []
    sides = [run.config["data"]["short_side"] for run in runs]
    if sides[0] != sides[1] and any(row.scoring == "paper" for row in rows):
        notes.append(f"Pictures differ: `paper` scores short side {sides[0]} in A and {sides[1]} in B.")
    shares = [
        ", ".join(dict.fromkeys(points(row.absent) for row in run.summary.rows if not row.control)) for run in runs
    ]
    notes.append(f"Frames without the object, in percent: {shares[0]} in A and {shares[1]} in B.")
    lists = [run.manifest for run in runs]
    if lists[0] == lists[1]:
        return [*notes, f"Support list (manifest) of both: {lists[0]}"]
    differ = f"The support lists differ (manifest {lists[0][:12]} in A, {lists[1][:12]} in B)"
    other = max(row.other_supports for row in rows)
    if not other:
        return [*notes, f"{differ}, but not in the support clips of these rows: paired on queries and supports."]
    of = max(row.tasks for row in rows)
    return [*notes, f"{differ}, in the clips of {other} of {of} tasks: paired on queries, not on supports."]
