"""The losses on a GPU, one kernel each."""

from __future__ import annotations

from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.kernel_or_formula import fills, kernel_for, same_floats
from fastnn.kernels.cuda import primitives


def fills_both(x: Array, out: tuple[Array, Array] | None) -> bool:
    """Whether kernels can write to `out`: a number for each sample of x, and what is as x is."""
    return out is None or (fills(out[0], x.shape[:1], x.dtype) and fills(out[1], x.shape, x.dtype))


class LossPrimitives(Backend):
    """Overrides of `Backend`; see there."""

    _cupy: Any

    @kernel_for(lambda x, t, out: same_floats(x) and fills_both(x, out))
    def softmax_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.softmax_cross_entropy`."""
        cp, dtype = self._cupy, x.dtype.name
        N, C = x.shape
        losses, y = out or (cp.empty((N,), dtype), cp.empty((N, C), dtype))
        x, t = cp.ascontiguousarray(x), cp.ascontiguousarray(t)
        primitives.softmax_cross_entropy(x=x, t=t, losses=losses, y=y)
        return losses, y

    @kernel_for(lambda y, t, out: same_floats(y) and fills(out, y.shape, y.dtype))
    def softmax_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.softmax_cross_entropy_backward`."""
        cp, dtype = self._cupy, y.dtype.name
        N, C = y.shape
        dx = cp.empty((N, C), dtype) if out is None else out
        y, t = cp.ascontiguousarray(y), cp.ascontiguousarray(t)
        primitives.softmax_cross_entropy_backward(y=y, t=t, dx=dx)
        return dx

    @kernel_for(lambda x, t, out: same_floats(x, t) and fills_both(x, out))
    def sigmoid_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.sigmoid_cross_entropy`."""
        return self._losses_and_answers("sigmoid_cross_entropy", x, t, out)

    @kernel_for(lambda y, t, out: same_floats(y, t) and fills(out, y.shape, y.dtype))
    def sigmoid_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.sigmoid_cross_entropy_backward`."""
        return self._difference_over_samples(y, t, out)

    @kernel_for(lambda x, t, out: same_floats(x, t) and fills(out, x.shape[:1], x.dtype))
    def squared_error(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error`."""
        cp = self._cupy
        losses = cp.empty(x.shape[:1], x.dtype.name) if out is None else out
        x, t = cp.ascontiguousarray(x), cp.ascontiguousarray(t)
        primitives.loss_of_outputs("squared_error", x=x, t=t, losses=losses)
        return losses

    @kernel_for(lambda x, t, out: same_floats(x, t) and fills(out, x.shape, x.dtype))
    def squared_error_backward(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error_backward`."""
        return self._difference_over_samples(x, t, out)

    @kernel_for(lambda x, t, out: same_floats(x, t) and fills_both(x, out))
    def poisson_deviance(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.poisson_deviance`."""
        return self._losses_and_answers("poisson_deviance", x, t, out)

    @kernel_for(lambda y, t, out: same_floats(y, t) and fills(out, y.shape, y.dtype))
    def poisson_deviance_backward(self, y: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.poisson_deviance_backward`."""
        return self._difference_over_samples(y, t, out)

    def _losses_and_answers(
        self, primitive: str, x: Array, t: Array, out: tuple[Array, Array] | None
    ) -> tuple[Array, Array]:
        cp, dtype = self._cupy, x.dtype.name
        losses, y = out or (cp.empty(x.shape[:1], dtype), cp.empty(x.shape, dtype))
        x, t = cp.ascontiguousarray(x), cp.ascontiguousarray(t)
        primitives.loss_of_outputs(primitive, x=x, t=t, losses=losses, y=y)
        return losses, y

    def _difference_over_samples(self, y: Array, t: Array, out: Array | None) -> Array:
        cp = self._cupy
        dx = cp.empty(y.shape, y.dtype.name) if out is None else out
        y, t = cp.ascontiguousarray(y), cp.ascontiguousarray(t)
        primitives.difference_over_samples(y=y, t=t, dx=dx)
        return dx

    @kernel_for(lambda losses, out: same_floats(losses) and fills(out, (), losses.dtype))
    def mean(self, losses: Array, *, out: Array | None = None) -> Array:
        """See `Backend.mean`."""
        cp = self._cupy
        out = cp.empty((), losses.dtype) if out is None else out
        primitives.mean(losses=cp.ascontiguousarray(losses), mean=out)
        return out

    @kernel_for(lambda scores, t: same_floats(scores))
    def count_correct(self, scores: Array, t: Array) -> Array:
        """See `Backend.count_correct`."""
        cp = self._cupy
        correct = cp.zeros((), "int64")
        scores, t = cp.ascontiguousarray(scores), cp.ascontiguousarray(t)
        primitives.count_correct(scores=scores, t=t, correct=correct)
        return correct
