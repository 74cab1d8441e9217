"""The tail of the normal distribution as a polynomial: numbers for kernels and array code alike.

``P(x) = (1 + erf(x / sqrt(2))) / 2 = erfc(-x / sqrt(2)) / 2`` is the normal distribution. Its tail
at the left, scaled, ``R(z) = e**(z*z/2) P(-z)``, falls slowly from 1/2 to ``1 / (z sqrt(2 pi))``.
So ``(z + 4) R(z)`` is a polynomial of ``t = (z - 4) / (z + 4)``, which is from -1 to below 1 for
``z >= 0``: the idea of Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2)
erfc x in 0 <= x < infinity", Mathematics of Computation 36, 1981.

The coefficients interpolate at Chebyshev's points; tests/kernels/test_normal_tail.py makes them
anew, with an error of 1.3e-8 in float32 and 3.6e-17 in float64.
"""

from __future__ import annotations

SHIFT = 4

TAIL_IS_ZERO = {32: 14.5, 64: 39.0}
"""By the bits of a number: from which z on ``z P(-z)`` is 0. The polynomial goes up to there."""

TAIL = {
    32: (
        0.7552851438522339, -0.607896625995636, 0.38713666796684265, -0.18652300536632538,
        0.06040646880865097, -0.007527213077992201, -0.0035235739778727293, 0.001569313695654273,
        0.0001948018471011892, -0.00012298315414227545,
    ),
    64: (
        0.7552851304157515, -0.6078966419718917, 0.38713740074221886, -0.18652185795969417,
        0.06039657489069947, -0.007540188965593059, -0.0034796923622425332, 0.0016308184418903596,
        0.00013334425401904912, -0.0002310948183193762, -1.9078665316613576e-06,
        3.5144181157760973e-05, 7.150055959216099e-07, -5.918892731763236e-06,
        -6.25132104047868e-07, 1.0198048518135172e-06, 2.6368248576407624e-07,
        -1.5426320536771075e-07, -7.63808205349045e-08, 1.457859334703646e-08,
        1.392402399350171e-08, 7.26954547902669e-11, -9.653425420228504e-10,
    ),
}  # fmt: skip
"""By the bits of a number, lowest power first."""
