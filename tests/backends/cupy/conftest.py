"""What the tests of CuPy as a backend share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.helpers.gpu import Problem, cupy_backend


@pytest.fixture
def cuda() -> Iterator[Any]:
    """The device, active."""
    with fastnn.use_backend(cupy_backend()) as backend:
        yield backend


@pytest.fixture
def numbers(cuda: Any) -> tuple[Problem, Any]:
    """A problem and the rows of seven batches of 20."""
    problem = Problem([12, 9, 4], 20)
    return problem, cuda.asarray(np.concatenate([problem.rows] * 4)[:7])
