"""The normal distribution in array code: NumPy and the array API standard have no erf."""

from __future__ import annotations

import math
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.kernels.normal_tail import SHIFT, TAIL, TAIL_IS_ZERO


def normal_distribution(xp: Any, x: Array) -> tuple[Array, Array]:
    """Give ``P(x) = (1 + erf(x / sqrt(2))) / 2`` and ``p(x) = e**(-x*x/2) / sqrt(2 pi)``.

    x of any shape and of float32 or float64, in which it is computed. The relative error is some
    ulp also where ``erf`` is so close to -1 that the formula would give 0: down to x = -37 in
    float64. `fastnn.kernels.normal_tail` says how.
    """
    bits = 32 if x.dtype == xp.float32 else 64
    size = xp.abs(x)
    most = xp.full_like(size, TAIL_IS_ZERO[bits] + 1)
    z = xp.where(size > most, most, size)
    power = _exp_of_minus_half_the_square(xp, z)
    t = (z - SHIFT) / (z + SHIFT)
    polynomial = xp.full_like(t, TAIL[bits][-1])
    for coefficient in TAIL[bits][-2::-1]:
        polynomial *= t
        polynomial += coefficient
    tail = power * (polynomial / (z + SHIFT))
    # 1 - tail where x is positive, else the tail; `where` would guess wrongly at every other entry.
    distribution = xp.abs(xp.astype(x > 0, x.dtype) - tail)
    return distribution, power * (1 / math.sqrt(2 * math.pi))


def _exp_of_minus_half_the_square(xp: Any, z: Array) -> Array:
    """``e**(-z*z/2)`` for z from 0 to 40, as exact as exp itself.

    The rounding of ``z*z`` alone would be magnified by as much as the exponent is large. So z is
    taken apart: 16ths of it have an exact square, and the rest is small (Cody, "Rational Chebyshev
    approximations for the error function", Mathematics of Computation 23, 1969).
    """
    sixteenths = xp.floor(z * 16) / 16
    rest = (sixteenths - z) * (sixteenths + z) / 2
    return xp.exp(sixteenths * sixteenths * -0.5) * xp.exp(rest)
