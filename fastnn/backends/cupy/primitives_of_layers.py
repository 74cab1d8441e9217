"""What layers compute, on a GPU: kernels of ours, and cuBLAS where that is quicker."""

from __future__ import annotations

from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import BATCH_NORM_EPSILON, Backend
from fastnn.backends.cupy import cublas
from fastnn.backends.cupy.products import Products
from fastnn.backends.kernel_or_formula import (
    contiguous,
    fills,
    kernel_for,
    of_one_shape,
    same_floats,
)
from fastnn.backends.philox import least_word
from fastnn.kernels import cuda
from fastnn.kernels.cuda import activations, normalization, primitives
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.dropout import dropout
from fastnn.kernels.cuda.large import BiasGradient
from fastnn.kernels.cuda.product import Finish, MatrixProduct
from fastnn.kernels.cuda.weights import WeightGradients


def is_of_indices(x: Array, dtype: str | None, scale: float) -> bool:
    """Whether rows of x are taken as they are, and are indices, as labels are."""
    return bool(x.dtype == "int64" and dtype in (None, "int64") and scale == 1)


class LayerPrimitives(Backend):
    """Overrides of `Backend`; see there."""

    _cupy: Any
    products: Products

    @kernel_for(
        lambda x, W, b, relu, out: (
            same_floats(x, W, b) and (out is None or fills(out, (x.shape[0], W.shape[1]), x.dtype))
        )
    )
    def affine(
        self, x: Array, W: Array, b: Array, *, relu: bool = False, out: Array | None = None
    ) -> Array:
        """See `Backend.affine`: cuBLAS, or a product of our own where that is as good."""
        cp, dtype = self._cupy, x.dtype.name
        (N, D), M = x.shape, W.shape[1]
        x, W, b = (cp.ascontiguousarray(array) for array in (x, W, b))
        result = cp.empty((N, M), dtype) if out is None else out
        splits, depth, parts = 1, D, result
        if not self.products.by_ours(N, D, M, dtype):
            self._product(x, W, result)
        else:
            splits, depth = self.products.slices(N, D, M)
            parts = result if splits == 1 else cp.empty((splits, N, M), dtype)
            MatrixProduct(dtype)(x=x, W=W, parts=parts, splits=splits, depth=depth)
        Finish(dtype, relu=relu)(parts=parts, splits=splits, b=b, out=result)
        return result

    @kernel_for(
        lambda dout, x, W, relu, input_gradient, out: (
            same_floats(dout, x, W)
            and (
                out is None
                or (
                    fills(out[0], x.shape, x.dtype)
                    and fills(out[1], W.shape, x.dtype)
                    and fills(out[2], W.shape[1:], x.dtype)
                )
            )
        )
    )
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
        """See `Backend.affine_backward`: two products of cuBLAS, or two kernels of our own."""
        cp, dtype = self._cupy, x.dtype.name
        (N, D), M = x.shape, W.shape[1]
        dout, x, W = (cp.ascontiguousarray(array) for array in (dout, x, W))
        shapes = (x.shape, W.shape, (M,))
        dx, dW, db = (
            cp.empty(shape, dtype) if given is None else given
            for shape, given in zip(shapes, out or (None, None, None), strict=True)
        )
        if self.products.by_ours(N, D, M, dtype):
            if input_gradient:
                before = Between("relu" if relu else None)
                Back(dtype, before)(dout=dout, W=W, kept=x, dx=dx, N=N)
            WeightGradients(dtype)(x=x, dout=dout, dW=dW, db=db)
        else:
            if input_gradient:
                self._product(dout, W, dx, transpose_b=True)
                if relu:
                    activations.activate_backward("relu", dout=dx, kept=x, out=dx)
            self._product(x, dout, dW, transpose_a=True)
            BiasGradient(dtype)(h=None, dout=dout, db=db, N=N)
        return (dx if input_gradient else None), dW, db

    def _product(
        self,
        a: Array,
        b: Array,
        out: Array,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> None:
        """``out = a @ b`` by cuBLAS; through CuPy where it cannot be called directly."""
        if cublas.problem():
            self._cupy.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)
        else:
            cublas.product(
                a, b, out, transpose_a=transpose_a, transpose_b=transpose_b,
                precision=self.precision,
            )  # fmt: skip

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def sigmoid(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.activate("sigmoid", x=self._cupy.ascontiguousarray(x), out=out)
        return out

    @kernel_for(lambda dout, y, out: same_floats(dout, y) and fills(out, y.shape, y.dtype))
    def sigmoid_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid_backward`."""
        cp = self._cupy
        out = cp.empty(y.shape, y.dtype) if out is None else out
        dout, y = cp.ascontiguousarray(dout), cp.ascontiguousarray(y)
        activations.activate_backward("sigmoid", dout=dout, kept=y, out=out)
        return out

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def tanh(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.activate("tanh", x=self._cupy.ascontiguousarray(x), out=out)
        return out

    @kernel_for(lambda dout, y, out: same_floats(dout, y) and fills(out, y.shape, y.dtype))
    def tanh_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh_backward`."""
        cp = self._cupy
        out = cp.empty(y.shape, y.dtype) if out is None else out
        dout, y = cp.ascontiguousarray(dout), cp.ascontiguousarray(y)
        activations.activate_backward("tanh", dout=dout, kept=y, out=out)
        return out

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def gelu(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.activate("gelu", x=self._cupy.ascontiguousarray(x), out=out)
        return out

    @kernel_for(lambda dout, x, out: same_floats(dout, x) and fills(out, x.shape, x.dtype))
    def gelu_backward(self, dout: Array, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu_backward`."""
        cp = self._cupy
        out = cp.empty(x.shape, x.dtype) if out is None else out
        dout, x = cp.ascontiguousarray(dout), cp.ascontiguousarray(x)
        activations.activate_backward("gelu", dout=dout, kept=x, out=out)
        return out

    @kernel_for(lambda x, slope, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def leaky_relu(self, x: Array, *, slope: float, out: Array | None = None) -> Array:
        """See `Backend.leaky_relu`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.activate("leaky_relu", x=self._cupy.ascontiguousarray(x), slope=slope, out=out)
        return out

    @kernel_for(
        lambda dout, y, slope, out: same_floats(dout, y) and fills(out, dout.shape, dout.dtype)
    )
    def leaky_relu_backward(
        self, dout: Array, y: Array, *, slope: float, out: Array | None = None
    ) -> Array:
        """See `Backend.leaky_relu_backward`."""
        cp = self._cupy
        out = cp.empty(dout.shape, dout.dtype) if out is None else out
        dout, y = cp.ascontiguousarray(dout), cp.ascontiguousarray(y)
        activations.activate_backward("leaky_relu", dout=dout, kept=y, slope=slope, out=out)
        return out

    @kernel_for(
        lambda x, step, ratio, key, out: (
            same_floats(x)
            and (
                out is None or (fills(out[0], x.shape, x.dtype) and fills(out[1], x.shape, "bool"))
            )
        )
    )
    def dropout(
        self,
        x: Array,
        step: int | Array,
        *,
        ratio: float,
        key: int,
        out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:
        """See `Backend.dropout`. `step` may be an array (), which the device reads."""
        cp = self._cupy
        y, mask = out or (cp.empty(x.shape, x.dtype), cp.empty(x.shape, "bool"))
        bound = least_word(ratio)
        dropout(x=cp.ascontiguousarray(x), step=step, key=key, bound=bound, y=y, mask=mask)
        return y, mask

    def dropout_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """See `Backend.dropout_backward`; in one kernel of CuPy's."""
        return self._cupy.multiply(dout, mask, out=out)

    @kernel_for(
        lambda x, gamma, beta, out: (
            same_floats(x, gamma, beta)
            and of_one_shape(gamma, beta)
            and (out is None or (same_floats(x, *out) and contiguous(*out)))
        )
    )
    def batch_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        *,
        out: tuple[Array, Array, Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array, Array, Array]:
        """See `Backend.batch_norm`."""
        cp = self._cupy
        y, xn, std, mean, var = out or [
            cp.empty(shape, x.dtype) for shape in (x.shape, x.shape, *[gamma.shape] * 3)
        ]
        x, gamma, beta = (cp.ascontiguousarray(array) for array in (x, gamma, beta))
        normalization.batch_norm(
            x=x, gamma=gamma, beta=beta, epsilon=BATCH_NORM_EPSILON,
            y=y, xn=xn, std=std, mean=mean, var=var,
        )  # fmt: skip
        return y, xn, std, mean, var

    @kernel_for(
        lambda dout, gamma, xn, std, out: (
            same_floats(dout, gamma, xn, std)
            and (out is None or (same_floats(dout, *out) and contiguous(*out)))
        )
    )
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
        cp = self._cupy
        dx, dgamma, dbeta = out or [
            cp.empty(shape, dout.dtype) for shape in (dout.shape, gamma.shape, gamma.shape)
        ]
        dout, gamma, xn, std = (cp.ascontiguousarray(array) for array in (dout, gamma, xn, std))
        normalization.batch_norm_backward(
            dout=dout, gamma=gamma, xn=xn, std=std, dx=dx, dgamma=dgamma, dbeta=dbeta
        )
        return dx, dgamma, dbeta

    @kernel_for(
        lambda x, gamma, beta, mean, var, out: (
            same_floats(x, gamma, beta, mean, var)
            and of_one_shape(gamma, beta, mean, var)
            and fills(out, x.shape, x.dtype)
        )
    )
    def batch_norm_evaluation(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        mean: Array,
        var: Array,
        *,
        out: Array | None = None,
    ) -> Array:
        """See `Backend.batch_norm_evaluation`."""
        cp = self._cupy
        y = cp.empty(x.shape, x.dtype) if out is None else out
        x, gamma, beta, mean, var = map(cp.ascontiguousarray, (x, gamma, beta, mean, var))
        normalization.batch_norm_evaluation(
            x=x, gamma=gamma, beta=beta, mean=mean, var=var, epsilon=BATCH_NORM_EPSILON, y=y
        )
        return y

    @kernel_for(
        lambda average, value, momentum: (
            same_floats(average, value) and of_one_shape(average, value) and contiguous(average)
        )
    )
    def moving_average(self, average: Array, value: Array, *, momentum: float) -> Array:
        """See `Backend.moving_average`."""
        value = self._cupy.ascontiguousarray(value)
        normalization.moving_average(average=average, value=value, momentum=momentum)
        return average

    @kernel_for(
        lambda x, rows, dtype, scale, out: (
            ((dtype or x.dtype.name) in ("float32", "float64") or is_of_indices(x, dtype, scale))
            and x.dtype.name in cuda.C_TYPES
            and contiguous(x)
            and fills(out, (len(rows), *x.shape[1:]), dtype or x.dtype)
        )
    )
    def take_rows(
        self,
        x: Array,
        rows: Array,
        *,
        dtype: str | None = None,
        scale: float = 1.0,
        out: Array | None = None,
    ) -> Array:
        """See `Backend.take_rows`; with cast and scale, each of which would be a second pass."""
        cp = self._cupy
        batch = cp.empty((len(rows), *x.shape[1:]), dtype or x.dtype) if out is None else out
        rows = cp.ascontiguousarray(rows)
        primitives.take_rows(x=x, rows=rows, scale=scale, out=batch)
        return batch
