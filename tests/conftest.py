"""The backend matrix: one fixture, and every test that takes it runs on every backend."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine
from fastnn.backends import Backend, selection
from fastnn.datasets import load_mnist
from fastnn.datasets.directory import DataSet

CPU_BACKEND = "numba" if importlib.util.find_spec("numba") else "numpy"
os.environ.setdefault("FASTNN_BACKEND", CPU_BACKEND)
"""What is no part of the matrix runs on the CPU, also where there is a GPU."""

BACKENDS = ["numpy", "numba", "strict", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Each backend that can run here, active."""
    name = request.param
    if name == "strict":
        pytest.importorskip("array_api_strict")
        monkeypatch.setitem(selection.REGISTRY, "strict", "strict_backend:StrictBackend")
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


def affine_of(W: Any, b: Any) -> Affine:
    """An Affine layer of copies of these arrays, which nobody else has, on the active backend."""
    backend = fastnn.get_backend()
    return Affine(*(backend.copy(backend.asarray(array)) for array in (W, b)))


class Batch:
    """A small classification problem with sparse, non-negative inputs, as images are."""

    def __init__(self, samples: int, features: int, classes: int, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        dark = generator.random((samples, features)) < 0.5
        self.x = np.where(dark, 0, generator.random((samples, features))).astype("float32")
        self.t = generator.integers(0, classes, samples)
        self.one_hot = np.eye(classes, dtype="float32")[self.t]


@pytest.fixture
def batch() -> Batch:
    return Batch(7, 12, 4)


def relative_error(found: Any, expected: Any) -> float:
    """Largest difference relative to the largest entry expected; the NaNs must be the same."""
    found = fastnn.to_numpy(found).astype("float64")
    expected = fastnn.to_numpy(expected).astype("float64")
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_array_equal(found[~np.isfinite(found)], expected[~np.isfinite(expected)])
    finite = np.isfinite(expected)
    if not finite.any():
        return 0.0
    scale = np.max(np.abs(expected[finite]))
    return float(np.max(np.abs(found[finite] - expected[finite])) / (scale or 1.0))
