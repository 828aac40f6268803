"""Run folders with chosen scores, written by the functions that an evaluation writes them with; nothing is trained."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from episodes.controls import Control
from episodes.evaluation_tasks import EvaluationTask
from episodes.files import json_digest
from episodes.task_file import task_file_text
from episodes.types import ClipRef
from fewshot.config.experiment import ExperimentConfig
from fewshot.config.yaml_text import dump
from fewshot.results.gallery import DrawnQuery
from fewshot.results.overlays import ClipPicture, draw_overlay, write_overlay
from fewshot.results.page.content import Page
from fewshot.results.page.report import build_page
from fewshot.results.records import CurvePoint, Item, Record
from fewshot.results.row import Row
from fewshot.results.summary import summarise
from fewshot.runs.run import Run, evaluated_runs, evaluation_of

CLASSES = ("anchor", "crown", "umbrella")
LEVELS = {  # method, shots, control -> mean J
    ("prototype", 1, None): 0.2,
    ("prototype", 5, None): 0.3,
    ("cma", 1, None): 0.6,
    ("cma", 5, None): 0.65,
    ("cma+finetune", 1, None): 0.58,
    ("cma+finetune", 5, None): 0.7,
    ("cma", 1, Control.NO_MASK): 0.1,
}


def write_run(
    folder: Path,
    *,
    seed: int = 0,
    group: int = 1,
    shift: float = 0.0,
    draw_shifts: Sequence[float] = (0.0, 0.0),
    noise: float = 0.08,
    classes: Sequence[str] = CLASSES,
    scorings: Sequence[str] = ("paper",),
    benchmark: str | None = "b" * 64,
    support: str = "a",
    sentence: str = "the blue disk",
    pictures: int = 1,
    config: dict | None = None,
    curve: Sequence[CurvePoint] | None = None,
    evaluated: ExperimentConfig | None = None,
    report: bool = False,
) -> Path:
    """One evaluated run. `shift` is added to every J of this training, `draw_shifts` to those of each support seed;
    `support` names the support videos; `evaluated` is the config that a start of the command would compare."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([7, seed])
    records = []
    for scoring in scorings:
        for (method, shots, control), level in LEVELS.items():
            for draw, draw_shift in enumerate(draw_shifts):
                for name in classes:
                    for video in range(3):
                        region = np.clip(rng.normal(level + shift + draw_shift, noise, size=4), 0, 1)
                        item = Item(draw, name, f"video-{video}", "1", str(video))
                        row = Row(method, shots, control, scoring, group)
                        records.append(Record.of_clip(row, item, region, region, seconds=0.25))
    clips = [ClipRef(f"video-{video}", "1", str(video), ("f",)) for video in range(3)]
    supports = (ClipRef(support, "1", "0", ("f",)),)
    tasks = [EvaluationTask(name, draw, supports, tuple(clips)) for draw in range(len(draw_shifts)) for name in classes]
    values = {"name": folder.name, "seed": seed, "data": {"root": "data/x", "group": group, "short_side": 96}}
    values |= {"train": {"steps": 10}, "evaluate": {"label": "cma"}, **(config or {})}
    (folder / "config.yaml").write_text(dump(values))
    start = {"step": 0, "git": f"commit-{seed}", "command": ["run.py", "run"], "versions": {"torch": "2.14"}}
    (folder / "meta.json").write_text(json.dumps({"starts": [start]}))
    facts = {"manifest": json_digest(tasks), "checkpoint": "step-00000010", "wall_seconds": 12.0}
    facts |= {"config": values} | ({} if benchmark is None else {"benchmark_content": benchmark})
    facts |= {} if evaluated is None else {"evaluation": evaluation_of(evaluated, Path("step-00000010"))}
    facts |= {"number": values["number"]} if "number" in values else {}
    choices = ("median", "worst", "best", *["in order"] * pictures)[:pictures]
    with Run(folder).new_results() as results:
        drawn = [_drawn(results.overlays, number, name, classes[0], sentence) for number, name in enumerate(choices)]
        summary = summarise(records, resamples=50, **facts)
        results.write(summary, records, task_file_text(tasks, "x"), curve, drawn)
        if report:
            results.write_report(Run(folder).evaluated(results=results))
    return folder


def curve_points(shift: float = 0.0, steps: Sequence[int] = (0, 2, 10)) -> list[CurvePoint]:
    """J rises by a point with each step, F is half; `shift` is added to both."""
    row = Row("cma+finetune", 1, None, "paper", 1)
    return [
        CurvePoint(
            step,
            Record.of_clip(
                row,
                Item(0, name, f"v{video}", "", "0"),
                np.full(4, 0.5 + 0.01 * step + shift),
                np.full(4, 0.5 + shift),
                seconds=0.0,
            ),
        )
        for step in steps
        for name in ("anchor", "crown")
        for video in range(3)
    ]


def page_over(folders: Sequence[Path]) -> Page:
    """The report of these runs."""
    return build_page(evaluated_runs(folders))


def _drawn(folder: Path, number: int, choice: str, category: str, sentence: str) -> DrawnQuery:
    frames = np.random.default_rng([3, number]).integers(0, 255, size=(2, 48, 64, 3)).astype(np.uint8)
    masks = np.zeros((2, 48, 64), dtype=bool)
    masks[:, 10:30, 10:30] = True
    clip = ClipPicture(frames, masks, "a disk")
    picture = folder / f"{number}.png"
    write_overlay(picture, draw_overlay([clip], clip, masks, title="drawn"))
    row, item = Row("cma", 1, None, "paper", 1), Item(0, category, "video-0", "1", "0")
    return DrawnQuery(picture, choice, row, item, sentence, J=50.0 + number, F=60.0)
