"""tanh and the sigmoid on vectors, against mpmath."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu import hyperbolic

from tests.helpers.ulp import every_float32, largest_error, largest_error_in_float32, numbers_over
from tests.helpers.vector_functions import over_arrays

tanh, sigmoid = over_arrays(hyperbolic.tanh), over_arrays(hyperbolic.sigmoid)

FUNCTIONS = {
    "tanh": (tanh, mpmath.tanh, (-22, 22), {"float32": 12, "float64": 22}),
    "sigmoid": (
        sigmoid,
        lambda x: 1 / (1 + mpmath.exp(-x)),
        (-750, 40),
        {"float32": 110, "float64": 750},
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_it_is_exact_to_two_ulp(name: str, dtype: str) -> None:
    function, exact, (least, most), size = FUNCTIONS[name]
    x = numbers_over(max(least, -size[dtype]), min(most, size[dtype]), dtype, 1800)
    assert largest_error(function(x), x, exact) < 2


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_it_is_exact_to_two_ulp_in_float32(name: str) -> None:
    function, *_ = FUNCTIONS[name]
    for x in every_float32(2**-13, 128, 97):
        assert largest_error_in_float32(function, x) < 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_no_float32_is_further_off_than_two_ulp(name: str) -> None:
    function, *_ = FUNCTIONS[name]
    for x in every_float32(2**-13, 128, 1):
        assert largest_error_in_float32(function, x) < 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_there_is_no_error(dtype: str) -> None:
    tiny, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    x = np.array([np.nan, np.inf, -np.inf, most, -most, 0, -0.0, tiny, -tiny], dtype)
    y = tanh(x)
    np.testing.assert_array_equal(y, [np.nan, 1, -1, 1, -1, 0, 0, tiny, -tiny])
    np.testing.assert_array_equal(np.signbit(y[1:]), np.signbit(x[1:]))
    y = sigmoid(x)
    np.testing.assert_array_equal(y, [np.nan, 1, 0, 1, 0, 0.5, 0.5, 0.5, 0.5])
    assert not np.signbit(y[1:]).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_never_leave_their_range(dtype: str, rng: np.random.Generator) -> None:
    x: Any = np.concatenate([rng.uniform(-40, 40, 1 << 16), rng.uniform(8, 20, 1 << 16)])
    x = x.astype(dtype)
    np.testing.assert_array_equal(tanh(-x), -tanh(x))
    assert np.max(tanh(x)) == 1
    assert np.max(sigmoid(x)) == 1
    assert np.min(sigmoid(x)) > 0
