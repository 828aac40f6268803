"""Two evaluated runs, or two methods, side by side: the paired difference on the items that both answered.

A pair shares draws in the bootstrap, so what makes a class or a video hard for both cancels.
"""

from dataclasses import dataclass, replace

from episodes.errors import UserError
from fewshot.results.comparable import benchmark_differences, benchmark_text
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.row import Row
from fewshot.results.statistics import RESAMPLES, Difference, paired_difference
from fewshot.results.tables import INTERVAL_HEAD, change_cells, points, signed, text_table

Pair = tuple[Row, Row]  # of A and of B: other methods, or groups, with equal shots and scoring


@dataclass(frozen=True)
class Comparison:
    """A row of A minus one of B on shared items. `other_supports` of `tasks` shared (class, seed) have other support
    clips in A than in B, among the first K."""

    pair: Pair
    difference: Difference
    other_supports: int
    tasks: int

    def cells(self) -> tuple[str, ...]:
        (row, other), difference = self.pair, self.difference
        about = (row.method, other.method, str(row.shots), row.scoring, str(difference.items))
        return (*about, signed(difference.J), signed(difference.F), *change_cells(difference))


def comparison_table(
    first: EvaluatedRun,
    second: EvaluatedRun,
    *,
    method_a: str | None = None,
    method_b: str | None = None,
    shots: int | None = None,
    scoring: str | None = None,
    resamples: int | None = None,
) -> str:
    """A table as text of run `first` (A) minus run `second` (B), and what the pairing holds equal.

    A method that is not named is the run's own trained model (its evaluate.label); shots and scorings that are not
    named are all that both share, `resamples` as many as A's own. Raises UserError if the benchmarks differ, a method
    or row is absent, or no item is shared.
    """
    runs = first, second
    if benchmark_differences(first.summary.facts, second.summary.facts):
        texts = [f"{run.folder} was evaluated on {benchmark_text(run.summary.facts)}" for run in runs]
        raise UserError(
            f"{' and '.join(texts)}: not the same benchmark. Evaluate both on one (data.root, or evaluate.transfer)"
        )
    methods = _method(runs[0], method_a, "--method-a"), _method(runs[1], method_b, "--method-b")
    resamples = resamples or int(first.summary.facts.get("resamples", RESAMPLES))
    comparisons = [compare(runs, pair, resamples=resamples) for pair in _pairs(runs, methods, shots, scoring)]
    head = ("method A", "method B", "shots", "scoring", "items", "J", "F", "J&F", INTERVAL_HEAD)
    title = f"A: {first.folder}, B: {second.folder}. A - B in points, paired on the items that both answered"
    notes = [f"Interval: of J&F, from {resamples} bootstrap resamples of classes and videos, the same for A and B."]
    table = text_table(head, [one.cells() for one in comparisons])
    return "\n".join((title, table, "", *notes, *_notes(runs, comparisons)))


def compare(runs: tuple[EvaluatedRun, EvaluatedRun], pair: Pair, *, resamples: int = RESAMPLES) -> Comparison:
    """Raises UserError if the two rows share no item."""
    first, second = (run.rows[row] for run, row in zip(runs, pair, strict=True))
    shots, one_group = pair[0].shots, pair[0].group == pair[1].group
    difference = paired_difference([first], [second], resamples=resamples) if one_group else None
    if difference is None:
        seeds = [sorted({record.item.seed for record in side}) for side in (first, second)]
        sides = [
            f"{run.folder} (group {run.group}, seeds {', '.join(map(str, own))})"
            for run, own in zip(runs, seeds, strict=True)
        ]
        raise UserError(
            f"{' and '.join(sides)} share no item (group, seed, class, video, object, sentence) at {shots} shot(s). "
            "Compare runs of one group, or evaluate one on the tasks of the other (evaluate.tasks)"
        )
    items = {record.item for record in first} & {record.item for record in second}
    tasks = {(item.category, item.seed) for item in items}
    of_a, of_b = ({(task.category, task.seed): task.support[:shots] for task in run.tasks.tasks} for run in runs)
    other = sum(of_a[task] != of_b[task] for task in tasks)
    return Comparison(pair, difference, other, len(tasks))


def _method(run: EvaluatedRun, named: str | None, option: str) -> str:
    method = run.unadapted if named is None else named
    held = list(dict.fromkeys(row.method for row in run.rows if row.control is None))
    if method not in held:
        raise UserError(f"{run.folder} has no row of method {method!r}; name one of {', '.join(held)} with {option}")
    return method


def _pairs(
    runs: tuple[EvaluatedRun, EvaluatedRun], methods: tuple[str, str], shots: int | None, scoring: str | None
) -> list[Pair]:
    """The rows that both runs hold and the options leave."""
    held = [
        [row for row in run.rows if (row.method, row.control) == (method, None)]
        for run, method in zip(runs, methods, strict=True)
    ]
    pairs = [
        (row, other)
        for row in held[0]
        for other in held[1]
        if replace(row, method=other.method, group=other.group) == other
        and shots in (None, row.shots)
        and scoring in (None, row.scoring)
    ]
    if not pairs:
        wanted = f"{'any' if shots is None else shots} shot(s) in {'any' if scoring is None else scoring} scoring"
        listed = [
            f"{run.folder} holds {', '.join(f'{row.shots}-shot {row.scoring}' for row in rows)}"
            for run, rows in zip(runs, held, strict=True)
        ]
        raise UserError(f"no row of {wanted} is in both runs: {'; '.join(listed)}. Ask for one that both hold")
    return pairs


def _notes(runs: tuple[EvaluatedRun, EvaluatedRun], comparisons: list[Comparison]) -> list[str]:
    notes = []
    sides = [run.config["data"]["short_side"] for run in runs]
    if sides[0] != sides[1] and any(one.pair[0].scoring == "paper" for one in comparisons):
        notes.append(f"Pictures differ: `paper` scores short side {sides[0]} in A and {sides[1]} in B.")
    shares = [
        ", ".join(dict.fromkeys(points(scores.absent) for row, scores in run.summary.rows.items() if not row.control))
        for run in runs
    ]
    notes.append(f"Frames without the object, in percent: {shares[0]} in A and {shares[1]} in B.")
    lists = [run.tasks.manifest for run in runs]
    if lists[0] == lists[1]:
        return [*notes, f"Task list (manifest) of both: {lists[0]}"]
    differ = f"The task lists differ (manifest {lists[0][:12]} in A, {lists[1][:12]} in B)"
    other = max(one.other_supports for one in comparisons)
    if not other:
        return [*notes, f"{differ}, but the support clips of these rows are the same: paired on queries and supports."]
    of = max(one.tasks for one in comparisons)
    return [*notes, f"{differ}, in the clips of {other} of {of} tasks: paired on queries, not on supports."]
