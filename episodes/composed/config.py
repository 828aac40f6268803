"""Config of composed clips."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from episodes.config import Section
from episodes.errors import UserError

VERSION = 1  # raised whenever the same config and pictures would give other pixels or sentences
FOLDERS = ("objects", "stills", "backgrounds")


class ComposedError(UserError):
    """Pictures that cannot be used, or a benchmark that cannot be written to the requested folder."""


class ComposedConfig(Section):
    """Pictures, size and mixture of composed clips; the same pictures and values give the same files."""

    objects: tuple[Path, ...] = Field((), description="folders of cut-outs with alpha; none of the three: the shipped")
    stills: tuple[Path, ...] = Field((), description="folders of photographs, each with a mask of its object")
    backgrounds: tuple[Path, ...] = Field((), description="folders of photographs to put objects on")
    without: tuple[str, ...] = Field((), description="names of classes to leave out")
    small_classes: Literal["reject", "skip", "keep"] = Field(
        "reject",
        description="if a class has only one picture: stop with the names, skip the class, or keep it (every video of "
        "it then shows the same object in another pose and light)",
    )
    seed: int = Field(0, ge=0, description="seed of all videos; each video draws from default_rng([seed, video])")
    width: int = Field(480, ge=96, le=2048, description="width of the frames in pixels")
    height: int = Field(288, ge=64, le=2048, description="height of the frames in pixels")
    frames: int = Field(6, ge=1, le=200, description="frames of each video")
    videos_per_class: int = Field(10, ge=2, description="videos that show a class; each shows two classes")
    scene: float = Field(0.4, ge=0, description="weight of videos of cut-outs over a background")
    still: float = Field(0.25, ge=0, description="weight of videos of a photograph with its own object")
    mosaic: float = Field(0.35, ge=0, description="weight of two videos of one object each, side by side")
    caption: float = Field(0.2, ge=0, description="weight of sentences that describe the object as its caption does")
    position: float = Field(0.25, ge=0, description="weight of sentences that name a place in the picture")
    object_size: float = Field(0.2, ge=0, description="weight of sentences that name a size")
    motion: float = Field(0.15, ge=0, description="weight of sentences that name a direction of motion")
    colour: float = Field(0.1, ge=0, description="weight of sentences that name a colour; the objects are tinted")
    name_only: float = Field(
        0.15, ge=0, le=1, description="share of scenes with one object of each class, identified by its name alone"
    )
    leaving: float = Field(0.08, ge=0, le=0.5, description="chance that an object is out of view for some frames")
    smallest: float = Field(0.16, gt=0, le=1, description="smallest object, sqrt(width x height) / frame height")
    largest: float = Field(0.85, gt=0, le=1.2, description="largest object, sqrt(width x height) / frame height")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.scene + self.still + self.mosaic <= 0:
            raise ValueError("all weights of kinds are 0; give one of scene, still, mosaic")
        if self.name_only < 1 and sum(weight for _, weight in self.attribute_weights) <= 0:
            raise ValueError("all attribute weights are 0; give one of caption, position, object_size, motion, colour")
        if self.motion > 0 and self.name_only < 1 and self.frames < 2:
            raise ValueError(f"motion needs at least 2 frames, found frames={self.frames}; set motion to 0")
        if self.largest < 2 * self.smallest:
            raise ValueError(f"largest must be at least twice smallest, found {self.largest} and {self.smallest}")
        return self

    @property
    def attribute_weights(self) -> tuple[tuple[str, float], ...]:
        return (
            ("caption", self.caption),
            ("position", self.position),
            ("size", self.object_size),
            ("motion", self.motion),
            ("colour", self.colour),
        )

    @property
    def recipe(self) -> dict[str, Any]:
        """All values but the folders, which a digest of their pictures stands for."""
        return self.model_dump(mode="json", exclude=set(FOLDERS))
