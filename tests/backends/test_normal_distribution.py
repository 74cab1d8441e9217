"""The normal distribution in array code against mpmath."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from fastnn.backends.normal_distribution import normal_distribution
from tests.helpers.exact import density, distribution
from tests.helpers.ulp import largest_error, numbers_over

LEAST = {"float32": -12, "float64": -37}


@pytest.mark.parametrize("dtype", sorted(LEAST))
def test_it_is_exact_to_some_ulp(dtype: str) -> None:
    x = numbers_over(LEAST[dtype], 10, dtype, 1200)
    with np.errstate(under="ignore"):
        P, p = normal_distribution(np, x)
    assert P.dtype == p.dtype == x.dtype
    assert largest_error(P, x, distribution) < 6
    assert largest_error(p, x, density) < 6


def test_where_it_ends() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 0])
    with np.errstate(under="ignore"):
        P, p = normal_distribution(np, x)
    np.testing.assert_array_equal(P, [np.nan, 1, 0, 1, 0, 0.5])
    np.testing.assert_array_equal(p[1:5], 0)
    assert np.isnan(p[0])


@pytest.mark.parametrize("dtype", sorted(LEAST))
def test_it_is_array_api_code(dtype: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 2)).astype(dtype)
    strict = array_api_strict.asarray(x)
    for found, right in zip(
        normal_distribution(array_api_strict, strict), normal_distribution(np, x), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(found), right)
