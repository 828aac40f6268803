"""The public interface: a run is trained, evaluated, opened and asked about clips that nobody has annotated."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fewshot
from episodes.errors import UserError
from tests.converted_weights import write_converted
from tests.paths import ROOT
from tests.tiny_runs import assert_same_bits

SIZE = (50, 70)  # another size than the training's, and no multiple of 32


def clip(frames: int = 3, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size=(frames, *size, 3)).astype(np.uint8)


def annotated(seed: int, frames: int = 3, size: tuple[int, int] = SIZE) -> fewshot.AnnotatedClip:
    masks = np.zeros((frames, *size), dtype=bool)
    masks[:, 10:30, 15:45] = True
    return fewshot.AnnotatedClip(clip(frames, seed, size), masks, "the red disc")


@pytest.fixture(scope="module")
def run(tiny_set, tmp_path_factory) -> fewshot.Run:
    from tests.tiny_runs import write_experiment

    folder = tmp_path_factory.mktemp("api")
    config = fewshot.load_config(write_experiment(folder / "tiny.yaml", tiny_set), ["train.steps=1"])
    return fewshot.train(config, folder / "run")


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, fewshot; print('torch' in sys.modules, fewshot.__version__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", fewshot.__version__]


def test_every_public_name_is_there_and_documented() -> None:
    for name in fewshot.__all__:
        assert inspect.getdoc(getattr(fewshot, name)), name
    assert set(fewshot.__all__) <= set(dir(fewshot))
    with pytest.raises(AttributeError, match="Segmenter"):
        _ = fewshot.Segmentor


def test_a_trained_run_is_evaluated_by_one_call(run: fewshot.Run, tmp_path: Path) -> None:
    small = ["evaluate.shots=[1]", "evaluate.max_queries_per_class=1", "evaluate.controls=[]"]
    evaluated = fewshot.evaluate(run.folder, small, out=tmp_path / "elsewhere")
    assert {record.row.method for record in evaluated.records} >= {"cma", "prototype"}
    assert evaluated.folder == tmp_path / "elsewhere"


def test_an_unannotated_clip_of_any_size_gets_masks_at_its_size(run: fewshot.Run) -> None:
    model = fewshot.Segmenter.open(run.folder)
    for shots in (1, 2):
        adapted = model.adapt([annotated(seed) for seed in range(shots)])
        for frames in (1, 5):
            masks = adapted.segment(clip(frames, seed=9), "the blue ring")
            assert masks.shape == (frames, *SIZE)
            assert masks.dtype == np.bool_
            assert np.array_equal(adapted.probabilities(clip(frames, seed=9), "the blue ring") > 0.5, masks)


def test_support_clips_may_differ_in_size(run: fewshot.Run) -> None:
    model = fewshot.Segmenter.open(run.folder)
    adapted = model.adapt([annotated(0), annotated(1, size=(64, 128))])
    assert adapted.segment(clip(), "the disc").shape == (3, *SIZE)


def test_a_folder_of_converted_weights_is_opened_too(tmp_path: Path) -> None:
    model = fewshot.Segmenter.open(write_converted(tmp_path))
    assert model.adapt([annotated(0)]).segment(clip(), "the red disc").shape == (3, *SIZE)


def test_adapting_leaves_the_model_as_it_is(run: fewshot.Run) -> None:
    model = fewshot.Segmenter.open(run.folder)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    model.adapt([annotated(0), annotated(1)])
    assert_same_bits(before, dict(model.network.state_dict()))


def test_the_answer_is_that_of_the_evaluation(run: fewshot.Run) -> None:
    """The same clips through catalog and files, and as arrays."""
    from episodes.dataset import load_clip
    from episodes.decode import decode_picture, read_mask
    from episodes.evaluation_tasks import evaluation_tasks
    from episodes.types import Support
    from fewshot.runs.build import open_catalog

    config = run.read_config()
    catalog = open_catalog(config)
    category = catalog.novel_classes(config.data.group)[0]
    task = evaluation_tasks(catalog, [category], seed=0, support_videos=1, support_frames=2)[0]
    model = fewshot.Segmenter.open(run.folder)

    def arrays(ref):
        video = catalog.videos[ref.video]
        frames = np.stack([decode_picture(video.frame_path(frame)) for frame in ref.frames])
        masks = np.stack([read_mask(video.mask_path(frame)) == int(ref.object_id) for frame in ref.frames])
        return frames, masks, catalog.expression(ref.video, ref.expression_id).text

    loaded, truth = load_clip(catalog, task.support[0], category, category, short_side=config.data.short_side)
    query, _ = load_clip(catalog, task.queries[0], category, category, short_side=config.data.short_side)
    loaded.times[:] = torch.linspace(0, 1, 2)  # arrays do not say where in their video the frames lie
    expected = model.learner.adapt(Support(loaded, truth.masks)).predict(query, model.decoding)[0]

    frames, _, sentence = arrays(task.queries[0])
    found = model.adapt([fewshot.AnnotatedClip(*arrays(task.support[0]))]).probabilities(frames, sentence)

    torch.testing.assert_close(torch.from_numpy(found), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fewshot.AnnotatedClip(clip(2), np.ones((3, *SIZE), bool), "x"), r"masks must be \(2, 50, 70\) bool"),
        (lambda: fewshot.AnnotatedClip(clip(2), np.zeros((2, *SIZE), bool), "x"), "no frame .* shows its object"),
        (lambda: fewshot.AnnotatedClip(clip(2) / 255, np.ones((2, *SIZE), bool), "x"), "uint8 RGB"),
        (lambda: fewshot.AnnotatedClip(clip(2), np.ones((2, *SIZE), bool), " "), "at least one word, found ' '"),
        (lambda: fewshot.AnnotatedClip(clip(2), np.ones((2, *SIZE), bool), None), "at least one word, found None"),
    ],
)
def test_clips_of_wrong_form_are_rejected(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_support_that_cannot_be_taken_in_is_rejected(run: fewshot.Run, tmp_path: Path) -> None:
    model = fewshot.Segmenter.open(run.folder)
    with pytest.raises(UserError, match=r"at least one annotated clip.* found none"):
        model.adapt([])
    with pytest.raises(UserError, match=r"found clips of \[2, 3\] frames"):
        model.adapt([annotated(0, frames=2), annotated(1, frames=3)])
    with pytest.raises(UserError, match="uint8 RGB"):
        model.adapt([annotated(0)]).segment(clip()[..., :1], "x")
    with pytest.raises(UserError, match="at least one word"):
        model.adapt([annotated(0)]).segment(clip(), "")
    with pytest.raises(UserError, match="nowhere"):
        fewshot.Segmenter.open(tmp_path / "nowhere")


def test_the_example_of_the_readme_runs(run: fewshot.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/demo").symlink_to(run.folder)
    for video, seed in (("00076", 0), ("00080", 3)):
        for kind, pictures in (("JPEGImages", clip(5, seed)), ("Annotations", np.full((5, *SIZE), 2, dtype=np.uint8))):
            folder = tmp_path / "data/glyphs/train" / kind / video
            folder.mkdir(parents=True)
            for number, picture in enumerate(pictures):
                Image.fromarray(picture).save(folder / f"{number:05d}.png")
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["answer"].shape == (5, *SIZE)
