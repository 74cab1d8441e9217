"""How far numbers are from what is exact, and numbers to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from tests.helpers.exact import DIGITS


def ulp(numbers: Any, dtype: str) -> Any:
    """Give the distance of numbers of a dtype next to others, which may be zero."""
    return np.spacing(np.abs(np.asarray(numbers).astype(dtype))).astype("float64")


def largest_error(found: Any, x: Any, exact: Callable[[Any], Any]) -> float:
    """Give the largest error in ulp of what was found for x, by mpmath."""
    worst = 0.0
    with mpmath.workdps(DIGITS):
        for one, value in zip(found.tolist(), x.tolist(), strict=True):
            right = exact(mpmath.mpf(value))
            unit = float(ulp(float(right), str(x.dtype)))
            worst = max(worst, float(abs(mpmath.mpf(one) - right) / unit))
    return worst


def largest_error_in_float32(function: Callable[[Any], Any], x: Any) -> float:
    """Give the largest error in ulp in float32, by the same function in float64."""
    right = function(x.astype("float64"))
    return float(np.max(np.abs(function(x) - right) / ulp(right, "float32")))


def numbers_over(least: float, most: float, dtype: str, count: int) -> Any:
    """Give numbers all over a range, and of every magnitude in it, down to subnormal ones."""
    rng = np.random.default_rng(7)
    smallest = np.log2(float(np.finfo(dtype).smallest_subnormal))
    largest = np.log2(max(abs(least), abs(most)))
    sizes = 2.0 ** np.concatenate(
        [rng.uniform(smallest, largest, count // 3), rng.uniform(-12, largest, count // 3)]
    )
    x = np.concatenate(
        [sizes * rng.choice([-1, 1], sizes.size), rng.uniform(least, most, count // 3)]
    )
    return x[(x >= least) & (x <= most)].astype(dtype)


def every_float32(least: float, most: float, stride: int) -> Any:
    """Give runs of float32, each ``stride``-th of those with a magnitude in a range."""
    first, last = (int(np.float32(size).view("uint32")) for size in (least, most))
    run = 1 << 20
    for sign in (0, 1 << 31):
        for begin in range(first, last, run * stride):
            bits = np.arange(begin, min(begin + run * stride, last), stride) + sign
            yield bits.astype("uint32").view("float32")
