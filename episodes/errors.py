"""The errors a user can cause and repair. Each message says what, where, which value, and what to do.

They live in the lowest layer so that every layer can raise them; only `fewshot.cli` turns them into exit codes.
"""


class UserError(ValueError):
    """Base of every error that the command line prints as one paragraph, without a traceback (exit code 2)."""


class ConfigError(UserError):
    """An experiment file or a `key=value` override is wrong."""


class LayoutError(UserError):
    """A benchmark folder lacks something, or holds something that contradicts its own index."""


class ReadError(UserError):
    """A single picture or mask cannot be read, or does not fit its neighbours."""


class SamplingError(UserError):
    """The benchmark, or a file of tasks, cannot supply the episodes or tasks that were asked for."""


class WeightsError(UserError):
    """Encoder weights are absent, differ from their published hash or do not fit; or kept features are damaged."""


class CheckpointError(UserError):
    """A checkpoint is absent or damaged, or is of another architecture, other encoders or other data."""


class ConversionError(UserError):
    """Weights are not of the published checkpoint layout, or do not fit the model."""


class TrainingError(UserError):
    """Training cannot start or continue, for example because a loss is not finite."""
