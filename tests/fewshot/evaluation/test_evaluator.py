"""Evaluation: which rows there are, what each of them is shown, and what is left on disk."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from episodes.controls import Control
from episodes.errors import CheckpointError
from episodes.evaluation_tasks import wrong_class_support, wrong_object_expression
from fewshot.config.experiment import plain
from fewshot.evaluation import evaluator as evaluation
from fewshot.evaluation import query as queries_module
from fewshot.evaluation.evaluate import evaluate_run
from fewshot.evaluation.evaluator import Evaluator
from fewshot.results.metrics import TOLERANCES
from fewshot.results.row import NAMES, Row
from fewshot.results.summary import SCORES
from fewshot.runs.build import cached_features, new_network, open_catalog
from fewshot.runs.run import Run
from fewshot.training.trainer import train
from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, load_tiny, tasks_before_training, write_experiment

TWO_SEEDS = ("train.steps=1", "evaluate.seeds=[3,5]")
METHODS = {"prototype", "cma", "cma+finetune"}
ROW_KEYS = {*NAMES, *SCORES}


@pytest.fixture(scope="module")
def evaluated(tiny_set, tmp_path_factory):
    """(run folder, config) of a run that was trained for a step and evaluated on two seeds, with a stale overlay."""
    folder = tmp_path_factory.mktemp("evaluated")
    config = load_tiny(write_experiment(folder / "tiny.yaml", tiny_set), *TWO_SEEDS)
    run = folder / "run"
    train(config, run)
    (run / "results" / "overlays").mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(run / "results" / "overlays" / "of-another-checkpoint.png")
    evaluate_run(run, config)
    return run, config


class Recorder:
    """A learner, and the predictor that it adapts to, that writes down what it is shown and answers with the truth.

    A question holds no truth: `watch` loads that of the queries which the evaluator is about to ask, in their order.
    """

    def __init__(self):
        self.seen = []  # (support, [queries])
        self.scored = []  # for each of them, the truths by which its answers are scored
        self.answers = iter(())

    def watch(self, evaluator):
        ask = evaluator._answers

        def asked(row, task, queries, predictor, adaptation):
            truths = [evaluator._load(query.ref, task.category)[1].masks[0].float() for query in queries]
            self.answers = iter(truths)
            self.scored.append([query.truth for query in queries])
            return ask(row, task, queries, predictor, adaptation)

        evaluator._answers = asked

    def takes_steps(self, support):
        return False

    def adapt(self, support):
        self.seen.append((support, []))
        return self

    def predict(self, query, decoding):
        self.seen[-1][1].append(query)
        return torch.stack([next(self.answers) for _ in range(len(query))])


@pytest.fixture
def recorded(experiment):
    """An evaluator whose model is a Recorder, the recorder, and the evaluator's tasks."""
    return watched(load_tiny(experiment, "evaluate.methods=[conditioning]"))


def watched(config):
    catalog = open_catalog(config)
    network = new_network(config)
    features = cached_features(config, [catalog], network, "cpu")
    evaluator = Evaluator(config, catalog, network, features, torch.device("cpu"))
    recorder = Recorder()
    recorder.watch(evaluator)
    evaluator.learners["conditioning"] = recorder
    return evaluator, recorder, tasks_before_training(config).tasks


def expected_queries(config, catalog, control):
    """(seed, class, video, expression) of every query that a row without control, or with this one, must answer."""
    found = []
    for task in tasks_before_training(config).tasks:
        for query in task.queries:
            if control == "text_wrong_object" and wrong_object_expression(catalog, query, task.category) is None:
                continue
            wrong = wrong_class_support(catalog, task, query, shots=1, support_frames=2)
            if control == "support_wrong_class" and wrong is None:
                continue
            found.append((task.seed, task.category, query.video, query.expression_id))
    return sorted(found)


# --------------------------------------------------------------------------- what is written


def test_two_workers_write_the_records_of_one(evaluated, tmp_path):
    trained, config = evaluated
    alone = [replace(record, seconds=0.0) for record in Run(trained).evaluated().records]
    run = shutil.copytree(trained, tmp_path / "run")

    machine = config.machine.model_copy(update={"evaluation_workers": 2})
    evaluate_run(run, config.model_copy(update={"machine": machine}))

    assert [replace(record, seconds=0.0) for record in Run(run).evaluated().records] == alone


