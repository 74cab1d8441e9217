"""What several tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fastnn
from tests.helpers.problems import Batch


@pytest.fixture
def data() -> Batch:
    return Batch(53, 12, 4)


@pytest.fixture
def on_numpy() -> Iterator[None]:
    with fastnn.use_backend("numpy"):
        yield
