"""The fused step before its update: the forward pass, the loss, the backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.products import Products
from fastnn.backends.plan import StepPlan
from fastnn.backends.stages import Stage
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.head import Head, fits
from fastnn.kernels.cuda.loss import Loss
from fastnn.kernels.cuda.product import GatherProduct, HiddenProduct
from fastnn.kernels.cuda.rows import row_type


class Launch(Protocol):
    """A kernel with all that it is given but the samples of the batch."""

    def __call__(self, *, N: int) -> None: ...


class Passes:
    """Makes the kernels of both passes, and the arrays by which they follow each other.

    Attributes
    ----------
    launches : list of Launch
        In order.
    W, b : list of array
        The parameters of each layer.
    h : list of array (N, units)
        What each layer but the last gives.
    dout : list of array (N, units)
        Of each layer the gradient by its sums.
    losses : array (N,)
        Of the samples.
    """

    def __init__(
        self,
        backend: Backend,
        products: Products,
        plan: StepPlan,
        stages: Sequence[Stage],
        control: Array,
    ) -> None:
        N, units = plan.batch_size, [stage.affine.units for stage in stages]
        names = [stage.affine.parameters for stage in stages]
        self.W, self.b = ([plan.arrays[pair[i]] for pair in names] for i in (0, 1))
        self.h = [backend.empty((N, M), plan.dtype) for M in units[:-1]]
        self.dout = [backend.empty((N, M), plan.dtype) for M in units]
        self.losses = backend.empty((N,), plan.dtype)
        self._plan, self._stages, self._control = plan, stages, control
        rows = _rows_of_head(self.W, N, products.multiprocessors)
        in_head = len(stages) - 1 if rows else len(stages)
        self._slices = [products.slices(N, *W.shape) for W in self.W[:in_head]]
        self._parts = [
            backend.empty((splits, N, M), plan.dtype)
            for (splits, _), M in zip(self._slices, units, strict=False)
        ]
        self.launches: list[Launch] = [*self._products(), self._loss(rows), *self._back(in_head)]

    def _products(self) -> Iterator[Launch]:
        """Make the products, but for one that `head` does."""
        plan, dtype = self._plan, self._plan.dtype
        data = plan.arrays["x_data"]
        yield partial(
            GatherProduct(dtype, row_type(dtype, data)), control=self._control, data=data,
            scale=plan.scale, W=self.W[0], parts=self._parts[0], depth=self._slices[0][1],
        )  # fmt: skip
        for i in range(1, len(self._parts)):
            yield partial(
                HiddenProduct(dtype), **self._before(i), h=self.h[i - 1], W=self.W[i],
                parts=self._parts[i], depth=self._slices[i][1],
            )  # fmt: skip

    def _loss(self, rows: int) -> Launch:
        """Make the loss: with the last product where a block has some rows of both."""
        dtype, labels = self._plan.dtype, self._plan.arrays["t_data"]
        shared: dict[str, Any] = {
            "control": self._control, "b": self.b[-1], "labels": labels, "dout": self.dout[-1],
            "losses": self.losses,
        }  # fmt: skip
        if not rows:
            return partial(Loss(dtype), **shared, parts=self._parts[-1])
        before = self._before(len(self.W) - 1)
        return partial(
            Head(dtype, rows), **shared, before=before["before"], b_before=before["b"],
            relu=before["relu"], W=self.W[-1], h=self.h[-1], dh=self.dout[-2],
        )  # fmt: skip

    def _back(self, layers: int) -> Iterator[Launch]:
        """Make the gradients by the inputs of so many layers, from the last one on."""
        for i in reversed(range(1, layers)):
            yield partial(
                Back(self._plan.dtype), dout=self.dout[i], W=self.W[i], x=self.h[i - 1],
                relu=self._before(i)["relu"], dx=self.dout[i - 1],
            )  # fmt: skip

    def _before(self, i: int) -> dict[str, Any]:
        """Give what the layer before layer i is made of, for the kernel that adds its parts up."""
        relu = self._stages[i - 1].activation is not None
        return {"before": self._parts[i - 1], "b": self.b[i - 1], "relu": relu}


def _rows_of_head(weights: list[Array], N: int, multiprocessors: int) -> int:
    """Give the rows of a block of `head`; 0 where the last layer does not fit there."""
    if len(weights) < 2:
        return 0
    (M, C), itemsize = weights[-1].shape, weights[-1].dtype.itemsize
    for rows in (4, 2, 1) if 4 * multiprocessors <= N else (2, 1):
        if fits(M, C, rows, itemsize):
            return rows
    return 0
