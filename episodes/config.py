"""What may be set about episodes. Importable without torch, so that the command line can check a config at once."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SamplerConfig(BaseModel):
    """How episodes are drawn from a catalog."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: int = Field(1, ge=1, le=4, description="Group whose classes are novel; the other three groups are base classes.")
    shots: int = Field(1, ge=1, description="K, support clips of an episode; each comes from a video of its own.")
    support_frames: int = Field(5, ge=1, description="S, frames of a support clip.")
    query_frames: int = Field(5, ge=1, description="T, frames of a query clip in training; evaluation takes all frames.")
    name_shuffle: float = Field(
        0.9, ge=0, le=1, description="Share of training episodes whose sentences call the class by another base class's name."
    )
    validation_videos: int = Field(
        1, ge=0, description="Videos of each base class that training never sees and validation takes its queries from."
    )
    small_classes: Literal["refuse", "skip"] = Field(
        "refuse", description="A class with fewer videos than an episode needs: stop with the numbers, or leave the class out."
    )


class AugmentConfig(BaseModel):
    """How a training clip is changed; all frames of a clip change alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: tuple[float, float] = Field(
        (1.0, 1.0), description="Range of the factor on the short side, drawn uniformly (published: 288-512 pixels)."
    )
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip; left and right swap in the sentence.")
    brightness: float = Field(0.0, ge=0, lt=1, description="Brightness factor is drawn from [1 - x, 1 + x].")
    contrast: float = Field(0.0, ge=0, lt=1, description="Contrast factor is drawn from [1 - x, 1 + x].")
    saturation: float = Field(0.0, ge=0, lt=1, description="Saturation factor is drawn from [1 - x, 1 + x].")
    hue: float = Field(0.0, ge=0, le=0.5, description="Hue shift is drawn from [-x, x] turns of the colour circle.")

    @model_validator(mode="after")
    def _range(self) -> AugmentConfig:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale must be [low, high] with 0 < low <= high, found {list(self.scale)}")
        return self
