"""Config of the embedded benchmark."""

from typing import Self

from pydantic import Field, model_validator

from episodes.config import Section
from episodes.errors import UserError

VERSION = 1  # raised whenever the same config would give other pixels or sentences


class GlyphsError(UserError):
    """The benchmark cannot be written to the requested folder."""


class GlyphsConfig(Section):
    """Size and mixture of the benchmark; the same values give the same pixels on every machine."""

    seed: int = Field(0, ge=0, description="seed of all videos; each video draws from default_rng([seed, video])")
    size: int = Field(128, ge=48, le=2048, description="height and width of the square frames, in pixels")
    frames: int = Field(8, ge=1, le=200, description="frames of each video")
    videos_per_class: int = Field(12, ge=1, description="videos that contain a class; 24 times as many in all")
    expressions_per_object: int = Field(1, ge=1, le=4, description="different sentences for each object")
    colour: float = Field(0.35, ge=0, description="weight of videos whose sentences name a colour")
    object_size: float = Field(0.20, ge=0, description="weight of videos whose sentences name a size")
    texture: float = Field(0.15, ge=0, description="weight of videos whose sentences name a texture")
    position: float = Field(0.20, ge=0, description="weight of videos whose sentences name a place in the picture")
    motion: float = Field(0.10, ge=0, description="weight of videos whose sentences name a direction of motion")
    name_only: float = Field(
        0.12, ge=0, le=1, description="share of videos with one object of each class, identified by its name alone"
    )
    leaving: float = Field(0.08, ge=0, le=0.5, description="chance that an object is out of view for some frames")

    @model_validator(mode="after")
    def _attributes_are_possible(self) -> Self:
        if self.name_only < 1 and sum(weight for _, weight in self.attribute_weights) <= 0:
            raise ValueError("all attribute weights are 0; give one of colour, object_size, texture, position, motion")
        if self.motion > 0 and self.name_only < 1 and self.frames < 2:
            raise ValueError(f"motion needs at least 2 frames, found frames={self.frames}; set motion to 0")
        return self

    @property
    def attribute_weights(self) -> tuple[tuple[str, float], ...]:
        """Attribute and weight, in the fixed order in which videos are dealt out."""
        return (
            ("colour", self.colour),
            ("size", self.object_size),
            ("texture", self.texture),
            ("position", self.position),
            ("motion", self.motion),
        )