def test_there_is_one_record_for_each_row_seed_class_video_and_expression(evaluated):
    run, config = evaluated
    rows = Run(run).evaluated().rows
    wanted = {(method, shots, None) for method in METHODS for shots in (1, 2)}
    wanted |= {("cma", 1, control) for control in config.evaluate.controls}
    assert set(rows) == {Row(*row, scoring, config.data.group) for row in wanted for scoring in ("paper", "davis")}
    catalog = open_catalog(config)
    for row, records in rows.items():
        answered = [(item.seed, item.category, item.video, item.expression) for item in (r.item for r in records)]
        assert sorted(answered) == expected_queries(config, catalog, row.control)


def test_records_csv_has_the_columns_that_readers_look_for(evaluated):
    with (evaluated[0] / "results" / "records.csv").open(newline="") as file:
        names = set(csv.DictReader(file).fieldnames)
    assert {"method", "shots", "control", "scoring", "group", "seed", "class", "video", "expression", "J", "F"} <= names


def test_summary_has_one_row_of_plain_values_for_each_part_of_the_table(evaluated):
    summary = json.loads((evaluated[0] / "results" / "summary.json").read_text())
    rows = summary["rows"]
    assert len(rows) == 2 * (len(METHODS) * 2 + 3)
    for row in rows:
        assert set(row) == ROW_KEYS
        assert row["method"] in METHODS
        assert row["control"] in (None, "support_wrong_class", "support_none", "text_wrong_object")
        assert row["scoring"] in ("paper", "davis")
        assert (row["group"], row["seeds"]) == (1, 2)
        assert all(
            0 <= row[name] <= 100 for name in ("J", "F", "JF", "JF_low", "JF_high", "J_visible", "F_visible", "absent")
        )
        assert row["JF"] == pytest.approx((row["J"] + row["F"]) / 2)
        assert row["JF_low"] <= row["JF"] + 1e-9
        assert row["JF_high"] >= row["JF"] - 1e-9
        assert row["seconds"] > 0
    assert len({(r["method"], r["shots"], r["control"], r["scoring"]) for r in rows}) == len(rows)
    assert len(summary["manifest"]) == 64
    assert summary["checkpoint"] == "step-00000001"


def test_a_second_evaluation_gives_the_same_numbers_and_pictures(evaluated):
    run, config = evaluated

    def results():
        records = [replace(record, seconds=0.0) for record in Run(run).evaluated().records]
        summary = json.loads((run / "results" / "summary.json").read_text())
        rows = [{**row, "seconds": 0} for row in summary.pop("rows")]
        del summary["wall_seconds"], summary["sha256"]
        return records, rows, summary, {p.name: p.read_bytes() for p in (run / "results" / "overlays").iterdir()}

    first = results()
    evaluate_run(run, config)
    assert results() == first


def test_overlays_are_pictures_of_this_evaluation_alone(evaluated):
    run, config = evaluated
    pictures = sorted((run / "results" / "overlays").glob("*.png"))
    assert len(pictures) == config.machine.save_overlays
    found = {path.name for path in (run / "results" / "overlays").iterdir()}
    assert found == {*(path.name for path in pictures), "overlays.json"}
    for path in pictures:
        assert path.name.startswith(("disc-seed", "ring-seed")), "novel classes of group 1 only"
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_the_index_of_the_overlays_says_what_was_drawn_with_the_scores_of_the_records(evaluated):
    run, _ = evaluated
    row = Row("cma", 1, None, "paper", 1)
    scores = {record.item: 50 * (record.J + record.F) for record in Run(run).evaluated().rows[row]}
    drawn = Run(run).evaluated().drawn
    assert [query.choice for query in drawn] == ["median", "worst"]
    for query in drawn:
        expected = scores[query.item]
        # Drawn from pictures and alone, scored from stored features and in a batch: equal but for rounding.
        assert abs((query.J + query.F) / 2 - expected) < 0.5
        assert query.row == row
        assert query.sentence
    worst = next(query for query in drawn if query.choice == "worst")
    assert abs((worst.J + worst.F) / 2 - min(scores.values())) < 0.5


