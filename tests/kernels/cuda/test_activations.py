"""Activations on a GPU keep their digits down to the smallest normal numbers."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from tests.helpers.exact import density, distribution
from tests.helpers.gpu import cupy_backend
from tests.helpers.ulp import largest_error, numbers_over

pytestmark = pytest.mark.gpu

FUNCTIONS: dict[str, Any] = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "gelu": lambda x: x * distribution(x),
}
SMALLEST: dict[str, dict[str, float]] = {
    "sigmoid": {"float32": -87, "float64": -708},
    "tanh": {"float32": -12, "float64": -22},
    "gelu": {"float32": -12.8, "float64": -37},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", sorted(FUNCTIONS))
def test_it_is_exact_to_some_ulp(activation: str, dtype: str) -> None:
    backend = cupy_backend()
    x = numbers_over(SMALLEST[activation][dtype], 15, dtype, 900)
    x = x[(np.abs(x) > 4 * np.finfo(dtype).tiny) | (x == 0)]
    found = backend.to_numpy(getattr(backend, activation)(backend.asarray(x)))
    assert largest_error(found, x, FUNCTIONS[activation]) < 12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_gelu_far_at_the_left(dtype: str) -> None:
    backend = cupy_backend()
    x = numbers_over(SMALLEST["gelu"][dtype], -2, dtype, 300)
    one = backend.asarray(np.ones_like(x))
    found = backend.to_numpy(backend.gelu_backward(one, backend.asarray(x)))
    assert largest_error(found, x, lambda x: distribution(x) + x * density(x)) < 24
