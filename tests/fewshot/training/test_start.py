"""A network before its first step, on real trunk features of both benchmarks that the project generates."""

from pathlib import Path
from typing import Any

import pytest

import fewshot
from episodes.composed.config import ComposedConfig
from episodes.glyphs.config import GlyphsConfig
from fewshot.runs.embedded import write_benchmark
from tests.paths import ROOT

SMALL: dict[str, Any] = {
    "glyphs": GlyphsConfig(videos_per_class=4, frames=2, motion=0),
    "composed": ComposedConfig(videos_per_class=3, frames=2, width=240, height=144, motion=0, small_classes="skip"),
}
# The rows of one table: the network with a support of one clip, and the same rows without training.
ASKED = (
    "train.steps=0 train.validate_every=0 episodes.validation_videos=0 episodes.support_frames=1",
    "episodes.query_frames=1 data.short_side=128 data.glyphs=null machine.threads=1",
    "machine.evaluation_workers=1 machine.save_overlays=0 evaluate.seeds=[0] evaluate.shots=[1]",
    "evaluate.support_videos=1 evaluate.support_frames=2 evaluate.max_queries_per_class=1 evaluate.controls=[]",
    "evaluate.methods=[nearest,conditioning]",
    "evaluate.scoring=[paper] evaluate.bootstrap_samples=10",
)


@pytest.mark.parametrize("benchmark", SMALL)
def test_it_is_nearly_as_good_as_matching_without_training(benchmark: str, tmp_path: Path) -> None:
    root = tmp_path / benchmark
    write_benchmark(root, SMALL[benchmark], 1)
    places = [f"data.root={root}", f"machine.cache={tmp_path / 'cache'}"]
    config = fewshot.load_config(ROOT / "experiments/demo.yaml", [*places, *" ".join(ASKED).split()])

    evaluated = fewshot.run(config, tmp_path / "run")

    score = {row: sum(r.J for r in evaluated.records if r.row.method == row) for row in ("nearest", "cma")}
    assert score["cma"] > 0.7 * score["nearest"]  # its threshold is found on few small pictures
