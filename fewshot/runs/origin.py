"""Where weights come from: the classes and the benchmark that they were trained on, kept with every checkpoint."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from episodes.content import BenchmarkContent
from episodes.errors import CheckpointError
from fewshot.config.experiment import ExperimentConfig
from fewshot.runs.benchmarks import Benchmarks
from fewshot.runs.checkpoint import latest, read_state

_CLASSES, _UNKNOWN, _BENCHMARK = "trained_classes", "trained_classes_unknown_of", "benchmark_content"


@dataclass(frozen=True)
class Origin:
    """weights: how messages name the weights; classes: sorted names of all classes that they were trained on, in any
    training before too; benchmark: what the data held when the last training started; unknown_of: the folder of
    converted weights that the first training started from, which do not say their classes, or None."""

    weights: str
    classes: tuple[str, ...]
    benchmark: BenchmarkContent
    unknown_of: str | None = None

    def as_extra(self) -> dict[str, Any]:
        """The entries of a checkpoint's `extra`."""
        return {_CLASSES: list(self.classes), _UNKNOWN: self.unknown_of, _BENCHMARK: asdict(self.benchmark)}

    def data_changes(self, data: Benchmarks, *, allowed: bool) -> list[str]:
        """How `data` differs from that of the training; CheckpointError unless that is allowed."""
        changes = self.benchmark.changes(data.content)
        if changes and not allowed:
            raise CheckpointError(
                f"{self.weights} was trained on other data than {data.places} holds now: {'; '.join(changes)}. "
                "Restore the data, name its folder with data.root, or give --allow-changed-data to continue with the "
                "data as it is (recorded with the run). (evaluate.transfer tests on another benchmark.)"
            )
        return changes


def run_origin(run_folder: Path) -> Origin | None:
    """The origin of the run's last checkpoint, or None before there is one."""
    checkpoint = latest(run_folder)
    return None if checkpoint is None else read_origin(checkpoint)


def read_origin(checkpoint: Path) -> Origin:
    """The origin of the weights in a checkpoint. CheckpointError where it does not say it."""
    extra = read_state(checkpoint)["extra"]
    if _CLASSES not in extra:
        raise CheckpointError(
            f"{checkpoint} does not say which classes its weights were trained on: an older version wrote it, and its "
            "classes cannot be kept out of an evaluation. Train again with this version."
        )
    content = BenchmarkContent(**extra[_BENCHMARK])
    return Origin(str(checkpoint), tuple(extra[_CLASSES]), content, extra[_UNKNOWN])


def training_origin(config: ExperimentConfig, data: Benchmarks, before: Origin | None) -> Origin:
    """The origin that weights of this training will have; `before`: that of the run's last checkpoint, if it has one.

    Steps show all base classes of the group: class-name shuffle calls classes without enough videos by name too.
    """
    group, weights = config.data.group, config.name
    inherited, unknown_of = before, None
    if config.initial_folder is not None:
        weights = f"{config.name}, which starts from {config.initial_weights},"
        inherited = before or run_origin(config.initial_folder)
        unknown_of = str(config.initial_weights) if inherited is None else None
    parts = data.training_parts(group) if config.train.steps else ()
    classes = {name for part in parts for name in part.base_classes(group)}
    if inherited is not None:
        classes |= set(inherited.classes)
        unknown_of = inherited.unknown_of
    return Origin(weights, tuple(sorted(classes)), data.content, unknown_of)
