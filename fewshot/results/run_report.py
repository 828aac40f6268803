"""report.md of a run folder. Reads files only, so that a report can be written again at any time, on any machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from episodes.errors import UserError
from episodes.files import write_whole
from fewshot.config.document import load_document
from fewshot.results.adaptation_curve import CURVE, read_curve
from fewshot.results.records import Record, read_records
from fewshot.results.statistics import Difference, means_by, paired_difference
from fewshot.results.summary import Key, Summary, SummaryRow, read_summary, split
from fewshot.results.tables import interval, label, markdown_table, points, results_table, signed, transfer_note
from fewshot.results.training_curve import draw_curve, read_series

__all__ = ["results_table", "write_report"]

_INTERVAL = "95 % interval"
_CONTROL_HEAD = ("method", "shots", "control", "J", "F", "J&F")
_SHOWN = 6  # overlays shown in the page; further ones are linked

_CONTROLS = {
    "support_wrong_class": "support of another class that the query video also holds",
    "support_none": "no support mask",
    "text_wrong_object": "sentence of another object of the query video",
}


def write_report(run_folder: Path) -> Path:
    """Write report.md and curve.png from the files of a run folder; returns the path of report.md.

    Needs summary.json and records.csv (UserError if one is absent or damaged); says so where config.yaml, meta.json,
    metrics.jsonl or overlays/ are absent.
    """
    summary = read_summary(run_folder / "summary.json")
    parts = split(read_records(run_folder / "records.csv"))
    config = load_document(run_folder / "config.yaml").values if (run_folder / "config.yaml").is_file() else {}
    resamples = int(summary.facts.get("resamples", 1000))
    sections = [_head(run_folder, config, summary), _results(summary, config)]
    for group in dict.fromkeys(row.group for row in summary.rows):
        # One scoring is enough for the details: the first of the table.
        rows = [row for row in summary.rows if row.group == group and row.scoring == summary.rows[0].scoring]
        details = (_controls(rows, parts, resamples), _comparisons(rows, parts, resamples), _classes(rows, parts))
        sections += [*details, _seeds(rows, parts)]
    sections.append(_adaptation(run_folder, summary))
    sections += [_training(run_folder), _overlays(run_folder), _environment(run_folder)]
    path = run_folder / "report.md"
    write_whole(path, ("\n\n".join(section for section in sections if section) + "\n").encode())
    return path


def _head(folder: Path, config: Mapping[str, Any], summary: Summary) -> str:
    name = config.get("name", folder.name)
    facts = {"experiment": f"`{name}` ([config.yaml](config.yaml))" if config else f"`{name}` (config.yaml is absent)"}
    facts["support list (manifest, sha256)"] = f"`{summary.facts.get('manifest', 'not recorded')}`"
    for key, value in summary.facts.items():
        if key not in ("manifest", "interval", "resamples") and isinstance(value, str | int | float):
            facts[key.replace("_", " ")] = f"{value:.1f}" if isinstance(value, float) else str(value)
    return f"# Run {name}\n\n" + markdown_table(("", ""), [*facts.items()])


def _results(summary: Summary, config: Mapping[str, Any]) -> str:
    asked = transfer_note(summary) or "novel classes"
    blocks = [f"## {asked[0].upper()}{asked[1:]}"]
    if not summary.rows:
        return f"{blocks[0]}\n\nNo rows were evaluated."
    for group, scoring in dict.fromkeys((row.group, row.scoring) for row in summary.rows):
        rows = [r for r in summary.rows if (r.group, r.scoring, r.control) == (group, scoring, None)]
        body = [_scores(row) for row in rows]
        head = ("method", "shots", "J", "F", "J&F", _INTERVAL, "seeds", "seconds")
        blocks += [f"### Group {group}, `{scoring}` scoring", markdown_table(head, body)]
    size = (config.get("data") or {}).get("short_side", "not recorded")
    blocks.append(
        f"Points, 0-100. `paper`: at the model's picture size (short side {size}), frames pooled, F within 0.010 of "
        "the diagonal. `davis`: at the files' own size, F within 0.008, mean of each sequence, then of each class, "
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
    meaning = "; ".join(f"`{name}`: {_CONTROLS[name]}" for name in used)
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


def _adaptation(folder: Path, summary: Summary) -> str:
    """J&F after each number of gradient steps; empty where no curve was asked for."""
    if not (folder / CURVE).is_file() or not summary.rows:
        return ""
    curve = read_curve(folder / CURVE, summary.rows[0].group)
    steps = sorted({taken for _, _, taken in curve})
    body = []
    for method, shots in dict.fromkeys((method, shots) for method, shots, _ in curve):
        parts = (curve.get((method, shots, taken), []) for taken in steps)
        scores = (points(sum(means_by(part, lambda _: "all")["all"]) / 2) if part else "-" for part in parts)
        body.append((method, str(shots), *scores))
    table = markdown_table(("method", "shots", *(str(taken) for taken in steps)), body)
    text = f"J&F after so many gradient steps on the support, `paper` scoring, from [{CURVE}]({CURVE})."
    return f"## Adaptation\n\n{text}\n\n{table}"


def _training(folder: Path) -> str:
    path = folder / "metrics.jsonl"
    series = read_series(path) if path.is_file() else {}
    if not series or not draw_curve(series, folder / "curve.png"):
        return "## Training\n\nNo training was logged in this folder (metrics.jsonl is absent or has no loss)."
    last = max(points[-1][0] for points in series.values())
    return f"## Training\n\nUp to step {last}, from [metrics.jsonl](metrics.jsonl).\n\n![training curve](curve.png)"


def _overlays(folder: Path) -> str:
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / "overlays").glob("**/*.png"))
    if not names:
        return "## Overlays\n\nNone were drawn."
    text = "Support clips with masks and sentences, then the query: picture, truth (green), prediction (orange, with "
    shown = "\n\n".join(f"![{Path(name).stem}]({name})" for name in names[:_SHOWN])
    linked = "\n".join(f"* [{Path(name).stem}]({name})" for name in names[_SHOWN:])
    return f"## Overlays\n\n{text}the truth's outline).\n\n{shown}" + (f"\n\nMore:\n\n{linked}" if linked else "")


def _environment(folder: Path) -> str:
    path = folder / "meta.json"
    if not path.is_file():
        return "## Environment\n\nNot recorded (meta.json is absent)."
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no JSON ({error}); remove it, then write the report again") from error
    starts = meta.get("starts") if isinstance(meta, Mapping) else None
    if not starts:
        return "## Environment\n\n" + markdown_table(("", ""), list(_flat(meta)))
    text = "One start." if len(starts) == 1 else f"{len(starts)} starts; the last one:"
    return f"## Environment\n\n{text}\n\n" + markdown_table(("", ""), list(_flat(starts[-1])))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name} {key}".strip())
    else:
        words = value if isinstance(value, list) else str(value).split()
        yield name, " ".join(str(word) for word in words)
