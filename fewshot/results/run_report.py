"""The report of one run as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fewshot.results.adaptation_curve import by_steps
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.records import Record
from fewshot.results.statistics import Difference, means_by, paired_difference
from fewshot.results.summary import Key, Summary, SummaryRow, split
from fewshot.results.tables import interval, label, markdown_table, points, signed, transfer_note

_INTERVAL = "95 % interval"
_CONTROL_HEAD = ("method", "shots", "control", "J", "F", "J&F")
_SHOWN = 6  # overlays shown in the page; further ones are linked


def report_text(run: EvaluatedRun, folder: Path, curve: Path | None) -> str:
    """The report as it stands in `folder`, which its links start from; `curve` is the picture of the training curve."""
    summary, parts = run.summary, split(run.records)
    resamples = int(summary.facts.get("resamples", 1000))
    sections = [_head(run), _results(summary, int(run.config["data"]["short_side"]))]
    for group in dict.fromkeys(row.group for row in summary.rows):
        # One scoring is enough for the details: the first of the table.
        rows = [row for row in summary.rows if row.group == group and row.scoring == summary.rows[0].scoring]
        details = (_controls(rows, parts, resamples), _comparisons(rows, parts, resamples), _classes(rows, parts))
        sections += [*details, _seeds(rows, parts)]
    sections.append(_adaptation(run))
    sections += [_training(run, folder, curve), _overlays(run, folder), _environment(run)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(run: EvaluatedRun) -> str:
    name = run.config["name"]
    facts = {"experiment": f"`{name}`", "support list (manifest, sha256)": f"`{run.manifest}`"}
    for key, value in run.summary.facts.items():
        if key not in ("manifest", "interval", "resamples") and isinstance(value, str | int | float):
            facts[key.replace("_", " ")] = f"{value:.1f}" if isinstance(value, float) else str(value)
    return f"# Run {name}\n\n" + markdown_table(("", ""), [*facts.items()])


def _results(summary: Summary, short_side: int) -> str:
    asked = transfer_note(summary) or "novel classes"
    blocks = [f"## {asked[0].upper()}{asked[1:]}"]
    for group, scoring in dict.fromkeys((row.group, row.scoring) for row in summary.rows):
        rows = [r for r in summary.rows if (r.group, r.scoring, r.control) == (group, scoring, None)]
        body = [_scores(row) for row in rows]
        head = ("method", "shots", "J", "F", "J&F", _INTERVAL, "seeds", "seconds")
        blocks += [f"### Group {group}, `{scoring}` scoring", markdown_table(head, body)]
    blocks.append(
        f"Points, 0-100. `paper`: at the model's picture size (short side {short_side}), frames pooled, F within 0.010 "
        "of the diagonal. `davis`: at the files' own size, F within 0.008, mean of each sequence, then of each class, "
        "then of the classes. Seconds: wall time of adapting and predicting on this machine, summed over all clips and "
        "seeds; reading pictures, and the frozen trunk where its features were cached, are not in it.\n\n"
        f"Interval: {summary.facts.get('interval', 'method not recorded')}. Support seeds are not resampled: their "
        "spread has a table of its own below. One trained model; the spread over trainings is not measured here."
    )
    return "\n\n".join(blocks)


def _scores(row: SummaryRow) -> tuple[str, ...]:
    return (
        *(row.method, str(row.shots), points(row.J), points(row.F), points(row.JF)),
        *(interval(row.JF_low, row.JF_high), str(row.seeds), f"{row.seconds:.1f}"),
    )


def _controls(rows: Sequence[SummaryRow], parts: Mapping[Key, list[Record]], resamples: int) -> str:
    body = []
    for row in rows:
        if row.control is None:
            continue
        changed, plain = _of(parts, row), _of(parts, replace(row, control=None))
        scores = (points(row.J), points(row.F), points(row.JF), interval(row.JF_low, row.JF_high))
        change = _difference(paired_difference(changed, plain, resamples=resamples))
        body.append((row.method, str(row.shots), row.control, *scores, *change))
    if not body:
        return ""
    used = sorted({row.control for row in rows if row.control})
    meaning = "; ".join(f"`{name}`: {name.meaning}" for name in used)
    return "\n\n".join(
        (
            f"## Controls, {_where(rows)}",
            f"What is left when one input is wrong or missing ({meaning}). Change: of J&F against the unchanged "
            "method, paired on the same items. A method that uses its inputs loses clearly.",
            markdown_table((*_CONTROL_HEAD, _INTERVAL, "change", _INTERVAL, "items"), body),
        )
    )


def _comparisons(rows: Sequence[SummaryRow], parts: Mapping[Key, list[Record]], resamples: int) -> str:
    body = []
    for first, second in _pairs([row for row in rows if row.control is None]):
        difference = paired_difference(_of(parts, first), _of(parts, second), resamples=resamples)
        body.append((f"{label(first)} - {label(second)}", *_difference(difference)))
    if not body:
        return ""
    return "\n\n".join(
        (
            f"## Differences, {_where(rows)}",
            "Paired: both sides on the same items and the same resamples.",
            markdown_table(("difference", "J&F", _INTERVAL, "items"), body),
        )
    )


def _pairs(rows: Sequence[SummaryRow]) -> Iterator[tuple[SummaryRow, SummaryRow]]:
    """Each row against the first method and against the one it builds on (`cma+finetune`: `cma`), at equal shots, and
    against itself with the fewest shots."""
    for row in rows:
        equal = [other for other in rows if other.shots == row.shots]
        others = equal[:1] + [other for other in equal if other.method == row.method.rpartition("+")[0]]
        others.append(min((other for other in rows if other.method == row.method), key=lambda other: other.shots))
        yield from ((row, other) for other in dict.fromkeys(others) if other is not row)


def _difference(difference: Difference | None) -> tuple[str, str, str]:
    if difference is None:
        return "-", "-", "0"
    low_high = interval(difference.JF_low, difference.JF_high, "+.1f")
    return signed(difference.JF), low_high, str(difference.items)


def _classes(rows: Sequence[SummaryRow], parts: Mapping[Key, list[Record]]) -> str:
    shown = [row for row in rows if row.control is None]
    means = [means_by(_of(parts, row), lambda r: r.category) for row in shown]
    videos: dict[str, set[str]] = {}
    for record in (record for row in shown for record in _of(parts, row)):
        videos.setdefault(record.category, set()).add(record.video)
    body = [
        (name, str(len(videos[name])), *(points(sum(m[name]) / 2) if name in m else "-" for m in means))
        for name in sorted(videos)
    ]
    table = markdown_table(("class", "videos", *(label(row) for row in shown)), body)
    return f"## By class: J&F, {_where(rows)}\n\n{table}"


def _seeds(rows: Sequence[SummaryRow], parts: Mapping[Key, list[Record]]) -> str:
    shown = [row for row in rows if row.control is None]
    means = [means_by(_of(parts, row), lambda r: r.seed) for row in shown]
    seeds = sorted({seed for found in means for seed in found})
    body = []
    for row, found in zip(shown, means, strict=True):
        scores = [sum(found[seed]) / 2 for seed in seeds if seed in found]
        spread = f"{_deviation(scores):.1f}" if len(scores) > 1 else "-"
        cells = (points(sum(found[seed]) / 2) if seed in found else "-" for seed in seeds)
        body.append((row.method, str(row.shots), *cells, spread))
    head = ("method", "shots", *(f"seed {seed}" for seed in seeds), "standard deviation")
    text = f"{len(seeds)} support seed{'s' if len(seeds) != 1 else ''}; each draws other support clips for every class."
    return f"## By support seed: J&F, {_where(rows)}\n\n{text}\n\n{markdown_table(head, body)}"


def _of(parts: Mapping[Key, list[Record]], row: SummaryRow) -> list[Record]:
    """The records that a row stands on."""
    return parts.get((row.method, row.shots, row.control, row.scoring, row.group), [])


def _where(rows: Sequence[SummaryRow]) -> str:
    return f"group {rows[0].group}, `{rows[0].scoring}` scoring"


def _deviation(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


def _adaptation(run: EvaluatedRun) -> str:
    """J&F after each number of gradient steps; empty where no curve was asked for."""
    if not run.curve:
        return ""
    curve = by_steps(run.curve)
    steps = sorted({taken for _, _, taken in curve})
    body = []
    for method, shots in dict.fromkeys((method, shots) for method, shots, _ in curve):
        parts = (curve.get((method, shots, taken), []) for taken in steps)
        scores = (points(sum(means_by(part, lambda _: "all")["all"]) / 2) if part else "-" for part in parts)
        body.append((method, str(shots), *scores))
    table = markdown_table(("method", "shots", *(str(taken) for taken in steps)), body)
    text = "J&F after so many gradient steps on the support, `paper` scoring."
    return f"## Adaptation\n\n{text}\n\n{table}"


def _training(run: EvaluatedRun, folder: Path, curve: Path | None) -> str:
    if curve is None:
        return "## Training\n\nNo loss was logged."
    last = max(points[-1][0] for points in run.series.values())
    return f"## Training\n\nUp to step {last}.\n\n![training curve]({_link(curve, folder)})"


def _overlays(run: EvaluatedRun, folder: Path) -> str:
    if not run.drawn:
        return "## Overlays\n\nNone were drawn."
    text = "Support clips with masks and sentences, then the query: picture, truth (green), prediction (orange, with "
    links = [f"[{query.picture.stem}]({_link(query.picture, folder)})" for query in run.drawn]
    shown = "\n\n".join(f"!{link}" for link in links[:_SHOWN])
    linked = "\n".join(f"* {link}" for link in links[_SHOWN:])
    return f"## Overlays\n\n{text}the truth's outline).\n\n{shown}" + (f"\n\nMore:\n\n{linked}" if linked else "")


def _link(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def _environment(run: EvaluatedRun) -> str:
    if not run.start:
        return "## Environment\n\nNot recorded: no start of the training is known."
    rows = [(name, str(value)) for name, value in run.start.items()]
    return "## Environment\n\nThe last start of the training.\n\n" + markdown_table(("", ""), rows)
