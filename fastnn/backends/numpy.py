"""NumPy: the specification on the host, its results written where the step plan wants them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array, views_share_memory
from fastnn.backends.base import BATCH_NORM_EPSILON, CLIP_EPSILON, Backend, BackendInfo
from fastnn.backends.feed import Feed
from fastnn.backends.kernel_or_formula import FLOATS
from fastnn.backends.mapped import MappedFeed
from fastnn.backends.processor import matrix_product_threads, physical_memory, processor_name
from fastnn.checks import is_masked
from fastnn.chunks import chunks
from fastnn.threads import limit_blas_to_cores

ENTRIES_IN_TURN = 8192
"""Entries for which a formula of many steps is worked out before the next ones."""

ROWS_IN_TURN = 512
"""Rows that are added up before their sum is added to that of the others."""

SQUARES_IN_TURN = 8192
"""Numbers whose squares are added up before their sum is added to the others', in float64.

No BLAS shares so few out to threads, so the bits do not depend on the number of these."""


class NumpyBackend(Backend):
    """The reference backend, and the one that is always there."""

    name = "numpy"
    xp: Any = np
    on_host = True

    def __init__(self) -> None:
        limit_blas_to_cores()

    def info(self) -> BackendInfo:
        """See `Backend.info`."""
        return BackendInfo(
            self.name,
            usable=True,
            version=self.library_version(),
            device=processor_name(),
            memory=physical_memory(),
            threads=matrix_product_threads(),
        )

    def library_version(self) -> str:
        """Version of the library underneath."""
        return np.__version__

    def feed(
        self,
        x: np.ndarray[Any, Any],
        t: np.ndarray[Any, Any],
        dtype: str,
        batch_size: int,
        w: np.ndarray[Any, Any] | None = None,
    ) -> Feed:
        """See `Backend.feed`: of a data set that stays in its file."""
        return MappedFeed(x, t, dtype, batch_size, w)

    def owns(self, array: object) -> bool:
        """See `Backend.owns`."""
        if type(array) is np.ndarray:
            return True
        return isinstance(array, np.ndarray | np.generic) and not is_masked(array)

    def asarray(self, array: object, dtype: str | None = None) -> Array:
        """See `Backend.asarray`."""
        host = host_array(array)
        return host.astype(dtype or host.dtype.newbyteorder("="), order="C", copy=False)

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """See `Backend.to_numpy`."""
        return np.asarray(array)

    def astype(self, array: Array, dtype: str) -> Array:
        """See `Backend.astype`."""
        return array.astype(dtype, copy=False, subok=False)

    def copy(self, array: Array) -> Array:
        """See `Backend.copy`; in C order, whatever the layout of `array`."""
        return np.array(array, order="C")

    def share_memory(self, one: Array, other: Array) -> bool:
        """See `Backend.share_memory`."""
        return views_share_memory(one, other)

    def affine(
        self, x: Array, W: Array, b: Array, *, relu: bool = False, out: Array | None = None
    ) -> Array:
        """See `Backend.affine`."""
        result = np.matmul(x, W, out=out)
        if out is None and result.dtype != b.dtype:
            result = result + b
        else:
            result += b
        return self.relu(result, out=result) if relu else result

    def affine_backward(
        self,
        dout: Array,
        x: Array,
        W: Array,
        *,
        relu: bool = False,
        input_gradient: bool = True,
        out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:
        """See `Backend.affine_backward`."""
        into_dx, into_dW, into_db = (None, None, None) if out is None else out
        dx = None
        if input_gradient:
            dx = np.matmul(dout, W.T, out=into_dx)
            if relu:
                zero_where(x <= 0, dx, dx)
        dW = np.matmul(x.T, dout, out=into_dW)
        db = sum_of_rows(dout, into_db)
        return dx, dW, db

    def relu(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.relu`."""
        return np.maximum(x, 0, out=out)

    def relu_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """See `Backend.relu_backward`."""
        out = np.empty(dout.shape, dout.dtype) if out is None else out
        zero_where(mask, dout, out)
        return out

    def sigmoid(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid`; in place."""
        positive = np.greater(x, 0)
        with np.errstate(under="ignore"):
            e = np.abs(x, out=out)
            e = np.exp(np.negative(e, out=out), out=out)
            below = e + 1
            return np.divide(np.maximum(e, positive, out=out), below, out=out)

    def sigmoid_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid_backward`."""
        with np.errstate(under="ignore"):
            slope = 1 - y
            slope *= y
            return np.multiply(dout, slope, out=out)

    def tanh(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh`."""
        return np.tanh(x, out=out)

    def tanh_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh_backward`."""
        with np.errstate(under="ignore"):
            slope = 1 - y
            slope *= 1 + y
            return np.multiply(dout, slope, out=out)

    def leaky_relu(self, x: Array, *, slope: float, out: Array | None = None) -> Array:
        """See `Backend.leaky_relu`; of the two the larger one, where the slope is at most 1."""
        if not 0 < slope <= 1:
            return super().leaky_relu(x, slope=slope, out=out)
        with np.errstate(under="ignore"):
            return np.maximum(x, x * slope, out=out)

    def leaky_relu_backward(
        self, dout: Array, y: Array, *, slope: float, out: Array | None = None
    ) -> Array:
        """See `Backend.leaky_relu_backward`; by a table, as np.where branches at each entry."""
        factors = np.array([1, slope], dout.dtype).take((y <= 0).view(np.int8))
        with np.errstate(under="ignore"):
            return np.multiply(dout, factors, out=out)

    def gelu(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu`; its many steps some entries at a time, which stay in the cache."""
        flat, result = x.reshape(-1), np.empty(x.size, x.dtype)
        for some in chunks(x.size, ENTRIES_IN_TURN):
            super().gelu(flat[some], out=result[some])
        return _shaped(result, x.shape, out)

    def gelu_backward(self, dout: Array, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu_backward`; as `gelu`."""
        before, flat = dout.reshape(-1), x.reshape(-1)
        result = np.empty(x.size, np.result_type(dout, x))
        for some in chunks(x.size, ENTRIES_IN_TURN):
            super().gelu_backward(before[some], flat[some], out=result[some])
        return _shaped(result, x.shape, out)

    def dropout_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """See `Backend.dropout_backward`; in one pass."""
        return np.multiply(dout, mask, out=out)

    def batch_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        *,
        out: tuple[Array, Array, Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array, Array, Array]:
        """See `Backend.batch_norm`."""
        N, D = x.shape
        y, xn, *of_units = (
            [np.empty(shape, x.dtype) for shape in ((N, D), (N, D), (D,), (D,), (D,))]
            if out is None
            else out
        )
        std, mean, var = of_units
        np.divide(sum_of_rows(x, None), N, out=mean)
        np.subtract(x, mean, out=xn)
        rest = sum_of_rows(xn, None) / N
        mean += rest
        xn -= rest
        np.multiply(xn, xn, out=y)
        np.divide(sum_of_rows(y, None), N, out=var)
        np.sqrt(var + BATCH_NORM_EPSILON, out=std)
        xn /= std
        np.multiply(gamma, xn, out=y)
        y += beta
        return y, xn, std, mean, var

    def batch_norm_backward(
        self,
        dout: Array,
        gamma: Array,
        xn: Array,
        std: Array,
        *,
        out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:
        """See `Backend.batch_norm_backward`."""
        N, (into_dx, into_dgamma, into_dbeta) = len(dout), out or (None, None, None)
        dx = np.multiply(dout, xn, out=into_dx)
        dgamma, dbeta = sum_of_rows(dx, into_dgamma), sum_of_rows(dout, into_dbeta)
        np.multiply(xn, dgamma / -N, out=dx)
        dx += dout
        dx -= dbeta / N
        dx *= gamma / std
        return dx, dgamma, dbeta

    def mean(self, losses: Array, *, out: Array | None = None) -> Array:
        """See `Backend.mean`."""
        return np.add.reduce(losses / losses.shape[0], out=out)

    def label_indices(self, t: Array, classes: int) -> Array | None:
        """See `Backend.label_indices`."""
        if t.ndim == 1:
            if t.dtype.kind not in "iu":
                return super().label_indices(t, classes)
            indices = t.astype("int64", subok=False)  # beyond int64 it becomes negative
            inside = indices.min(initial=0) >= 0 and indices.max(initial=0) < classes
            return indices if inside else None
        t = np.asarray(t)  # argmax of a np.matrix is a matrix
        # As many entries that are not zero as rows, and a 1 in each row.
        indices = t.argmax(axis=1)
        ones = t[np.arange(len(t)), indices] == 1
        return indices if ones.all() and np.count_nonzero(t) == len(t) else None

    def take_rows(
        self,
        x: Array,
        rows: Array,
        *,
        dtype: str | None = None,
        scale: float = 1.0,
        out: Array | None = None,
    ) -> Array:
        """See `Backend.take_rows`."""
        if out is None or out.dtype != x.dtype:
            return super().take_rows(x, rows, dtype=dtype, scale=scale, out=out)
        # mode="raise" would gather into a temporary first, lest an error leave `out` half done.
        batch = x.take(rows, axis=0, out=out, mode="clip")
        return batch if scale == 1 else np.multiply(batch, scale, out=out)

    def clip_factor(self, *gradients: Array, clip_norm: float, out: Array | None = None) -> Array:
        """See `Backend.clip_factor`; the squares are summed by BLAS, and sections in float64."""
        arrays = [self.asarray(g) for g in gradients]
        if all(g.dtype in FLOATS and g.flags.c_contiguous for g in arrays):
            square = sum(map(sum_of_squares, arrays))
            if math.isfinite(square):
                factor = min(1.0, clip_norm / (math.sqrt(square) + CLIP_EPSILON))
                result = np.empty((), arrays[0].dtype) if out is None else out
                result[...] = factor
                return result
        return super().clip_factor(*gradients, clip_norm=clip_norm, out=out)

    def penalised(
        self,
        loss: Array,
        *weights: Array,
        weight_decay: float,
        times: float = 1,
        out: Array | None = None,
    ) -> Array:
        """See `Backend.penalised`; the squares are summed as in `clip_factor`."""
        if all(W.dtype in FLOATS and W.flags.c_contiguous for W in weights):
            square = sum(map(sum_of_squares, weights))
            if math.isfinite(square):  # in float64, where float32 may overflow
                return np.add(loss, times * weight_decay / 2 * square, out=out)
        numbers = {"weight_decay": weight_decay, "times": times}
        return super().penalised(loss, *weights, **numbers, out=out)

    def scaled_gradient(self, dW: Array, factor: Array, *, out: Array | None = None) -> Array:
        """See `Backend.scaled_gradient`; in one pass."""
        dW = self.asarray(dW)
        return np.multiply(dW, factor.astype(dW.dtype), out=out)

    def decayed_gradient(
        self, dW: Array, W: Array, *, weight_decay: float, out: Array | None = None
    ) -> Array:
        """See `Backend.decayed_gradient`."""
        result = np.multiply(W, weight_decay, out=out)
        return np.add(result, dW, out=out)

    def softmax_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.softmax_cross_entropy`; ``s`` and ``e`` of the formula stand in ``y``."""
        losses, y = (np.empty(len(x), x.dtype), np.empty_like(x)) if out is None else out
        # A reduction along short rows enters a loop for each: twice the time of one over segments.
        starts = np.arange(0, x.size, x.shape[1])
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            largest = np.maximum.reduceat(x.reshape(-1), starts)
            np.subtract(x, largest[:, None], out=y)
        s_of_label = y.take(starts + t.astype(np.intp, copy=False))
        np.exp(y, out=y)
        total = np.add.reduceat(y.reshape(-1), starts)
        np.log(total, out=losses)
        losses -= s_of_label
        np.minimum(losses, np.finfo(losses.dtype).max / 2, out=losses)
        y /= total[:, None]
        return losses, y

    def softmax_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.softmax_cross_entropy_backward`."""
        dout = np.empty_like(y) if out is None else out
        np.copyto(dout, y)
        of_label = np.arange(0, y.size, y.shape[1]) + t.astype(np.intp, copy=False)
        dout.put(of_label, dout.take(of_label) - 1)
        dout /= len(t)
        return dout

    def sigmoid_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.sigmoid_cross_entropy`; ``e`` of the formula stands in ``y``."""
        losses, y = (None, np.empty_like(x)) if out is None else out
        positive = x > 0
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            size = np.abs(x)
            np.exp(np.negative(size, out=y), out=y)
            size = size * np.abs(t - positive)  # |x| (1 - t) or |x| t
            size += np.log1p(y)
            losses = np.add.reduce(size, axis=1, out=losses)
        np.minimum(losses, np.finfo(losses.dtype).max / 2, out=losses)
        np.divide(np.where(positive, 1, y), 1 + y, out=y)
        return losses, y

    def sigmoid_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.sigmoid_cross_entropy_backward`."""
        dx = np.subtract(y, t, out=out)
        dx /= len(t)
        return dx

    def squared_error(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error`."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            difference = x - t
            losses = np.einsum("nc,nc->n", difference, difference, out=out)
        losses /= 2
        return np.minimum(losses, np.finfo(losses.dtype).max / 2, out=losses)

    def squared_error_backward(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error_backward`."""
        with np.errstate(over="ignore", invalid="ignore"):
            dx = np.subtract(x, t, out=out)
        dx /= len(t)
        return dx


def _shaped(result: Array, shape: tuple[int, ...], out: Array | None) -> Array:
    """Give a result in its shape, or in `out`."""
    if out is None:
        return result.reshape(shape)
    out[...] = result.reshape(shape)
    return out


def sum_of_squares(x: Array) -> float:
    """``sum(x**2)``, by BLAS, and over sections in float64; x contiguous, of floats, any shape."""
    flat, total = x.reshape(-1), 0.0
    with np.errstate(over="ignore"):
        for first in range(0, flat.size, SQUARES_IN_TURN):
            section = flat[first : first + SQUARES_IN_TURN]
            total += float(np.dot(section, section))
    return total


def zero_where(mask: Array, x: Array, out: Array) -> None:
    """``out = where(mask, 0, x)``, through the bits of the numbers: all of them kept, or none.

    To copy by a mask NumPy takes a branch for each entry, and on real data guesses every other one
    wrongly: 28 us for 100 x 50 entries, where this takes 5.
    """
    if x.dtype != out.dtype or x.itemsize > np.dtype(np.int64).itemsize:
        out[...] = np.where(mask, x.dtype.type(0), x)
        return
    integer = np.dtype(f"i{x.itemsize}")
    keep = np.asarray(mask, bool).view(np.int8) - np.int8(1)
    np.bitwise_and(x.view(integer), keep, out=out.view(integer))


def sum_of_rows(dout: Array, out: Array | None) -> Array:
    """``sum(dout, axis=0)``, the gradient by the bias. dout (N, M) -> (M,)."""
    # A product takes half the time of np.sum, and adds up all rows in turn as that does: the
    # last ones of many would be rounded as coarsely as the whole.
    samples, outputs = dout.shape
    ones = np.ones(min(samples, ROWS_IN_TURN), dout.dtype)
    if samples <= ROWS_IN_TURN:
        return np.matmul(ones, dout, out=out)
    whole = samples // ROWS_IN_TURN * ROWS_IN_TURN
    sections = np.matmul(ones, dout[:whole].reshape(-1, ROWS_IN_TURN, outputs))
    db = np.add.reduce(sections, axis=0, out=out)
    db += np.matmul(ones[: samples - whole], dout[whole:])
    return db
