"""The loss of counts: half the Poisson deviance, of scores that are logarithms of means."""

from __future__ import annotations

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.checks import dtype_name
from fastnn.nn.loss import Loss
from fastnn.nn.targets import Targets, check_numbers


class PoissonWithLoss(Loss):
    """``sum(t log(t / y) - t + y)`` over the outputs, ``y = exp(x)``.

    And its mean over the samples. That is scikit-learn's ``loss="poisson"``. Targets (N, C) are
    numbers from 0 on. No engine compiles it: a network with it trains in the loop.
    """

    def losses(self, x: Array, t: Array) -> tuple[Array, Array]:
        """See `Loss.losses`."""
        xp, t = self.backend.xp, self.backend.astype(t, dtype_name(x))
        y = xp.exp(x)
        ones = xp.ones_like(t)
        logarithm = xp.log(xp.where(t > 0, t, ones))  # t log(t) is 0 for t = 0
        return xp.sum(t * (logarithm - x) - t + y, axis=1), y

    def _gradient(self, y: Array, t: Array) -> Array:
        return (y - self.backend.astype(t, dtype_name(y))) / y.shape[0]

    def _checked(
        self, t: object, shape: tuple[int, int], backend: Backend, dtype: str, name: str
    ) -> Targets:
        needs = 'loss="poisson" needs finite targets from 0 on'
        most = float(np.finfo(dtype).max)
        return check_numbers(t, shape, backend, dtype, needs=needs, between=(0, most), name=name)
