"""The cross-entropy of a sigmoid on vectors, without a logarithm of a probability.

``-t log(y) - (1 - t) log(1 - y)`` with ``y = sigmoid(x)`` is ``|x| (1 - t) + log(1 + e**-|x|)``
where x is positive, else ``|x| t + log(1 + e**-|x|)``. The logarithm of 1 + e, e from 0 to 1, is
``2 artanh(s)`` with ``s = e / (2 + e)``, at most 1/3, by its Taylor series, whose remainder is
under a tenth of an ulp.
"""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.exponential import FORMATS, one_plus, reduced, series
from fastnn.kernels.cpu.vector import lane_by_lane
from fastnn.kernels.cpu.vector_formula import Lanes
from numba.extending import intrinsic

# Terms of artanh(s) / s in powers of s*s, by the bits of a number.
TERMS = {32: 8, 64: 17}


@intrinsic
def sigmoid_cross_entropy(typingctx: Any, x: Any, t: Any) -> Any:
    """The loss of each lane of scores x to labels t from 0 to 1."""

    def operation(builder: Any, x: Any, t: Any) -> Any:
        return _loss(Lanes(builder, x), Lanes(builder, t)).value

    return lane_by_lane(x, 2, operation)


def _loss(x: Lanes, t: Lanes) -> Lanes:
    *_, least, _ = FORMATS[x.bits]
    size = x.magnitude()
    inside = size <= -least
    power_of_two, r = reduced(x.spread(0) - size.where(inside, 0))
    e = power_of_two.times(one_plus(r, series(r))).where(inside, 0)
    missed = (1 - t).where(x > 0, t)
    return size.fma(missed, _log_of_one_and(e))


def _log_of_one_and(e: Lanes) -> Lanes:
    s = e / (e + 2)
    artanh = s * (s * s).polynomial([1 / (2 * k + 1) for k in range(TERMS[e.bits])])
    return artanh + artanh
