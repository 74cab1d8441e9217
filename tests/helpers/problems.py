"""Small problems, and how far a result is off."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import numpy as np

import fastnn
from fastnn import Affine
from tests.helpers.exhaustive import exhaustive_but

CPU_BACKEND = "numba" if importlib.util.find_spec("numba") else "numpy"

FLOATS = ("float32", "float64")

BYTES = exhaustive_but([("float32", "uint8")], itertools.product(FLOATS, ("uint8", "int8")))
"""Dtypes of a network and of the bytes that it learns from; each pair is compiled anew."""


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


def data_set(
    samples: int, features: int, classes: int, *, density: float = 0.2, seed: int = 0
) -> tuple[Any, Any]:
    """Inputs, of which a part is not zero, and labels."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((samples, features)) < density, rng.normal(size=(samples, features)), 0)
    return x, rng.integers(0, classes, samples)


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
