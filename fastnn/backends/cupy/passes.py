"""The fused step before its update: the forward pass, the loss, the backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.launch import Launch
from fastnn.backends.cupy.normalised import Normalised
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


class Output(NamedTuple):
    """What a layer leaves for the kernel that reads it, which puts it together.

    Attributes
    ----------
    parts : array (splits, N, units)
        Of its product.
    b : array (units,)
        To be added to their sum.
    between : Between
        What that goes through.
    h, kept : array (N, units) or None
        Where the result goes, and what of it the way back reads: see `Passes`.
    """

    parts: Array
    b: Array
    between: Between
    h: Array | None = None
    kept: Array | None = None


class Passes:
    """Makes the kernels of both passes, and the arrays by which they follow each other.

    Attributes
    ----------
    launches : list of Launch
        In order.
    W, b : list of array
        The parameters of each layer.
    h : list of array (N, units)
        What each layer gives; of the last one only if it is normalised.
    kept : list of array (N, units)
        What of it the way back reads: the sums, where an activation needs those; else `h`.
    normalised : list of Normalised or None
        The batch normalisation of each layer.
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
        read = units if stages[-1].normalisation is not None else units[:-1]
        self.h = [backend.empty((N, M), plan.dtype) for M in read]
        self.kept = [
            backend.empty(h.shape, plan.dtype) if _keeps_sums(stage) else h
            for h, stage in zip(self.h, stages, strict=False)
        ]
        self._between = [between(stage, plan) for stage in stages]
        self.normalised = [
            Normalised(backend, plan, stage.normalisation, behind)
            if stage.normalisation is not None
            else None
            for stage, behind in zip(stages, self._between, strict=True)
        ]
        self.dout = [backend.empty((N, M), plan.dtype) for M in units]
        self.losses = backend.empty((N,), plan.dtype)
        self._plan, self._control = plan, control
        weights = plan.arrays["w_data"] if plan.chain.weighted else None
        mean_weight = None if weights is None else backend.empty((), "float64")
        assert isinstance(plan.chain.loss, str)
        self._targets = Targets(plan.chain.loss, plan.arrays["t_data"], weights, mean_weight)
        rows = 0
        if self.normalised[-1] is None:
            rows = _rows_of_head(self.W, N, products.multiprocessors)
        in_head = len(stages) - 1 if rows else len(stages)
        self._slices = [products.slices(N, *W.shape) for W in self.W[:in_head]]
        self._parts = [
            backend.empty((splits, N, M), plan.dtype)
            for (splits, _), M in zip(self._slices, units, strict=False)
        ]
        self._outputs = [self._output(backend, i) for i in range(in_head)]
        self.launches: list[Launch] = [*self._products(), self._loss(rows), *self._back(in_head)]

    @property
    def factors(self) -> list[tuple[Array | None, Array]]:
        """See `LargePasses.factors`: the batch itself is in no array."""
        return list(zip((None, *self.h), self.dout, strict=False))

    @property
    def gradients(self) -> dict[str, Array]:
        """See `LargePasses.gradients`: those by gamma and beta."""
        normalised = [each for each in self.normalised if each is not None]
        return {name: array for each in normalised for name, array in each.gradients.items()}

    def prepare(self, n: int) -> None:
        """See `LargePasses.prepare`: the kernels are compiled as they are made."""

    def _output(self, backend: Backend, i: int) -> Output:
        """Say what layer i leaves.

        If it is normalised that is a product of one part, through which nothing has to go any more:
        what is made of it is a copy, of which the way back needs nothing.
        """
        if self.normalised[i] is None:
            places = (self.h[i], self.kept[i]) if i < len(self.h) else ()
            return Output(self._parts[i], self.b[i], self._between[i], *places)
        copy = backend.empty(self.h[i].shape, self._plan.dtype)
        return Output(self.h[i][None], backend.xp.zeros_like(self.b[i]), Between(), copy, copy)

    def _products(self) -> Iterator[Launch]:
        """Make the products, but for one that `head` does, each with its normalisation."""
        plan, dtype, targets = self._plan, self._plan.dtype, self._targets
        data = plan.arrays["x_data"]
        yield partial(
            GatherProduct(dtype, row_type(dtype, data)), control=self._control, data=data,
            scale=plan.scale, weights=targets.weights, mean_weight=targets.mean_weight,
            W=self.W[0], parts=self._parts[0], depth=self._slices[0][1],
        )  # fmt: skip
        yield from self._normalise(0)
        for i in range(1, len(self._parts)):
            before = self._outputs[i - 1]
            yield partial(
                HiddenProduct(dtype, before.between), before=before.parts, b=before.b, h=before.h,
                kept=before.kept, W=self.W[i], parts=self._parts[i], depth=self._slices[i][1],
            )  # fmt: skip
            yield from self._normalise(i)

    def _normalise(self, i: int) -> Iterator[Launch]:
        normalised = self.normalised[i]
        if normalised is not None:
            yield normalised.forward(
                parts=self._parts[i], b=self.b[i], y=self.h[i], kept=self.kept[i]
            )

    def _loss(self, rows: int) -> Launch:
        """Make the loss: with the last product where a block has some rows of both."""
        shared: dict[str, Any] = {
            "control": self._control, "dout": self.dout[-1], "losses": self.losses,
        }  # fmt: skip
        dtype, last = self._plan.dtype, self._outputs[-1]
        if not rows:
            return partial(Loss(dtype, self._targets), **shared, parts=last.parts, b=last.b)
        return partial(
            Head(dtype, rows, last.between, self._targets), **shared, before=last.parts,
            b_before=last.b, h=last.h, kept=last.kept, W=self.W[-1], b=self.b[-1],
            dh=self.dout[-2],
        )  # fmt: skip

    def _back(self, layers: int) -> Iterator[Launch]:
        """Make the gradients by the sums of so many layers, from the last one on.

        The gradient by what that one gives is there.
        """
        for i in reversed(range(layers)):
            normalised = self.normalised[i]
            if normalised is not None:
                yield normalised.backward(dout=self.dout[i], kept=self.kept[i])
            if i > 0:
                yield partial(
                    Back(self._plan.dtype, self._outputs[i - 1].between), dout=self.dout[i],
                    W=self.W[i], kept=self.kept[i - 1], dx=self.dout[i - 1],
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
