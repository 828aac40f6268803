"""The parts of a report about its runs: which they are, their pictures, and where their numbers come from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fewshot.config.document import dotted
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.gallery import DrawnQuery
from fewshot.results.page.content import Block, Figure, Section, Table
from fewshot.results.page.experiments import Experiment
from fewshot.results.tables import points, tasks_note

_CHOICES = {"best": "best query", "median": "median query", "worst": "worst query", "in order": "as the tasks come"}


def runs_section(experiments: Sequence[Experiment]) -> Section:
    """Which runs are in the report, and which of them are trainings of one experiment."""
    head = ("run", "experiment", "training seed", "novel group", "scorings", "tasks")
    body = []
    for experiment in experiments:
        for run in experiment.runs:
            scorings = ", ".join(dict.fromkeys(row.scoring for row in run.rows))
            groups = ", ".join(str(group or "none") for group in sorted({row.group for row in run.rows}))
            body.append((run.label, experiment.name, str(run.seed), groups, scorings, tasks_note(run.summary)))
    note = "Runs that differ only in their training seed are one experiment, named after its first run."
    note += " Name, place of the data and machine do not count."
    return Section("Runs", (Table("Runs in this report", head, tuple(body), note),))


def training_section(runs: Sequence[EvaluatedRun]) -> Section:
    return Section("Training", (), tuple(Section(f"Run {run.label}", (_curve(run),)) for run in runs))


def gallery_section(runs: Sequence[EvaluatedRun]) -> Section:
    """Best, median and worst query of every run, then the others."""
    intro = (
        "Support clips with their sentence and mask, then the query: picture, truth (green), prediction (orange, with "
        "the outline of the truth). Best, median and worst are those of all queries of the run by J&F of the "
        "unadapted model; the others come in the order of the tasks, whatever their score."
    )
    return Section("Queries", (intro,), tuple(Section(f"Run {run.label}", _queries(run)) for run in runs))


def _curve(run: EvaluatedRun) -> Block:
    if run.training_curve is None or not run.series:
        return "No loss was logged."
    last = max(points[-1][0] for points in run.series.values())
    caption = f"Training loss and, if there was one, validation score, up to step {last}."
    return Figure(run.training_curve, "Training curve", caption)


def _queries(run: EvaluatedRun) -> tuple[Block, ...]:
    places = list(_CHOICES)
    figures = (_query(query) for query in sorted(run.drawn, key=lambda query: places.index(query.choice)))
    return tuple(figures) or ("No query of this run was drawn (`machine.save_overlays`).",)


def _query(query: DrawnQuery) -> Figure:
    item, scores = query.item, f"J {points(query.J)}, F {points(query.F)}"
    asked = f"class {item.category}, video {item.video}, sentence “{query.sentence}”"
    caption = f"{_CHOICES[query.choice].capitalize()}: {item.category}, {query.row.label}, {scores}; "
    caption += f"support seed {item.seed}, video {item.video}: “{query.sentence}”"
    return Figure(query.picture, f"Support, truth and prediction: {asked}; {scores}", caption)


def provenance_sections(runs: Sequence[EvaluatedRun]) -> tuple[Section, ...]:
    """What was evaluated, in which config values the runs differ, and the environment."""
    facts = _table(
        "What was evaluated",
        runs,
        [_facts(run) for run in runs],
        "Hashes: sha256. Runs of one manifest had the same support clips and the same queries in every task, so that "
        "their differences are paired. The content of a benchmark is its classes, videos, objects, sentences and "
        "masks, and the sizes of its pictures.",
    )
    environment = _table(
        "Versions, machine, seed and commit",
        runs,
        [run.start for run in runs],
        "The last start of each training. A plus after the commit: the source differed from it.",
    )
    return (
        Section("Evaluations", (facts,)),
        *((_config_differences(runs),) if len(runs) > 1 else ()),
        Section("Environment", (environment if environment.body else "No start of the training is known.",)),
    )


def _config_differences(runs: Sequence[EvaluatedRun]) -> Section:
    """The keys whose values are not equal in all runs; a name is no difference."""
    note = (
        "Values of the section machine do not separate experiments, but other threads, other processes of an "
        "evaluation, and a cache or none round differently: results then differ within training noise."
    )
    table = _table("Config values that differ", runs, [dotted(run.config) for run in runs], note)
    body = tuple(row for row in table.body if row[0] != "name" and len(set(row[1:])) > 1)
    shown = replace(table, body=body) if body else "The configs are equal in every value."
    return Section("Config differences", (shown,))


def _facts(run: EvaluatedRun) -> dict[str, str]:
    """What the summary says in one value each."""
    known = {"name in the config": run.config["name"], "manifest": run.tasks.manifest, **run.summary.facts}
    return {
        key.replace("_", " "): f"{value:.1f}" if isinstance(value, float) else str(value)
        for key, value in known.items()
        if key not in ("experiment", "interval", "resamples") and isinstance(value, str | int | float)
    }


def _table(caption: str, runs: Sequence[EvaluatedRun], values: Sequence[Mapping[str, Any]], note: str) -> Table:
    """A row for each key, a column for each run."""
    keys = dict.fromkeys(key for of_run in values for key in of_run)
    body = tuple((key, *(_shown(of_run, key) for of_run in values)) for key in keys)
    return Table(caption, ("", *(run.label for run in runs)), body, note)


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "absent"
    return "null" if values[key] is None else str(values[key])
