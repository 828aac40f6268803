"""The files of one evaluation, written and read as one unit.

summary.json            rows of the table, what was evaluated, and the SHA-256 of the other files of data
records.csv             one line for each query and each row of the table that answered it
tasks.json              support clips and queries of every class and seed
adaptation_curve.csv    scores after each number of gradient steps, where curves were asked for
overlays/               pictures of queries, and overlays.json: what each of them shows
report.md, curve.png    the report, and the training curve in it
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from episodes.errors import UserError
from episodes.task_file import parse_task_file
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.gallery import DrawnQuery, index_text, parse_index
from fewshot.results.page.markdown import markdown_page
from fewshot.results.page.report import build_page
from fewshot.results.records import CurvePoint, Record, curve_text, parse_curve, parse_records, records_text
from fewshot.results.row import NO_GROUP
from fewshot.results.summary import Summary, parse_summary, summary_text
from fewshot.results.training_curve import Series, curve_picture

_SUMMARY, _RECORDS, _TASKS, _CURVE = "summary.json", "records.csv", "tasks.json", "adaptation_curve.csv"
_OVERLAYS = "overlays"
_INDEX = f"{_OVERLAYS}/overlays.json"


class EvaluationFiles:
    """`folder` holds one evaluation of the run in the folder `run`, which messages name."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.folder = folder
        self.run = run
        self.tasks = folder / _TASKS
        self.overlays = folder / _OVERLAYS
        self.report = folder / "report.md"
        self.training_curve = folder / "curve.png"

    def listed(self) -> Iterator[tuple[Path, str]]:
        """What a reader may look for, and what it holds."""
        yield self.report, "report"
        yield self.folder / _SUMMARY, "all rows of the table"
        yield self.folder / _RECORDS, "one line for each query and each row that answered it"
        yield self.tasks, "support clips and queries of every class and seed"
        yield self.overlays, "support with mask, query frames, truth, prediction"

    # ------------------------------------------------------------------ writing

    def write(
        self,
        summary: Summary,
        records: Iterable[Record],
        tasks: str,
        curve: Iterable[CurvePoint] | None,
        drawn: Sequence[DrawnQuery],
    ) -> None:
        """All files of data; `tasks` is the text of the task file, `curve` None where no curve was asked for."""
        contents = {_RECORDS: records_text(records), _TASKS: tasks, _INDEX: index_text(drawn)}
        if curve is not None:
            contents[_CURVE] = curve_text(curve)
        self.overlays.mkdir(exist_ok=True)
        for name, text in contents.items():
            (self.folder / name).write_bytes(text.encode())
        digests = {name: _digest(text.encode()) for name, text in contents.items()}
        text = summary_text(Summary(summary.rows, {**summary.facts, "sha256": digests}))
        (self.folder / _SUMMARY).write_bytes(text.encode())

    def write_report(self, evaluated: EvaluatedRun) -> None:
        picture = curve_picture(evaluated.series)
        if picture is not None:
            self.training_curve.write_bytes(picture)
        evaluated = replace(evaluated, training_curve=None if picture is None else self.training_curve)
        self.report.write_bytes(markdown_page(build_page([evaluated]), self.folder).encode())

    # ------------------------------------------------------------------ reading

    def read(self, label: str, start: Mapping[str, Any], series: Series) -> EvaluatedRun:
        """UserError where a file is absent, damaged, or of another evaluation than the summary."""
        summary = self.read_summary()
        text = {name: self._text(name, summary) for name in (_RECORDS, _TASKS, _CURVE, _INDEX)}
        config: Any = summary.facts.get("config")
        try:
            group, *_ = int(config["data"]["group"] or NO_GROUP), int(config["seed"]), config["evaluate"]["label"]
        except (KeyError, TypeError, ValueError) as error:
            raise self._error(self.folder / _SUMMARY, "does not say which config was evaluated") from error
        records = parse_records(text[_RECORDS], self.folder / _RECORDS)
        if not records or not summary.rows:
            raise self._error(self.folder, "holds no rows")
        return EvaluatedRun(
            folder=self.run,
            label=label,
            config=config,
            summary=summary,
            records=tuple(records),
            tasks=parse_task_file(text[_TASKS], self.tasks),
            curve=tuple(parse_curve(text[_CURVE], self.folder / _CURVE)) if text[_CURVE] else (),
            drawn=tuple(parse_index(text[_INDEX], self.folder / _INDEX, group)) if text[_INDEX] else (),
            start=start,
            series=series,
            training_curve=self.training_curve if self.training_curve.is_file() else None,
        )

    def read_summary(self) -> Summary:
        """UserError where there is no evaluation, one of an older layout, or a damaged one."""
        path = self.folder / _SUMMARY
        if path.is_file():
            return parse_summary(path.read_bytes(), path)
        if (self.run / _SUMMARY).is_file():
            raise self._error(self.run / _SUMMARY, "was written by an older version, in another layout")
        raise UserError(f"no summary at {path}: evaluate the run first: `evaluate {self.run}`")

    def _text(self, name: str, summary: Summary) -> str:
        """A file of data, empty if the summary knows none; UserError if it is not the one that the summary knows."""
        path, digests = self.folder / name, summary.facts.get("sha256")
        recorded = digests.get(name) if isinstance(digests, dict) else None
        content = path.read_bytes() if path.is_file() else None
        found = None if content is None else _digest(content)
        if found != recorded:
            raise self._error(
                path, f"is absent, damaged or of another evaluation: its SHA-256 is {found}, the summary's {recorded}"
            )
        return (content or b"").decode()

    def _error(self, path: Path, fault: str) -> UserError:
        return UserError(f"{path} {fault}; evaluate the run again: `evaluate {self.run}`")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
