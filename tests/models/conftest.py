"""The packaged encoders, loaded once."""

import pytest

from models.trunk import Trunk
from tests.random_clips import shared_trunk


@pytest.fixture(scope="session")
def trunk() -> Trunk:
    return shared_trunk()
