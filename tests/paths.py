"""Folders that tests read: the project's own, and outside data that only environment variables name."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def outside_data(variable: str) -> Path:
    """The folder that an environment variable names; a path that does not exist where it is not set."""
    return Path(os.environ.get(variable) or ROOT / f"<{variable}>").resolve()


REFERENCE = outside_data("CMA_REFERENCE")  # expected values of the published network and metric
REAL_CLIPS = outside_data("DAVIS_TINY")  # a few real clips in the layout of Mini-Ref-YouTube-VOS
