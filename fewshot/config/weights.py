"""Weights that come with the project, by name: the folders in fewshot/weights/, each a packed run."""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def weights_names() -> tuple[str, ...]:
    """The names of all that there are, sorted."""
    return tuple(sorted(folder.name for folder in WEIGHTS.iterdir() if folder.is_dir())) if WEIGHTS.is_dir() else ()


def comes_with_the_project(folder: Path) -> bool:
    """Whether this is one of those folders, which are not written to."""
    return folder.resolve().parent == WEIGHTS.resolve()


def named_weights(given: Path) -> Path:
    """The folder `given`; where there is none, that of the project's own weights of this name."""
    return WEIGHTS / given if not given.exists() and str(given) in weights_names() else given
