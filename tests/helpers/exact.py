"""Functions to 60 digits, and polynomials through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath

DIGITS = 60


def distribution(x: Any) -> Any:
    """The normal distribution."""
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def density(x: Any) -> Any:
    """The density of the normal distribution."""
    return mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)


def interpolated(function: Callable[[Any], Any], low: Any, high: Any, count: int) -> list[Any]:
    """Coefficients of the polynomial through so many of Chebyshev's points, lowest power first."""
    nodes = [mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    x = [(low + high) / 2 + (high - low) / 2 * node for node in nodes]
    powers = mpmath.matrix(count, count)
    for row, value in enumerate(x):
        for power in range(count):
            powers[row, power] = value**power
    return list(mpmath.lu_solve(powers, mpmath.matrix([function(value) for value in x])))
