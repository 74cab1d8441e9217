"""The backend matrix: one fixture, and every test that takes it runs on every backend."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

import fastnn
from fastnn.backends import Backend, selection
from fastnn.datasets import load_mnist
from fastnn.datasets.directory import DataSet
from tests.helpers.problems import CPU_BACKEND, Batch

os.environ.setdefault("FASTNN_BACKEND", CPU_BACKEND)
"""What is no part of the matrix runs on the CPU, also where there is a GPU."""

BACKENDS = ["numpy", "numba", "strict", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Each backend that can run here, active."""
    name = request.param
    if name == "strict":
        pytest.importorskip("array_api_strict")
        monkeypatch.setitem(
            selection.REGISTRY, "strict", "tests.helpers.strict_backend:StrictBackend"
        )
    try:
        chosen = selection.load_backend(name)
    except fastnn.BackendUnavailableError as error:
        pytest.skip(str(error))
    with fastnn.use_backend(chosen):
        yield chosen


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def mnist() -> DataSet:
    """The real MNIST, pixels from 0 to 1."""
    return load_mnist()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261124)


@pytest.fixture
def batch() -> Batch:
    return Batch(7, 12, 4)


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    """Python's own handler, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
