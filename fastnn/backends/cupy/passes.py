"""The fused step before its update: the forward pass, the loss, the backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.products import Products
from fastnn.backends.philox import least_word
from fastnn.backends.plan import StepPlan
from fastnn.backends.stages import Stage
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.head import Head, fits
from fastnn.kernels.cuda.loss import Loss
from fastnn.kernels.cuda.losses import Targets
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
    kept : list of array (N, units)
        What of it the way back reads: the sums, where an activation needs those; else `h`.
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
        self.kept = [
            backend.empty(h.shape, plan.dtype) if _keeps_sums(stage) else h
            for h, stage in zip(self.h, stages, strict=False)
        ]
        self.dout = [backend.empty((N, M), plan.dtype) for M in units]
        self.losses = backend.empty((N,), plan.dtype)
        self._plan, self._control = plan, control
        self._between = [between(stage, plan) for stage in stages[:-1]]
        weights = plan.arrays["w_data"] if plan.chain.weighted else None
        mean_weight = None if weights is None else backend.empty((), "float64")
        assert isinstance(plan.chain.loss, str)
        self._targets = Targets(plan.chain.loss, plan.arrays["t_data"], weights, mean_weight)
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
        plan, dtype, targets = self._plan, self._plan.dtype, self._targets
        data = plan.arrays["x_data"]
        yield partial(
            GatherProduct(dtype, row_type(dtype, data)), control=self._control, data=data,
            scale=plan.scale, weights=targets.weights, mean_weight=targets.mean_weight,
            W=self.W[0], parts=self._parts[0], depth=self._slices[0][1],
        )  # fmt: skip
        for i in range(1, len(self._parts)):
            yield partial(
                HiddenProduct(dtype, self._between[i - 1]), before=self._parts[i - 1],
                b=self.b[i - 1], h=self.h[i - 1], kept=self.kept[i - 1], W=self.W[i],
                parts=self._parts[i], depth=self._slices[i][1],
            )  # fmt: skip

    def _loss(self, rows: int) -> Launch:
        """Make the loss: with the last product where a block has some rows of both."""
        shared: dict[str, Any] = {
            "control": self._control, "b": self.b[-1], "dout": self.dout[-1],
            "losses": self.losses,
        }  # fmt: skip
        dtype = self._plan.dtype
        if not rows:
            return partial(Loss(dtype, self._targets), **shared, parts=self._parts[-1])
        return partial(
            Head(dtype, rows, self._between[-1], self._targets), **shared,
            before=self._parts[-1], b_before=self.b[-2], W=self.W[-1], h=self.h[-1],
            kept=self.kept[-1], dh=self.dout[-2],
        )  # fmt: skip

    def _back(self, layers: int) -> Iterator[Launch]:
        """Make the gradients by the inputs of so many layers, from the last one on."""
        for i in reversed(range(1, layers)):
            yield partial(
                Back(self._plan.dtype, self._between[i - 1]), dout=self.dout[i], W=self.W[i],
                kept=self.kept[i - 1], dx=self.dout[i - 1],
            )  # fmt: skip


def between(stage: Stage, plan: StepPlan) -> Between:
    """Say what the sums of a layer go through, normalised or not."""
    activation, dropout = stage.activation, stage.dropout
    behind = Between()
    if activation is not None:
        behind = Between(activation.name, activation.options.get("slope", 0.0))
    if dropout is None:
        return behind
    (draws,) = dropout.state
    key, bound = dropout.options["key"], least_word(dropout.options["ratio"])
    return behind._replace(draws=plan.arrays[draws], key=key, bound=bound)


def draws_of(stages: Sequence[Stage], plan: StepPlan) -> list[Array]:
    """Give the numbers of draws that a step takes on: of dropout that does not hold its mask."""
    dropouts = [stage.dropout for stage in stages if stage.dropout is not None]
    return [plan.arrays[name] for each in dropouts if not each.held for name in each.state]


def _keeps_sums(stage: Stage) -> bool:
    return stage.activation is not None and stage.activation.keeps == "input"


def _rows_of_head(weights: list[Array], N: int, multiprocessors: int) -> int:
    """Give the rows of a block of `head`; 0 where the last layer does not fit there."""
    if len(weights) < 2:
        return 0
    (M, C), itemsize = weights[-1].shape, weights[-1].dtype.itemsize
    for rows in (4, 2, 1) if 4 * multiprocessors <= N else (2, 1):
        if fits(M, C, rows, itemsize):
            return rows
    return 0
