"""The benchmark, and the episodes that are drawn from it for training."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from episodes.composed.config import ComposedConfig
from episodes.config import AugmentConfig, Section
from episodes.glyphs.config import GlyphsConfig

Shots = Annotated[int, Field(ge=1, le=64)]


class BenchmarkConfig(Section):
    """Where a benchmark lies, and what writes it there."""

    root: Path = Field(
        description="Folder of the benchmark, relative to the working folder; docs/data.md lists the known layouts."
    )
    unnamed: Literal["skip", "class"] = Field(
        "skip",
        description='Objects without a sentence: in no episode, or referred to as "the <category>".',
    )
    glyphs: GlyphsConfig | None = Field(
        None,
        description="Generate the embedded benchmark with these values if `root` is absent; null for other data.",
    )
    composed: ComposedConfig | None = Field(
        None, description="Generate composed clips with these values if `root` is absent; null for other data."
    )

    @model_validator(mode="after")
    def _one_generator(self) -> Self:
        if self.glyphs is not None and self.composed is not None:
            raise ValueError("data.glyphs and data.composed would both write `root`; set one of them to null")
        return self


class OtherBenchmark(BenchmarkConfig):
    """A further benchmark to train on."""

    share: float = Field(
        1.0, gt=0, le=1000, description="Training episodes of this benchmark for each one of that in data.root."
    )


class DataConfig(BenchmarkConfig):
    """Which benchmark, and how its pictures are prepared."""

    others: tuple[OtherBenchmark, ...] = Field(
        (),
        description="Further benchmarks to train on, each {root, share, unnamed, glyphs or composed}. All clips of an "
        "episode are from one benchmark. `group` says of each which classes are novel; a name that is novel in one is "
        "trained on in none. An evaluation without transfer asks the benchmark in `root` alone.",
    )
    group: int | None = Field(
        1,
        ge=1,
        le=4,
        description="Group whose classes are novel: class ids with (id - 1) mod 4 = group - 1. null: no class is, all "
        "are trained on, and the weights can be evaluated by transfer only.",
    )
    short_side: int = Field(
        256, ge=32, le=2048, description="Length in pixels to which the shorter picture side is scaled."
    )
    max_long_side: int | None = Field(
        None,
        ge=32,
        description="Longest allowed length in pixels of the longer picture side (published: 640); null = no limit.",
    )

    @property
    def benchmarks(self) -> tuple[BenchmarkConfig, ...]:
        """All that are trained on, that of `root` first."""
        return (self, *self.others)

    @property
    def roots(self) -> tuple[Path, ...]:
        return tuple(benchmark.root for benchmark in self.benchmarks)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the training episodes, one for each of `benchmarks`; their sum means nothing."""
        return (1.0, *(other.share for other in self.others))

    @model_validator(mode="after")
    def _different_folders(self) -> Self:
        for root in self.roots:
            if self.roots.count(root) > 1:
                raise ValueError(f"data.others names {root} again; name each benchmark once")
        return self


class EpisodesConfig(Section):
    """What one training episode consists of."""

    shots: Shots = Field(1, description="K, support clips of a training episode; each comes from a video of its own.")
    support_frames: int = Field(5, ge=1, le=64, description="S, frames of a support clip.")
    query_frames: int = Field(
        5, ge=1, le=64, description="T, frames of a query clip in training; evaluation takes all frames."
    )
    name_shuffle: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of training episodes whose sentences use another base class's name for the class.",
    )
    validation_videos: int = Field(
        1,
        ge=0,
        description="Videos of each base class that training never sees; validation's queries are from them.",
    )
    small_classes: Literal["reject", "skip"] = Field(
        "reject",
        description="If a class has fewer videos than an episode needs: stop with the numbers, or skip the class.",
    )
    augment: AugmentConfig | None = Field(
        None,
        description="How training clips are changed; null leaves them as they are, so that features can be cached.",
    )
