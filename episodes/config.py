"""The base of all sections of a config, and the section about augmentation.

Importable without torch, so that the command line can check a config at once.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of an experiment: unknown keys and numbers that are not finite are rejected; values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AugmentConfig(Section):
    """How a training clip is changed; all frames of a clip are changed in the same way."""

    scale: tuple[float, float] = Field(
        (1.0, 1.0), description="Range of the factor on the short side, drawn uniformly (published: 288-512 pixels)."
    )
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a mirror image; sentences swap left and right.")
    brightness: float = Field(0.0, ge=0, lt=1, description="Brightness factor is drawn from [1 - x, 1 + x].")
    contrast: float = Field(0.0, ge=0, lt=1, description="Contrast factor is drawn from [1 - x, 1 + x].")
    saturation: float = Field(0.0, ge=0, lt=1, description="Saturation factor is drawn from [1 - x, 1 + x].")
    hue: float = Field(0.0, ge=0, le=0.5, description="Hue shift is drawn from [-x, x] turns of the colour circle.")

    @model_validator(mode="after")
    def _range(self) -> Self:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale must be [low, high] with 0 < low <= high, found {list(self.scale)}")
        return self
