"""erf, GELU and its derivative on vectors against mpmath, and where their coefficients are from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

pytest.importorskip("numba")

from fastnn.kernels.cpu import error_function
from fastnn.kernels.normal_tail import TAIL_IS_ZERO

from tests.helpers.exact import (
    DIGITS,
    density,
    distribution,
    interpolated,
)
from tests.helpers.ulp import (
    every_float32,
    largest_error,
    largest_error_in_float32,
    numbers_over,
    ulp,
)
from tests.helpers.vector_functions import over_arrays

erf, gelu = over_arrays(error_function.erf), over_arrays(error_function.gelu)
gelu_derivative = over_arrays(error_function.gelu_derivative)

DTYPES = {"float32": 32, "float64": 64}


@pytest.mark.parametrize("dtype", DTYPES)
def test_erf_is_exact_to_two_ulp(dtype: str) -> None:
    x = numbers_over(-7, 7, dtype, 1800)
    assert largest_error(erf(x), x, mpmath.erf) < 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_is_exact_to_five_ulp_down_to_the_smallest_numbers(dtype: str) -> None:
    least = -TAIL_IS_ZERO[DTYPES[dtype]] - 1
    x = numbers_over(least, 12, dtype, 1800)
    assert largest_error(gelu(x), x, lambda x: x * distribution(x)) < 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_derivative_of_gelu_is_exact_to_five_ulp_of_the_larger_term(dtype: str) -> None:
    least = -TAIL_IS_ZERO[DTYPES[dtype]] - 1
    x = numbers_over(least, 12, dtype, 1200)
    with mpmath.workdps(DIGITS):
        for found, value in zip(gelu_derivative(x).tolist(), x.tolist(), strict=True):
            terms = distribution(mpf(value)), value * density(mpf(value))
            unit = float(ulp(float(max(map(abs, terms))), dtype))
            assert abs(mpf(found) - sum(terms)) < 5 * unit, value


@pytest.mark.parametrize(("function", "bound"), [(erf, 2), (gelu, 5)])
def test_in_float32(function: Callable[[Any], Any], bound: int) -> None:
    for x in every_float32(2**-13, 32, 97):
        assert largest_error_in_float32(function, x) < bound


@pytest.mark.exhaustive
@pytest.mark.parametrize(("function", "bound"), [(erf, 2), (gelu, 5)])
def test_no_float32_is_further_off(function: Callable[[Any], Any], bound: int) -> None:
    for x in every_float32(2**-13, 32, 1):
        assert largest_error_in_float32(function, x) < bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_there_is_no_error(dtype: str) -> None:
    most = np.finfo(dtype).max
    x = np.array([np.nan, np.inf, -np.inf, most, -most, 0, -0.0], dtype)
    found = erf(x), gelu(x), gelu_derivative(x)
    np.testing.assert_array_equal(found[0], [np.nan, 1, -1, 1, -1, 0, 0])
    np.testing.assert_array_equal(found[1], [np.nan, np.inf, np.nan, most, 0, 0, 0])
    np.testing.assert_array_equal(found[2], [np.nan, np.nan, np.nan, 1, 0, 0.5, 0.5])
    for y in found[:2]:  # a zero has the sign of x
        assert np.signbit(y[4:]).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", DTYPES)
def test_coefficients_in_the_middle(dtype: str) -> None:
    def middle(square: Any) -> Any:
        return mpmath.erf(mpmath.sqrt(square)) / mpmath.sqrt(square) - 1

    given = error_function.MIDDLE[DTYPES[dtype]]
    with mpmath.workdps(DIGITS):
        found = interpolated(middle, mpf(0), mpf(1), len(given))
    np.testing.assert_array_equal(np.array(list(map(float, found)), dtype), np.array(given, dtype))