def test_the_summary_says_which_config_and_which_benchmark_it_belongs_to(evaluated):
    run, config = evaluated
    summary = json.loads((run / "results" / "summary.json").read_text())
    assert summary["config"] == plain(config)
    assert summary["benchmark_content"] == open_catalog(config).content.hash


def test_tensorboard_has_every_row_of_the_last_evaluation_at_the_step_of_its_checkpoint(evaluated):
    run, _ = evaluated
    events = EventAccumulator(str(run / "tb" / "evaluation"))
    events.Reload()
    rows = json.loads((run / "results" / "summary.json").read_text())["rows"]
    for row in rows:
        control = f"/{row['control']}" if row["control"] else ""
        tag = f"evaluation/{row['scoring']}/{row['method']}/{row['shots']}-shot{control}/JF"
        assert [(event.step, event.value) for event in events.Scalars(tag)] == [(1, pytest.approx(row["JF"], rel=1e-6))]
    assert len(events.Tags()["scalars"]) == 3 * len(rows)
    assert "_hparams_/session_start_info" in events.SummaryMetadata.__self__.summary_metadata
    assert len(list((run / "tb" / "evaluation").iterdir())) == 1, "an earlier evaluation leaves nothing behind"


def test_a_run_without_checkpoint_is_rejected(experiment, tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        evaluate_run(tmp_path, load_tiny(experiment))
    assert list(tmp_path.iterdir()) == [experiment]


@pytest.mark.parametrize(
    "overrides",
    [
        ("evaluate.methods=[prototype]", "evaluate.controls=[]"),
        ("evaluate.methods=[finetune]", "evaluate.controls=[support_none]"),
        ("evaluate.methods=[prototype]", "evaluate.shots=[1]", "evaluate.control_shots=[2]"),
        ("evaluate.methods=[conditioning]", "evaluate.max_queries_per_class=1", "machine.cache=null"),
    ],
)
def test_any_choice_of_rows_can_be_evaluated(experiment, evaluated, tmp_path, overrides):
    config = load_tiny(experiment, *TWO_SEEDS, *overrides)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(evaluated[0] / "checkpoints")
    summary = evaluate_run(tmp_path / "run", config).summary
    rows = len(config.methods) * len(config.evaluate.shots)
    rows += len(config.evaluate.controls) * len(config.evaluate.control_shots)
    assert len(summary.rows) == 2 * rows


# --------------------------------------------------------------------------- what a model is shown


def test_no_query_is_from_a_video_of_the_support_and_all_are_novel(evaluated):
    config = evaluated[1]
    catalog = open_catalog(config)
    answered = {}
    for record in Run(evaluated[0]).evaluated().records:
        answered.setdefault((record.item.seed, record.item.category), set()).add(record.item.video)
    assert {category for _, category in answered} == set(catalog.novel_classes(1))
    for task in tasks_before_training(config).tasks:
        assert not answered[task.seed, task.category] & {clip.video for clip in task.support}


def test_more_shots_add_to_the_support_of_fewer(recorded):
    evaluator, recorder, tasks = recorded
    evaluator.evaluate(tasks[0])
    one, two = recorder.seen[0][0], recorder.seen[1][0]
    assert (len(one), len(two)) == (1, 2)
    assert torch.equal(one.masks[0], two.masks[0])
    assert torch.equal(one.clips.features.f16[0], two.clips.features.f16[0])
    assert one.clips.sentences[0] == two.clips.sentences[0]
    assert not torch.equal(two.clips.features.f16[0], two.clips.features.f16[1]), "the shots are different clips"


def test_a_learner_that_takes_no_step_repeats_the_row_of_the_unadapted_model(experiment):
    evaluator, recorder, tasks = watched(load_tiny(experiment, "evaluate.methods=[finetune,conditioning]"))
    adapted = []
    evaluator.learners["finetune"].adapt = lambda support: adapted.append(len(support)) or recorder

    records = [record for record in evaluator.evaluate(tasks[0]) if record.row.control is None]

    def row(method):
        own = [record for record in records if (record.row.method, record.row.shots) == (method, 1)]
        return [replace(record, row=replace(record.row, method="")) for record in own]

    assert row("cma+finetune") == row("cma") != []
    assert adapted == [2], "only two shots are adapted to"


def test_the_truth_scores_100_whoever_answers_with_it(recorded):
    evaluator, _, tasks = recorded
    records = [record for task in tasks for record in evaluator.evaluate(task)]
    assert {(record.J, record.F) for record in records} == {(1.0, 1.0)}


def test_every_query_is_shown_with_all_frames_of_its_video_and_its_own_sentence(recorded):
    evaluator, recorder, tasks = recorded
    evaluator.evaluate(tasks[0])
    asked = [text for query in recorder.seen[0][1] for text in query.sentences]
    catalog = evaluator.catalog
    assert asked == [catalog.expression(q.video, q.expression_id).text for q in tasks[0].queries]
    assert {query.times.shape[1] for query in recorder.seen[0][1]} == {4}


def test_support_none_hides_every_mask_of_the_support_and_nothing_else(recorded):
    evaluator, recorder, tasks = recorded
    evaluator.config = changed(evaluator.config, controls=(Control.NO_MASK,))
    evaluator.evaluate(tasks[0])
    plain, blind = recorder.seen[0], recorder.seen[-1]
    assert plain[0].masks.any()
    assert not blind[0].masks.any()
    assert torch.equal(blind[0].clips.features.f16, plain[0].clips.features.f16)
    assert blind[0].clips.sentences == plain[0].clips.sentences
    assert list(map(content, blind[1])) == list(map(content, plain[1]))


def test_support_wrong_class_shows_another_class_of_the_query_video_and_never_that_video(recorded):
    evaluator, recorder, tasks = recorded
    task = tasks[0]
    evaluator.config = changed(evaluator.config, controls=(Control.WRONG_CLASS,))
    evaluator.evaluate(task)
    catalog, wrong = evaluator.catalog, recorder.seen[len(evaluator.config.evaluate.shots) :]
    by_content = {content(evaluator._load(query, task.category)[0]): query for query in task.queries}
    assert len(by_content) == len(task.queries)
    answered = []
    for support, batches in wrong:
        for clip in (batch.select([i]) for batch in batches for i in range(len(batch))):
            query = by_content[content(clip)]
            category, clips = wrong_class_support(catalog, task, query, shots=1, support_frames=2)
            assert category != task.category
            assert catalog.videos[query.video].objects_of(category)
            assert query.video not in {clip.video for clip in clips}
            other, truth = evaluator._load(*clips, category)
            assert content(support.clips) == content(other)
            assert torch.equal(support.masks, truth.masks)
            answered.append(query)
    assert len(answered) == len(set(answered)) == len(task.queries)


def content(clips):
    return clips.sentences, clips.features.f16.numpy().tobytes()


def test_text_wrong_object_says_another_object_and_keeps_support_and_truth(recorded):
    evaluator, recorder, tasks = recorded
    task = tasks[0]
    evaluator.config = changed(evaluator.config, controls=(Control.WRONG_SENTENCE,))
    evaluator.evaluate(task)
    plain, wrong = recorder.seen[0], recorder.seen[-1]
    assert torch.equal(wrong[0].masks, plain[0].masks)
    said = [text for batch in wrong[1] for text in batch.sentences]
    catalog = evaluator.catalog
    for query, text in zip(task.queries, said, strict=True):
        owners = {item.object_id for item in catalog.videos[query.video].expressions if item.text == text}
        assert owners
        assert query.object_id not in owners
    for before, after in zip(recorder.scored[0], recorder.scored[-1], strict=True):
        assert np.array_equal(before, after)


def changed(config, **evaluate):
    return config.model_copy(update={"evaluate": config.evaluate.model_copy(update=evaluate)})


# --------------------------------------------------------------------------- resolution and length


def test_davis_is_scored_at_the_size_of_the_files_and_paper_at_the_size_of_the_network(tmp_path, monkeypatch):
    data = TinySet(write_tiny_benchmark(tmp_path / "data", size=(96, 144)), tmp_path / "cache")
    config = load_tiny(
        write_experiment(tmp_path / "tiny.yaml", data), "evaluate.methods=[conditioning]", "evaluate.controls=[]"
    )
    evaluator, _, tasks = watched(config)
    sizes = {}
    score = queries_module.score_clip

    def spy(mask, truth, *, tolerance):
        assert mask.shape == truth.shape
        sizes.setdefault(tolerance, set()).add(truth.shape)
        return score(mask, truth, tolerance=tolerance)

    monkeypatch.setattr(queries_module, "score_clip", spy)
    records = evaluator.evaluate(tasks[0])
    # 96 x 144 at short side 64 is 64 x 96 (a multiple of 32, so nothing is padded).
    assert sizes == {TOLERANCES["paper"]: {(4, 64, 96)}, TOLERANCES["davis"]: {(4, 96, 144)}}
    assert all(record.J == 1 for record in records if record.row.scoring == "paper")
    assert all(0.9 < record.J < 1 for record in records if record.row.scoring == "davis")


@pytest.mark.parametrize(("probability", "found"), [(0.5, False), (0.5001, True)])
def test_a_pixel_is_foreground_above_one_half_in_both_scorings(experiment, monkeypatch, probability, found):
    evaluator, recorder, tasks = watched(
        load_tiny(experiment, "evaluate.methods=[conditioning]", "evaluate.controls=[]", "evaluate.shots=[1]")
    )
    monkeypatch.setattr(
        recorder, "predict", lambda query, decoding: torch.full((*query.times.shape, *query.size), probability)
    )
    records = evaluator.evaluate(tasks[0])
    assert {record.row.scoring for record in records} == {"paper", "davis"}
    assert {record.J > 0 for record in records} == {found}


def test_probabilities_are_resized_to_the_files_before_they_are_thresholded():
    probability = torch.tensor([[[1.0, 0.4]]])
    assert queries_module._threshold(probability, (1, 4)).tolist() == [[[True, True, True, False]]]
    assert queries_module._threshold(probability, (1, 2)).tolist() == [[[True, False]]]


def test_padding_is_not_scored(tmp_path, monkeypatch):
    data = TinySet(write_tiny_benchmark(tmp_path / "data", size=(72, 90)), tmp_path / "cache")
    overrides = ("evaluate.methods=[conditioning]", "evaluate.controls=[]", "data.short_side=72")
    evaluator, recorder, tasks = watched(load_tiny(write_experiment(tmp_path / "tiny.yaml", data), *overrides))
    shapes = set()
    monkeypatch.setattr(
        queries_module,
        "score_clip",
        lambda mask, truth, *, tolerance: shapes.add(mask.shape) or (np.ones(4), np.ones(4)),
    )
    evaluator.evaluate(tasks[0])
    assert {query.size for query in recorder.seen[0][1]} == {(96, 96)}
    assert shapes == {(4, 72, 90)}


def test_a_long_query_passes_in_chunks_while_the_support_is_taken_in_once(experiment, monkeypatch):
    config = load_tiny(experiment, "evaluate.methods=[conditioning]", "evaluate.controls=[]", "evaluate.shots=[2]")
    evaluator, _, tasks = watched(config)
    from fewshot.learners import build_learner

    evaluator.learners["conditioning"] = build_learner(config.learner, evaluator.network)
    head, trunk = evaluator.network.head, evaluator.network.trunk
    decode, remember, encode = head.decode, head.remember, trunk.forward
    chunks, memories, encoded = [], [], []
    monkeypatch.setattr(head, "decode", lambda q, m: chunks.append(q.times.shape[1]) or decode(q, m))
    monkeypatch.setattr(head, "remember", lambda *a: memories.append(1) or remember(*a))
    monkeypatch.setattr(trunk, "forward", lambda clips: encoded.append(len(clips)) or encode(clips))
    records = evaluator.evaluate(tasks[0])
    passes = -(-len(tasks[0].queries) // evaluation.QUERIES_AT_ONCE)
    assert chunks == [3, 1] * passes, "4 frames in chunks of 3"
    assert len(memories) == 1
    assert len(encoded) == 1 + 2 * passes
    assert {record.frames for record in records} == {4}
