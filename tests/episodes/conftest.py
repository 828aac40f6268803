"""One tiny benchmark for all tests that only read it."""

from pathlib import Path

import pytest

from episodes.catalog import VideoCatalog
from episodes.readers import read_benchmark
from tests.tiny_benchmark import write_tiny_benchmark


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 classes in 4 groups, 5 videos of 9 frames each, two objects of each of two classes in a video."""
    root = tmp_path_factory.mktemp("tiny")
    return write_tiny_benchmark(root, videos_per_class=5, frames=9, size=(48, 64), objects_per_class=2)


@pytest.fixture(scope="session")
def catalog(tiny_root: Path) -> VideoCatalog:
    return read_benchmark(tiny_root)
