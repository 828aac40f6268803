"""What an ablation file holds: an experiment, and the values in which its cells differ. Importable without torch."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from episodes.config import Section

SHARED = "shared"  # folder beside those of the cells: what several cells use
CellLabel = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
GridValues = Annotated[tuple[Any, ...], Field(min_length=1)]


class SlurmConfig(Section):
    """What is asked of Slurm for each job of the ablation (launcher `slurm`)."""

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
        {}, description="Label: {dotted key: value}. Named variants; {} is the base itself. The first is compared with."
    )
    memory_gb: float = Field(3.0, gt=0, description="Memory in GB that a running cell is expected to need.")
    launcher: Literal["local", "slurm"] = Field(
        "local", description="Where cells run: on this machine, or as jobs of a Slurm cluster."
    )
    slurm: SlurmConfig = Field(SlurmConfig(), description="What is asked of Slurm for each job.")

    @field_validator("cells")
    @classmethod
    def _not_reserved(cls, cells: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if SHARED in cells:
            raise ValueError(f"the label {SHARED!r} is taken by the folder of shared trainings; choose another")
        return cells
