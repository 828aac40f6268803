"""The part of a report about where its numbers come from: runs, config, machine, support lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.page.content import Block, Section, Table
from fewshot.results.page.experiments import Experiment


def runs_section(experiments: Sequence[Experiment]) -> Section:
    """Which runs are in the report, and which of them are trainings of one experiment."""
    head = ("run", "experiment", "training seed", "novel group", "scorings", "checkpoint", "evaluation, seconds")
    body = []
    for experiment in experiments:
        for run in experiment.runs:
            scorings = dict.fromkeys(record.scoring for record in run.records)
            facts, seconds = run.summary.facts, run.summary.facts.get("wall_seconds")
            took = f"{seconds:.0f}" if isinstance(seconds, int | float) else "-"
            groups = sorted({record.group for record in run.records})
            told = (", ".join(map(str, groups)), ", ".join(scorings), str(facts.get("checkpoint", "-")))
            body.append((run.label, experiment.name, str(run.seed), *told, took))
    note = "Runs that differ in nothing but the seed of the training are one experiment, named after its first run."
    return Section("Runs", (Table("Runs in this report", head, tuple(body), note),))


def provenance_sections(runs: Sequence[EvaluatedRun]) -> tuple[Section, ...]:
    return (
        Section("Support lists", (_manifests(runs),)),
        Section("Config differences", _config_differences(runs)),
        Section("Environment", _environment(runs)),
    )


def _manifests(runs: Sequence[EvaluatedRun]) -> Table:
    body = tuple((run.label, run.manifest, run.benchmark or "not recorded") for run in runs)
    note = (
        "sha256. Runs of one manifest had the same support clips and the same queries in every task, so that their "
        "differences are paired. The content of a benchmark is its classes, videos, objects, sentences and masks, and "
        "the sizes of its pictures."
    )
    head = ("run", "manifest of the tasks", "content of the benchmark")
    return Table("Support list and benchmark of each run", head, body, note)


def _config_differences(runs: Sequence[EvaluatedRun]) -> tuple[Block, ...]:
    """The keys whose values are not equal in all runs; a name is no difference."""
    if len(runs) == 1:
        return ("One run: there is nothing to differ from.",)
    body = _differing([run.values for run in runs], leave_out="name")
    if not body:
        return ("The configs are equal in every value.",)
    note = (
        "Values of the section machine do not separate experiments, but other threads, other processes of an "
        "evaluation, and a cache or none round differently: results then differ within training noise."
    )
    return (Table("Config values that differ", ("key", *(run.label for run in runs)), body, note),)


def _environment(runs: Sequence[EvaluatedRun]) -> tuple[Block, ...]:
    names = dict.fromkeys(name for run in runs for name in run.start)
    if not names:
        return ("Not recorded: no start of a training is known.",)
    body = tuple((name, *(_shown(run.start, name) for run in runs)) for name in names)
    note = "The last start of each training. A plus after the commit: the source differed from it."
    return (Table("Versions, machine, seed and commit", ("", *(run.label for run in runs)), body, note),)


def _differing(configs: Sequence[Mapping[str, Any]], leave_out: str) -> tuple[tuple[str, ...], ...]:
    keys = dict.fromkeys(key for config in configs for key in config if key != leave_out)
    rows = ((key, *(_shown(config, key) for config in configs)) for key in keys)
    return tuple(row for row in rows if len(set(row[1:])) > 1)


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "absent"
    return "null" if values[key] is None else str(values[key])
