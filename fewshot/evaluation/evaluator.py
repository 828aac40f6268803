"""One evaluation task after another: adapt to its support, segment every query, score. Knows no learner's insides."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from episodes.catalog import VideoCatalog
from episodes.controls import Control
from episodes.dataset import join_clips, join_truths, load_clip, load_masks, load_other_objects
from episodes.evaluation_tasks import EvaluationTask, wrong_class_support, wrong_object_expression
from episodes.types import ClipRef, Clips, Support, Truth
from fewshot.config.experiment import ExperimentConfig
from fewshot.evaluation.forward_backward import ForwardBackwardPredictor
from fewshot.evaluation.nearest import NearestPredictor
from fewshot.evaluation.prototype import PrototypePredictor
from fewshot.evaluation.query import Query
from fewshot.evaluation.saliency import SaliencyPredictor
from fewshot.learners import Decoding, Learner, Predicts, build_learner
from fewshot.results.gallery import DrawnQuery, Pick, asked, pick_queries
from fewshot.results.metrics import TOLERANCES, score_clip
from fewshot.results.overlays import ClipPicture, draw_overlay, write_overlay
from fewshot.results.records import CurvePoint, Record, grouped, split
from fewshot.results.row import NO_GROUP, Row
from fewshot.runs.features import FeatureStore
from models.network import FewShotRVOS
from models.trunk import Trunk

_TRAINING_FREE: dict[str, Callable[[Trunk, Support], Predicts]] = {
    "prototype": PrototypePredictor,
    "nearest": NearestPredictor,
    "forward_backward": ForwardBackwardPredictor,
    "support_free": SaliencyPredictor,
}
QUERIES_AT_ONCE = 8  # query clips that pass the network together


class Evaluator:
    """Scores tasks one by one; a task's clips are loaded once for all rows."""

    def __init__(
        self,
        config: ExperimentConfig,
        catalog: VideoCatalog,
        network: FewShotRVOS,
        features: FeatureStore | None,
        device: torch.device,
    ) -> None:
        self.config = config
        self.catalog = catalog
        self.network = network
        self.features = features
        self.device = device
        self.decoding = Decoding.of(config.evaluate)
        self.learners: dict[str, Learner] = {
            name: build_learner(config.learner.model_copy(update={"name": name}), network)
            # Controls and overlays are those of the unadapted model, whichever rows are asked for.
            for name in {"conditioning", *config.methods} - _TRAINING_FREE.keys()
        }

    def _row(self, method: str, shots: int, control: Control | None = None) -> Row:
        """A row of the table, in the first scoring. It calls the trained model by its label, and adapted models by
        label + learner."""
        label = self.config.evaluate.label
        trained = label if method == "conditioning" else f"{label}+{method}"
        name = method if method in _TRAINING_FREE else trained
        return Row(name, shots, control, self.config.evaluate.scoring[0], self.config.data.group or NO_GROUP)

    # ------------------------------------------------------------------ one task

    def evaluate(self, task: EvaluationTask) -> list[Record]:
        """Records of all rows: methods x shots, then the controls of the unadapted model."""
        queries, support = self._queries(task), self._support(task.support, task.category)
        records: list[Record] = []
        scored: dict[tuple[str, int], list[Record]] = {}
        for method in self.config.methods:
            for row in (self._row(method, shots) for shots in self.config.evaluate.shots):
                answers = (self._answering(method, first_clips(support, row.shots)), row.shots)
                if answers not in scored:
                    scored[answers] = self._score(row, task, queries, answers[0], support)
                records += [replace(r, row=replace(r.row, method=row.method)) for r in scored[answers]]
        for control in self.config.evaluate.controls:
            for shots in self.config.evaluate.control_shots:
                records += self._control(self._row("conditioning", shots, control), task, queries, support)
        return records

    def curve(self, task: EvaluationTask) -> list[CurvePoint]:
        """What the queries score after each of `curve_steps`: methods that take steps x shots, `paper` scoring."""
        steps = self.config.evaluate.curve_steps
        if not steps:
            return []
        queries, support = self._queries(task), self._support(task.support, task.category)
        points: list[CurvePoint] = []
        for method in self.config.methods:
            for shots in self.config.evaluate.shots if method in self.learners else ():
                clips = first_clips(support, shots).to(self.device)
                for taken, predictor in self.learners[method].snapshots(clips, steps):
                    records = self._answers(self._row(method, shots), task, queries, predictor, 0.0)
                    points += [CurvePoint(taken, record) for record in records if record.row.scoring == "paper"]
        return points

    def _support(self, refs: Sequence[ClipRef], category: str, *, pictures: bool = False) -> Support:
        clips, truths = zip(*(self._load(ref, category, pictures=pictures) for ref in refs), strict=True)
        return Support(join_clips(list(clips)), join_truths(list(truths)).masks)

    def _answering(self, method: str, support: Support) -> str:
        """Which method gives a row its answers: a learner that takes no step leaves them to the unadapted model."""
        learner = self.learners.get(method)
        return method if learner is None or learner.takes_steps(support) else "conditioning"

    def _adapt(self, method: str, support: Support) -> Predicts:
        if method in _TRAINING_FREE:
            return _TRAINING_FREE[method](self.network.trunk, support.to(self.device))
        return self.learners[method].adapt(support.to(self.device))

    def _control(self, row: Row, task: EvaluationTask, queries: list[Query], support: Support) -> list[Record]:
        """The records of a row with a control."""
        if row.control is Control.NO_MASK:
            blind = Support(support.clips, torch.zeros_like(support.masks))
            return self._score(row, task, queries, "conditioning", blind)
        if row.control is Control.WRONG_SENTENCE:
            wrong = ((query, wrong_object_expression(self.catalog, query.ref, task.category)) for query in queries)
            swapped = [
                replace(query, clip=replace(query.clip, sentences=(expression.text,)))
                for query, expression in wrong
                if expression is not None
            ]
            return self._score(row, task, swapped, "conditioning", support)
        supports: dict[tuple[str, tuple[ClipRef, ...]], list[Query]] = {}
        frames = len(task.support[0].frames)  # a file of tasks may have another length than the config
        shots = min(row.shots, len(task.support))
        for query in queries:  # those whose video has no other class are left out
            support_clips = wrong_class_support(self.catalog, task, query.ref, shots=shots, support_frames=frames)
            if support_clips is not None:
                supports.setdefault(support_clips, []).append(query)
        records: list[Record] = []
        for (category, clips), asking in supports.items():
            records += self._score(row, task, asking, "conditioning", self._support(clips, category))
        return records

    # ------------------------------------------------------------------ loading and scoring

    def _load(self, ref: ClipRef, category: str, *, pictures: bool = False) -> tuple[Clips, Truth]:
        return load_clip(
            self.catalog,
            ref,
            category,
            category,
            short_side=self.config.data.short_side,
            max_long_side=self.config.data.max_long_side,
            features=None if pictures else self.features,
        )

    def _queries(self, task: EvaluationTask) -> list[Query]:
        queries = []
        for ref in task.queries:
            clip, truth = self._load(ref, task.category)
            rows, columns = clip.picture()
            small = truth.masks[0, :, rows, columns].numpy()
            height, width = small.shape[1:]
            others = load_other_objects(self.catalog, ref, (height, width))
            queries.append(Query(ref, clip, load_masks(self.catalog, ref), small, others))
        return queries

    def _score(
        self, row: Row, task: EvaluationTask, queries: list[Query], method: str, support: Support
    ) -> list[Record]:
        """Adapts `method` to the row's first clips of the support and scores its answers; each query bears its share of
        the time to adapt."""
        first = first_clips(support, row.shots)
        began = time.perf_counter()
        predictor = self._adapt(method, first)
        return self._answers(row, task, queries, predictor, time.perf_counter() - began)

    def _answers(
        self, row: Row, task: EvaluationTask, queries: list[Query], predictor: Predicts, adaptation: float
    ) -> list[Record]:
        """Scores of a predictor that took `adaptation` seconds to adapt."""
        records: list[Record] = []
        for batch in _alike(queries):
            began = time.perf_counter()
            clips = join_clips([query.clip for query in batch]).to(self.device)
            probabilities = predictor.predict(clips, self.decoding).cpu()
            seconds = (time.perf_counter() - began) / len(batch) + adaptation / len(queries)
            for query, probability in zip(batch, probabilities, strict=True):
                item = asked(task, query.ref)
                rows, columns = query.clip.picture()
                right = query.meets_its_object(probability[:, rows, columns])
                for scoring in self.config.evaluate.scoring:
                    region, boundary = query.score(probability[:, rows, columns], scoring)
                    scored = replace(row, scoring=scoring)
                    record = Record.of_clip(scored, item, region, boundary, query.visible, seconds=seconds)
                    records.append(replace(record, right=right))
        return records

    # ------------------------------------------------------------------ pictures

    def draw(self, tasks: list[EvaluationTask], records: list[Record], folder: Path) -> list[DrawnQuery]:
        """Overlays of the unadapted model on the smallest K, up to `save_overlays`, as files in `folder`."""
        row = self._row("conditioning", min(self.config.evaluate.shots))
        picks = pick_queries(tasks, split(records).get(row, []), self.config.machine.save_overlays)
        return [self._draw(pick, row, folder) for pick in picks]

    def _draw(self, pick: Pick, row: Row, folder: Path) -> DrawnQuery:
        task, ref = pick.task, pick.query
        support = self._support(task.support[: row.shots], task.category, pictures=True)
        query, truths = self._load(ref, task.category, pictures=True)
        predictor = self._adapt("conditioning", support)
        rows, columns = query.picture()
        mask = predictor.predict(query.to(self.device), self.decoding)[0, :, rows, columns].cpu().numpy() > 0.5
        truth = truths.masks[0, :, rows, columns].numpy()
        region, boundary = score_clip(mask, truth, tolerance=TOLERANCES["paper"])
        title = f"{task.category}: {row.shots}-shot, J {100 * region.mean():.0f}"
        shown = [ClipPicture.of_clips(support.clips, support.masks, shot) for shot in range(len(support))]
        page = draw_overlay(shown, ClipPicture.of_clips(query, truths.masks), mask, title=title, scores=region.tolist())
        name = re.sub(r"[^\w.-]", "_", f"{task.category}-seed{task.seed}-{ref.video}-{ref.expression_id}") + ".png"
        write_overlay(folder / name, page)
        return DrawnQuery(
            picture=folder / name,
            choice=pick.choice,
            row=replace(row, scoring="paper"),
            item=asked(task, ref),
            sentence=query.sentences[0],
            J=100 * float(region.mean()),
            F=100 * float(boundary.mean()),
        )


def first_clips(support: Support, shots: int) -> Support:
    """The K-shot support of a task: all its clips where it holds fewer, which pairs of a small class alone do."""
    return support.select(list(range(min(shots, len(support)))))


def _alike(queries: list[Query]) -> Iterator[list[Query]]:
    """Batches of queries of one length and padded size."""
    for alike in grouped(queries, lambda query: (query.clip.times.shape[1], *query.clip.size)).values():
        for start in range(0, len(alike), QUERIES_AT_ONCE):
            yield alike[start : start + QUERIES_AT_ONCE]
