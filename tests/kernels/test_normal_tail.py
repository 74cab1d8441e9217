"""Where the coefficients of the normal distribution's tail are from."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from fastnn.kernels.normal_tail import SHIFT, TAIL, TAIL_IS_ZERO
from mpmath import mpf

from tests.helpers.exact import DIGITS, distribution, interpolated


def polynomial(t: Any) -> Any:
    """What the polynomial stands for."""
    z = 2 * SHIFT / (1 - t) - SHIFT
    return (z + SHIFT) * mpmath.exp(z * z / 2) * distribution(-z)


@pytest.mark.parametrize(("bits", "error"), [(32, 1.4e-8), (64, 4e-17)])
def test_coefficients_interpolate(bits: int, error: float) -> None:
    dtype = f"float{bits}"
    with mpmath.workdps(DIGITS):
        last = 1 - 2 * SHIFT / (mpf(TAIL_IS_ZERO[bits]) + SHIFT)
        found = interpolated(polynomial, mpf(-1), last, len(TAIL[bits]))
        np.testing.assert_array_equal(
            np.array(list(map(float, found)), dtype), np.array(TAIL[bits], dtype)
        )
        for k in range(200):
            t = -1 + (last + 1) * k / 199
            value = sum(c * t**power for power, c in enumerate(found))
            assert abs(value / polynomial(t) - 1) < error
