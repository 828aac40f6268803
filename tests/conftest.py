"""For all tests: no model hub, no accelerator, and one thread, so that tests may run side by side; a tiny benchmark."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # results are compared bit for bit on a CPU, whatever the machine has

# A background shell starts its jobs with SIGINT ignored, and they hand that down to the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

from tests.tiny_benchmark import write_tiny_benchmark
from tests.tiny_runs import TinySet, write_experiment


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    """8 classes, 2 of each group; 4 videos of 4 frames of 64 pixels for each pair of classes. Only to be read."""
    folder = tmp_path_factory.mktemp("tiny_set")
    return TinySet(write_tiny_benchmark(folder / "data"), folder / "cache")


@pytest.fixture
def experiment(tmp_path: Path, tiny_set: TinySet) -> Path:
    """YAML file of an experiment on the tiny benchmark."""
    return write_experiment(tmp_path / "tiny.yaml", tiny_set)


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """The command line sets up the project's loggers, to a stderr that pytest closes after the test."""
    loggers = [logging.getLogger(name) for name in ("episodes", "models", "fewshot")]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
