"""An ablation file: an experiment, and cells that differ from it. Each cell is a whole experiment, checked before any
runs. Importable without torch."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from episodes.config import Section
from episodes.errors import ConfigError
from fewshot.config.document import Document, load_document, merge, own_or_shipped, parse_override
from fewshot.config.experiment import ExperimentConfig, check_section, plain
from fewshot.config.yaml_text import Key

MANY_CELLS = 64  # more are probably a mistake in the grid
SHARED = "shared"  # folder beside those of the cells: what several cells use
CellLabel = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
GridValues = Annotated[tuple[Any, ...], Field(min_length=1)]


class SlurmConfig(Section):
    """Resources of each job of the ablation on Slurm (launcher `slurm`)."""

    partition: str | None = Field(None, description="Partition; null takes the cluster's default.")
    time: int = Field(240, ge=1, description="Minutes of a job; a longer training is requeued, three times at most.")
    cpus: int = Field(4, ge=1, description="CPU cores of a job.")
    gpus: int = Field(1, ge=0, description="GPUs of a job.")
    memory: float = Field(16.0, gt=0, description="Memory of a job in GB.")


class AblationConfig(Section):
    """One ablation; the file `experiments/ablations/NAME.yaml`."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the ablation; its folder is runs/ablations/NAME."
    )
    base: Path = Field(description="The experiment that all cells start from, relative to the ablation file.")
    values: dict[str, Any] = Field({}, description="{dotted key: value}: values of every cell, laid over the base.")
    grid: dict[str, GridValues] = Field(
        {}, description="Dotted key: list of values. A cell for each combination, within each of `cells` if there are."
    )
    cells: dict[CellLabel, dict[str, Any]] = Field(
        {}, description="Label: {dotted key: value}. Named variants; {} is the base. The first is the reference."
    )
    memory_gb: float = Field(3.0, gt=0, description="Memory in GB that a running cell is expected to need.")
    launcher: Literal["local", "slurm"] = Field(
        "local", description="Where cells run: on this machine, or as jobs of a Slurm cluster."
    )
    slurm: SlurmConfig = Field(SlurmConfig(), description="Resources of each job on Slurm.")

    @field_validator("cells")
    @classmethod
    def _not_reserved(cls, cells: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if SHARED in cells:
            raise ValueError(f"the label {SHARED!r} is taken by the folder of shared trainings; choose another")
        return cells


@dataclass(frozen=True)
class Cell:
    """A variant of the base: `variant` is a label of the file's `cells` ("" without them), `point` its grid values."""

    label: str
    variant: str
    point: Mapping[str, Any]
    config: ExperimentConfig


@dataclass(frozen=True)
class Ablation:
    """Cells in the file's order: those of one variant together, the grid's last key changing fastest."""

    config: AblationConfig
    cells: tuple[Cell, ...]

    def reject_many(self, allowed: bool) -> None:
        """Raises ConfigError if there are more than MANY_CELLS cells, unless that is allowed."""
        if len(self.cells) > MANY_CELLS and not allowed:
            raise ConfigError(
                f"The ablation {self.config.name!r} has {len(self.cells)} cells, more than {MANY_CELLS}. "
                "Give --yes to run them all, or shorten `grid` and `cells`."
            )


def load_ablation(path: Path, overrides: Sequence[str] = ()) -> Ablation:
    """The ablation in file `path`; `key=value` overrides change the base, and so every cell. Raises ConfigError."""
    path = own_or_shipped(path)
    document = load_document(path)
    experiment = document.values.keys() & ExperimentConfig.model_fields.keys() - {"name"}
    if experiment and "base" not in document.values:
        raise ConfigError(
            f"{path} is an experiment, not an ablation, which names one as `base` and lists `cells` or a `grid` (see "
            f"experiments/ablations/). To run the experiment: `run {path}`"
        )
    config = check_section(AblationConfig, document, str(path))
    if not config.cells and not config.grid:
        raise ConfigError(
            f"{path} has no cell. Write `grid: {{dotted.key: [values]}}`, or `cells: {{label: {{dotted.key: value}}}}`."
        )
    base = _laid_over(load_document(own_or_shipped(config.base, path.parent)), document, ("values",), config.values)
    for text in overrides:
        override = parse_override(text)
        _reject_contradiction(config, text)
        base = merge(base, override)
    cells = [
        _cell(config, base, document, str(path), variant, dict(zip(config.grid, values, strict=True)))
        for variant in config.cells or [""]
        for values in itertools.product(*config.grid.values())
    ]
    _reject_equal(cells, str(path))
    return Ablation(config, tuple(cells))


def point_label(point: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The values of `point` in a few characters, as in `steps-4_scope-head`; short names are unique among `keys`."""
    short = {key: key.rpartition(".")[2] for key in keys}
    names = {key: key if list(short.values()).count(name) > 1 else name for key, name in short.items()}
    return "_".join(f"{names[key]}-{_word(value)}" for key, value in point.items())


def _cell(
    config: AblationConfig, base: Document, file: Document, source: str, variant: str, point: dict[str, Any]
) -> Cell:
    values = config.cells.get(variant, {})
    label = "_".join(part for part in (variant, point_label(point, list(config.grid))) if part)
    for name in point:
        if any(_overlap(name, other) for other in values):
            place = file.place(("grid", name))
            raise ConfigError(f"{place}: the grid sets {name!r}, and so does the cell {variant!r}. Keep one.")
    document = _laid_over(base, file, ("cells", variant), values)
    document = _laid_over(document, file, ("grid",), point)
    document = merge(document, Document({"name": f"{config.name}-{label}"}))
    return Cell(label, variant, point, check_section(ExperimentConfig, document, f"Cell {label!r} of {source}"))


def _laid_over(base: Document, file: Document, section: Key, values: Mapping[str, Any]) -> Document:
    """`base` with the dotted keys that a section of the ablation file sets."""
    for name, value in values.items():
        key: Key = tuple(name.split("."))
        place = file.place((*section, name))
        if name == "name":
            raise ConfigError(f"{place}: the name of an experiment follows from its cell; remove `name`.")
        if not all(re.fullmatch(r"[A-Za-z_][\w-]*", part) for part in key):
            raise ConfigError(f"{place}: {name!r} is not a dotted key. Write train.steps, or model.affinity.stages.")
        nested: Any = value
        for part in reversed(key):
            nested = {part: nested}
        base = merge(base, Document(nested, {key: place}))
    return base


def _reject_contradiction(config: AblationConfig, text: str) -> None:
    """Raises ConfigError for an override that a cell would silently undo."""
    name = text.partition("=")[0].strip()
    if name == "name":
        raise ConfigError(
            f"Override {text!r}: the cells' names follow from the ablation's. Choose a folder with --out."
        )
    for other in [*config.grid, *(key for values in config.cells.values() for key in values)]:
        if _overlap(name, other):
            raise ConfigError(
                f"Override {text!r} contradicts {other!r}, which the ablation itself sets. Edit the file."
            )


def _overlap(first: str, second: str) -> bool:
    """Whether one key is the other, or lies inside it."""
    return f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}.")


def _reject_equal(cells: Sequence[Cell], source: str) -> None:
    values: dict[str, dict[str, Any]] = {}  # by the label of a cell
    for cell in cells:
        if cell.label in values:
            raise ConfigError(
                f"{source}: two cells would be called {cell.label!r}. List each value once, or name cells in `cells`."
            )
        own = plain(cell.config) | {"name": ""}
        for label, other in values.items():
            if other == own:
                raise ConfigError(f"{source}: the cells {label!r} and {cell.label!r} have equal values. Keep one.")
        values[cell.label] = own


def _word(value: Any) -> str:
    """A value as part of a folder's name."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "empty"
