"""Batch normalisation of a stage in the fused step: one kernel forward and one back."""

from __future__ import annotations

from functools import partial

from fastnn.backends.arrays import Array
from fastnn.backends.base import BATCH_NORM_EPSILON, Backend
from fastnn.backends.cupy.launch import Launch
from fastnn.backends.plan import Block, StepPlan
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.normalization import Normalise, NormaliseBackward


class Normalised:
    """What the normalisation of a layer keeps from its way forward to its way back.

    Attributes
    ----------
    gradients : dict of str to array
        By gamma and beta, by the names of these.
    """

    def __init__(self, backend: Backend, plan: StepPlan, block: Block, between: Between) -> None:
        assert block.operation is not None
        self._dtype, self._between = plan.dtype, between
        self._momentum = float(block.operation.options["momentum"])
        self._averages = tuple(plan.arrays[name] for name in block.operation.state)
        self._gamma, self._beta = (plan.arrays[name] for name in block.parameters)
        units = (block.units,)
        self._xn = backend.empty((plan.batch_size, *units), plan.dtype)
        self._std, self._mean, self._var = (backend.empty(units, plan.dtype) for _ in range(3))
        self.gradients = {name: backend.empty(units, plan.dtype) for name in block.parameters}

    def forward(self, *, parts: Array, b: Array, y: Array, kept: Array) -> Launch:
        """Make the way from the parts of a product to `y`, and what of it the way back reads."""
        return partial(
            Normalise(self._dtype, self._between, BATCH_NORM_EPSILON, self._momentum),
            x=parts, b=b, gamma=self._gamma, beta=self._beta, y=y, kept=kept, xn=self._xn,
            std=self._std, mean=self._mean, var=self._var, averages=self._averages,
        )  # fmt: skip

    def backward(self, *, dout: Array, kept: Array) -> Launch:
        """Make the way back: `dout`, the gradient by `y`, becomes that by the sums."""
        dgamma, dbeta = self.gradients.values()
        return partial(
            NormaliseBackward(self._dtype, self._between), dout=dout, kept=kept,
            gamma=self._gamma, xn=self._xn, std=self._std, dx=dout, dgamma=dgamma, dbeta=dbeta,
        )  # fmt: skip
