"""How a run works on a machine: values that are not part of the experiment."""

from pathlib import Path

from pydantic import Field

from episodes.config import Section


class MachineConfig(Section):
    """All in which two runs may differ and still be the same experiment.

    Three of these values change how numbers are rounded, as another processor does: `threads`, `evaluation_workers`,
    which share the threads, and a `cache` or none, since kept features are float16. Weights and scores then differ in
    the last bits, and after a whole training by as much as another seed makes them differ (experiments/LOG.md: a
    standard deviation of 2.2 points J&F). With these three equal, a run on one machine's CPU is equal bit for bit,
    resumed or not. The other values never change a number.
    """

    threads: int = Field(2, ge=0, le=1024, description="CPU threads of torch; 0 leaves torch's own choice.")
    loader_workers: int = Field(
        0, ge=0, le=256, description="Processes that load training episodes; 0 loads in the training process."
    )
    evaluation_workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that evaluate tasks side by side, each with a network of its own; they share the CPU "
        "threads of machine.threads.",
    )
    cache: Path | None = Field(
        Path("cache"),
        description="Folder that keeps image features of unchanged frames between runs; null computes them each time.",
    )
    log_every: int = Field(10, ge=1, description="Steps between lines of metrics.jsonl and points of TensorBoard.")
    checkpoint_every: int = Field(
        200, ge=1, description="Steps between checkpoints; validations and the last step save one too."
    )
    keep_checkpoints: int = Field(2, ge=1, description="Newest checkpoints that are kept, in addition to the best one.")
    save_overlays: int = Field(
        8, ge=0, description="Queries drawn as overlays: median, worst and best, then in the order of the tasks."
    )
