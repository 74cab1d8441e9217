"""The passes of a step whose products go to cuBLAS, with as few kernels beside them as there are.

With L layers, 3 L - 1 products and 2 L + 1 kernels of `fastnn.kernels.cuda`:

1. ``gather``: the batch from the data set.
2. For each layer its product, and but for the last ``finish``: bias and ReLU.
3. ``loss``: bias, softmax, loss, and back to the scores.
4. For each layer, from the last one on, ``bias_gradient``, with the way back through its ReLU; the
   product that is its weight gradient; and the product that is the gradient by its input.

Gradients stay in memory, where the update finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy import cublas
from fastnn.backends.cupy.launch import Launch
from fastnn.backends.plan import StepPlan
from fastnn.backends.stages import Stage
from fastnn.kernels.cuda.large import BiasGradient, Gather
from fastnn.kernels.cuda.loss import Loss
from fastnn.kernels.cuda.losses import Targets
from fastnn.kernels.cuda.product import Finish


class LargePasses:
    """Makes the products and kernels of both passes, and the arrays that they write.

    Attributes
    ----------
    launches : list of Launch
        In order.
    x : list of array (N, features)
        What each layer is given, the batch first.
    dout : list of array (N, units)
        Of each layer the gradient by its sums.
    factors : list of tuple
        x and dout of each layer whose gradients are left to the update: of none.
    gradients : dict
        Those that are in memory, by the names of parameters: all.
    losses : array (N,)
        Of the samples.
    """

    def __init__(
        self, backend: Backend, plan: StepPlan, stages: Sequence[Stage], control: Array
    ) -> None:
        names = [stage.affine.parameters for stage in stages]
        self._plan, self._stages, self._control = plan, stages, control
        self._W, self._b = ([plan.arrays[pair[i]] for pair in names] for i in (0, 1))
        self._precision = backend.precision
        self.factors: list[tuple[Array | None, Array]] = []
        self.gradients = {
            name: backend.empty(plan.arrays[name].shape, plan.dtype)
            for pair in names
            for name in pair
        }
        self._dW, self._db = ([self.gradients[pair[i]] for pair in names] for i in (0, 1))
        N = plan.batch_size
        self.x = [backend.empty((N, W.shape[0]), plan.dtype) for W in self._W]
        self.dout = [backend.empty((N, W.shape[1]), plan.dtype) for W in self._W]
        self._scores = backend.empty((1, *self.dout[-1].shape), plan.dtype)
        self.losses = backend.empty((N,), plan.dtype)
        self._products: list[Launch] = []
        self.launches: list[Launch] = [*self._forward(), *self._backward()]

    def prepare(self, n: int) -> None:
        """Let cuBLAS load the kernels for n samples; what they write the next step writes anew."""
        for product in self._products:
            product(N=n)

    def _forward(self) -> Iterator[Launch]:
        plan, dtype = self._plan, self._plan.dtype
        data = plan.arrays["x_data"]
        yield partial(
            Gather(dtype, data.dtype.name), control=self._control, data=data, scale=plan.scale,
            x=self.x[0],
        )  # fmt: skip
        outs = [*self.x[1:], self._scores[0]]
        for i, (stage, out) in enumerate(zip(self._stages, outs, strict=True)):
            yield self._product(self.x[i], self._W[i], out, whole=(1,))
            if i < len(outs) - 1:
                finish = Finish(dtype, relu=stage.activation is not None)
                yield partial(_finish, finish, b=self._b[i], out=out)
        targets = Targets("softmax_cross_entropy", plan.arrays["t_data"])
        yield partial(
            Loss(dtype, targets), control=self._control, parts=self._scores, b=self._b[-1],
            dout=self.dout[-1], losses=self.losses,
        )  # fmt: skip

    def _backward(self) -> Iterator[Launch]:
        dtype = self._plan.dtype
        for i in reversed(range(len(self._stages))):
            through_relu = i < len(self._stages) - 1 and self._stages[i].activation is not None
            yield partial(
                BiasGradient(dtype), h=self.x[i + 1] if through_relu else None, dout=self.dout[i],
                db=self._db[i],
            )  # fmt: skip
            yield self._product(self.x[i], self.dout[i], self._dW[i], transpose_a=True, whole=(2,))
            if i:
                yield self._product(
                    self.dout[i], self._W[i], self.dout[i - 1], transpose_b=True, whole=(1,)
                )

    def _product(self, *operands: Array, whole: tuple[int, ...], **transposed: bool) -> Launch:
        """Bind a product of a, b, out: of all but those that are `whole` the leading rows."""
        product = partial(_of_leading_rows, operands, whole, self._precision, **transposed)
        self._products.append(product)
        return product


def _of_leading_rows(
    operands: Sequence[Array], whole: Sequence[int], precision: str, *, N: int, **transposed: bool
) -> None:
    a, b, out = (array if place in whole else array[:N] for place, array in enumerate(operands))
    cublas.product(a, b, out, precision=precision, **transposed)


def _finish(finish: Finish, *, b: Array, out: Array, N: int) -> None:
    finish(parts=out[:N], splits=1, b=b, out=out[:N])
