"""CuPy: the specification on an NVIDIA GPU.

Nothing here copies between host and device but `asarray` and `to_numpy`. Primitives that CuPy
would make of several kernels are one of `fastnn.kernels.cuda`; training compiles to a few kernels
a step, many steps in one CUDA graph: `fastnn.backends.cupy.runner`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array, views_share_memory
from fastnn.backends.base import (
    BATCH_NORM_EPSILON,
    CLIP_EPSILON,
    EPSILON,
    Backend,
    BackendInfo,
)
from fastnn.backends.cupy.detection import problem_with_cupy, problem_with_device
from fastnn.backends.cupy.interop import device_array
from fastnn.backends.cupy.memory import explained, free_bytes
from fastnn.backends.cupy.products import Products
from fastnn.backends.cupy.runner import CupyRunner, course
from fastnn.backends.cupy.streaming import PinnedFeed
from fastnn.backends.feed import Feed
from fastnn.backends.kernel_or_formula import (
    contiguous,
    fills,
    kernel_for,
    same_floats,
    same_floats_as_gradient,
)
from fastnn.backends.known_parts import Course
from fastnn.backends.philox import least_word
from fastnn.backends.plan import Chain, StepPlan
from fastnn.kernels import cuda
from fastnn.kernels.cuda import activations, clipping, normalization, primitives, rules
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.dropout import dropout
from fastnn.kernels.cuda.product import Finish, MatrixProduct
from fastnn.kernels.cuda.weights import WeightGradients


class CupyBackend(Backend):
    """Arrays on one CUDA device.

    Parameters
    ----------
    device : int, optional
        Its index; by default that of the device that is current now.
    """

    name = "cupy"
    steps_at_once = 32

    def __init__(self, device: int | None = None) -> None:
        import array_api_compat.cupy
        import cupy

        self.xp = array_api_compat.cupy
        self._cupy = cupy
        self.device = cupy.cuda.Device(device)
        self.products = Products(self.device)

    @classmethod
    def unavailable_reason(cls) -> str | None:
        """See `Backend.unavailable_reason`."""
        return problem_with_cupy()

    @classmethod
    def device_problem(cls, device: int) -> str | None:
        """See `Backend.device_problem`."""
        return problem_with_device(device)

    def info(self) -> BackendInfo:
        """See `Backend.info`."""
        properties = self._cupy.cuda.runtime.getDeviceProperties(self.device.id)
        return BackendInfo(
            self.name,
            usable=True,
            version=self._cupy.__version__,
            device=properties["name"].decode(),
            memory=int(properties["totalGlobalMem"]),
        )

    def __repr__(self) -> str:
        return f"<fastnn backend cupy on device {self.device.id}>"

    def current(self) -> AbstractContextManager[Any]:
        """See `Backend.current`."""
        # A new one each time: a cupy.cuda.Device remembers one device to go back to.
        return self._cupy.cuda.Device(self.device.id)  # type: ignore[no-any-return]

    def use(self) -> None:
        """See `Backend.use`."""
        self._cupy.cuda.Device(self.device.id).use()

    # Movement of arrays

    def owns(self, array: object) -> bool:
        """See `Backend.owns`."""
        return isinstance(array, self._cupy.ndarray) and array.device == self.device

    def adopt(self, array: object) -> Array | None:
        """See `Backend.adopt`, and `fastnn.backends.cupy.interop`."""
        with self.current():
            found = device_array(array)
            if found is None or self.owns(found):
                return found
            with explained(found.nbytes, "a copy of an array from another device"):
                return self._cupy.array(found)

    def asarray(self, array: object, dtype: str | None = None) -> Array:
        """See `Backend.asarray`."""
        own = array if self.owns(array) else self.adopt(array)
        if own is not None:
            return self.astype(own, dtype) if dtype else own
        host = host_array(array)
        host = host.astype(dtype or host.dtype.newbyteorder("="), order="C", copy=False)
        with self.current(), explained(host.nbytes, "a copy of an array from the host"):
            return self._cupy.asarray(host)

    def astype(self, array: Array, dtype: str) -> Array:
        """See `Backend.astype`."""
        with self.current(), explained(array.nbytes, "a cast of an array"):
            return array.astype(dtype, copy=False)

    def copy(self, array: Array) -> Array:
        """See `Backend.copy`."""
        with self.current(), explained(array.nbytes, "a copy of an array"):
            return array.copy()

    def share_memory(self, one: Array, other: Array) -> bool:
        """See `Backend.share_memory`."""
        return views_share_memory(_shadow(one), _shadow(other))

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """See `Backend.to_numpy`."""
        with self.current():
            return self._cupy.asnumpy(array)  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        """See `Backend.synchronize`."""
        self.device.synchronize()

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """See `Backend.empty`."""
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        with self.current(), explained(needed, "a buffer of the training step"):
            return self._cupy.empty(shape, dtype)

    def holds(self, nbytes: int) -> bool:
        """See `Backend.holds`: whether it fits into half of the memory that is free."""
        with self.current():
            free = free_bytes()
        return nbytes <= free // 2

    def feed(
        self, x: np.ndarray[Any, Any], t: np.ndarray[Any, Any], dtype: str, batch_size: int
    ) -> Feed:
        """See `Backend.feed`."""
        return PinnedFeed(self, x, t, dtype, batch_size)

    # Primitives

    @kernel_for(
        lambda x, W, b, relu, out: (
            same_floats(x, W, b)
            and contiguous(W, b)
            and (out is None or fills(out, (x.shape[0], W.shape[1]), x.dtype))
        )
    )
    def affine(
        self, x: Array, W: Array, b: Array, *, relu: bool = False, out: Array | None = None
    ) -> Array:
        """See `Backend.affine`: cuBLAS, or a product of our own where that is as good."""
        cp, dtype = self._cupy, x.dtype.name
        (N, D), M = x.shape, W.shape[1]
        result = cp.empty((N, M), dtype) if out is None else out
        splits, depth, parts = 1, D, result
        if not self.products.by_ours(N, D, M, dtype):
            cp.matmul(x, W, out=result)
        else:
            splits, depth = self.products.slices(N, D, M)
            parts = result if splits == 1 else cp.empty((splits, N, M), dtype)
            x = cp.ascontiguousarray(x)
            MatrixProduct(dtype)(x=x, W=W, parts=parts, splits=splits, depth=depth)
        Finish(dtype)(parts=parts, splits=splits, b=b, relu=relu, out=result)
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
        """See `Backend.affine_backward`; where the products are small, two kernels."""
        cp, dtype = self._cupy, x.dtype.name
        (N, D), M = x.shape, W.shape[1]
        if not self.products.by_ours(N, D, M, dtype):
            return super().affine_backward(
                dout, x, W, relu=relu, input_gradient=input_gradient, out=out
            )
        dout, x, W = (cp.ascontiguousarray(array) for array in (dout, x, W))
        shapes = (x.shape, W.shape, (M,))
        dx, dW, db = (
            cp.empty(shape, dtype) if given is None else given
            for shape, given in zip(shapes, out or (None, None, None), strict=True)
        )
        if input_gradient:
            Back(dtype)(dout=dout, W=W, x=x, relu=relu, dx=dx, N=N)
        WeightGradients(dtype)(x=x, dout=dout, dW=dW, db=db)
        return (dx if input_gradient else None), dW, db

    @kernel_for(
        lambda x, t, out: (
            same_floats(x)
            and (
                out is None
                or (fills(out[0], x.shape[:1], x.dtype) and fills(out[1], x.shape, x.dtype))
            )
        )
    )
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

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def sigmoid(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.sigmoid(x=self._cupy.ascontiguousarray(x), out=out)
        return out

    @kernel_for(lambda dout, y, out: same_floats(dout, y) and fills(out, y.shape, y.dtype))
    def sigmoid_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid_backward`."""
        cp = self._cupy
        out = cp.empty(y.shape, y.dtype) if out is None else out
        dout, y = cp.ascontiguousarray(dout), cp.ascontiguousarray(y)
        activations.sigmoid_backward(dout=dout, y=y, out=out)
        return out

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def tanh(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.tanh(x=self._cupy.ascontiguousarray(x), out=out)
        return out

    @kernel_for(lambda dout, y, out: same_floats(dout, y) and fills(out, y.shape, y.dtype))
    def tanh_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh_backward`."""
        cp = self._cupy
        out = cp.empty(y.shape, y.dtype) if out is None else out
        dout, y = cp.ascontiguousarray(dout), cp.ascontiguousarray(y)
        activations.tanh_backward(dout=dout, y=y, out=out)
        return out

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def gelu(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.gelu(x=self._cupy.ascontiguousarray(x), out=out)
        return out

    @kernel_for(lambda dout, x, out: same_floats(dout, x) and fills(out, x.shape, x.dtype))
    def gelu_backward(self, dout: Array, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu_backward`."""
        cp = self._cupy
        out = cp.empty(x.shape, x.dtype) if out is None else out
        dout, x = cp.ascontiguousarray(dout), cp.ascontiguousarray(x)
        activations.gelu_backward(dout=dout, x=x, out=out)
        return out

    @kernel_for(lambda x, slope, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def leaky_relu(self, x: Array, *, slope: float, out: Array | None = None) -> Array:
        """See `Backend.leaky_relu`."""
        out = self._cupy.empty(x.shape, x.dtype) if out is None else out
        activations.leaky_relu(x=self._cupy.ascontiguousarray(x), slope=slope, out=out)
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
        activations.leaky_relu_backward(dout=dout, y=y, slope=slope, out=out)
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
            same_floats(x, gamma, beta, mean, var) and fills(out, x.shape, x.dtype)
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
        lambda average, value, momentum: same_floats(average, value) and contiguous(average)
    )
    def moving_average(self, average: Array, value: Array, *, momentum: float) -> Array:
        """See `Backend.moving_average`."""
        value = self._cupy.ascontiguousarray(value)
        normalization.moving_average(average=average, value=value, momentum=momentum)
        return average

    @kernel_for(
        lambda x, t, out: (
            same_floats(x, t)
            and (
                out is None
                or (fills(out[0], x.shape[:1], x.dtype) and fills(out[1], x.shape, x.dtype))
            )
        )
    )
    def sigmoid_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.sigmoid_cross_entropy`."""
        cp, dtype = self._cupy, x.dtype.name
        losses, y = out or (cp.empty(x.shape[:1], dtype), cp.empty(x.shape, dtype))
        x, t = cp.ascontiguousarray(x), cp.ascontiguousarray(t)
        primitives.sigmoid_cross_entropy(x=x, t=t, losses=losses, y=y)
        return losses, y

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
        primitives.squared_error(x=x, t=t, losses=losses)
        return losses

    @kernel_for(lambda x, t, out: same_floats(x, t) and fills(out, x.shape, x.dtype))
    def squared_error_backward(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error_backward`."""
        return self._difference_over_samples(x, t, out)

    def _difference_over_samples(self, y: Array, t: Array, out: Array | None) -> Array:
        cp = self._cupy
        dx = cp.empty(y.shape, y.dtype.name) if out is None else out
        y, t = cp.ascontiguousarray(y), cp.ascontiguousarray(t)
        primitives.difference_over_samples(y=y, t=t, dx=dx)
        return dx

    @kernel_for(lambda scores, t: same_floats(scores))
    def count_correct(self, scores: Array, t: Array) -> Array:
        """See `Backend.count_correct`."""
        cp = self._cupy
        correct = cp.zeros((), "int64")
        scores, t = cp.ascontiguousarray(scores), cp.ascontiguousarray(t)
        primitives.count_correct(scores=scores, t=t, correct=correct)
        return correct

    @kernel_for(
        lambda x, rows, dtype, scale, out: (
            (dtype or x.dtype.name) in ("float32", "float64")
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

    def clip_factor(
        self, *gradients: Array, clip_norm: float | Array, out: Array | None = None
    ) -> Array:
        """See `Backend.clip_factor`. `clip_norm` may be an array (), which the device reads."""
        arrays = [self._cupy.ascontiguousarray(self.asarray(g)) for g in gradients]
        if not all(same_floats(g) for g in arrays) or not fills(out, (), arrays[0].dtype):
            return super().clip_factor(*arrays, clip_norm=clip_norm, out=out)
        factor = self._cupy.empty((), arrays[0].dtype) if out is None else out
        clipping.clip_factor(
            gradients=arrays, clip_norm=clip_norm, epsilon=CLIP_EPSILON, factor=factor
        )
        return factor

    def scaled_gradient(self, dW: Array, factor: Array, *, out: Array | None = None) -> Array:
        """See `Backend.scaled_gradient`; in one kernel of CuPy's."""
        dW = self.asarray(dW)
        return self._cupy.multiply(dW, factor.astype(dW.dtype, copy=False), out=out)

    @kernel_for(
        lambda dW, W, weight_decay, out: (
            same_floats_as_gradient(dW, W) and fills(out, W.shape, W.dtype)
        )
    )
    def decayed_gradient(
        self, dW: Array, W: Array, *, weight_decay: float | Array, out: Array | None = None
    ) -> Array:
        """See `Backend.decayed_gradient`. `weight_decay` may be an array (), as `clip_norm`."""
        result = self._cupy.empty(W.shape, W.dtype) if out is None else out
        rules.decayed_gradient(dW=dW, W=W, weight_decay=weight_decay, out=result)
        return result

    @kernel_for(lambda W, dW, lr: same_floats_as_gradient(W, dW) and contiguous(W))
    def sgd_update(self, W: Array, dW: Array, *, lr: float | Array) -> Array:
        """See `Backend.sgd_update`. `lr` may be an array (), which the device reads."""
        primitives.sgd_update(W=W, dW=self._cupy.ascontiguousarray(dW), lr=lr)
        return W

    @kernel_for(lambda W, lr, weight_decay: same_floats(W))
    def decay_weights(self, W: Array, *, lr: float | Array, weight_decay: float | Array) -> Array:
        """See `Backend.decay_weights`; numbers may be arrays (), as in all rules here."""
        rules.decay_weights(W=W, lr=lr, weight_decay=weight_decay)
        return W

    @kernel_for(lambda W, dW, v, lr, momentum: same_floats_as_gradient(W, dW, v))
    def momentum_update(
        self, W: Array, dW: Array, v: Array, *, lr: float | Array, momentum: float | Array
    ) -> Array:
        """See `Backend.momentum_update`; numbers may be arrays (), as in all rules here."""
        rules.momentum_update(W=W, dW=dW, v=v, lr=lr, momentum=momentum)
        return W

    @kernel_for(lambda W, dW, v, lr, momentum: same_floats_as_gradient(W, dW, v))
    def nesterov_update(
        self, W: Array, dW: Array, v: Array, *, lr: float | Array, momentum: float | Array
    ) -> Array:
        """See `Backend.nesterov_update`."""
        rules.nesterov_update(W=W, dW=dW, v=v, lr=lr, momentum=momentum)
        return W

    @kernel_for(lambda W, dW, h, lr: same_floats_as_gradient(W, dW, h))
    def adagrad_update(self, W: Array, dW: Array, h: Array, *, lr: float | Array) -> Array:
        """See `Backend.adagrad_update`."""
        rules.adagrad_update(W=W, dW=dW, h=h, lr=lr, epsilon=EPSILON)
        return W

    @kernel_for(lambda W, dW, h, lr, one_minus_decay_rate: same_floats_as_gradient(W, dW, h))
    def rmsprop_update(
        self,
        W: Array,
        dW: Array,
        h: Array,
        *,
        lr: float | Array,
        one_minus_decay_rate: float | Array,
    ) -> Array:
        """See `Backend.rmsprop_update`."""
        numbers = {"lr": lr, "one_minus_decay_rate": one_minus_decay_rate}
        rules.rmsprop_update(W=W, dW=dW, h=h, **numbers, epsilon=EPSILON)
        return W

    @kernel_for(
        lambda W, dW, m, v, lr_t, one_minus_beta1, one_minus_beta2: same_floats_as_gradient(
            W, dW, m, v
        )
    )
    def adam_update(
        self,
        W: Array,
        dW: Array,
        m: Array,
        v: Array,
        *,
        lr_t: float | Array,
        one_minus_beta1: float | Array,
        one_minus_beta2: float | Array,
    ) -> Array:
        """See `Backend.adam_update`."""
        rules.adam_update(
            W=W, dW=dW, m=m, v=v, lr_t=lr_t, one_minus_beta1=one_minus_beta1,
            one_minus_beta2=one_minus_beta2, epsilon=EPSILON,
        )  # fmt: skip
        return W

    # Training

    def seconds_compiling(self) -> float:
        """See `Backend.seconds_compiling`."""
        return float(cuda.seconds_compiling())

    def compile(self, plan: StepPlan) -> CupyRunner:
        """See `Backend.compile`: a few kernels a step, many steps in one CUDA graph."""
        with self.current():
            return CupyRunner(self, self.products, plan)

    def explain(self, chain: Chain) -> Course:
        """See `Backend.explain`."""
        return course(chain)


class _Addresses:
    """Where the entries of an array of the device are, in NumPy's words."""

    def __init__(self, array: Array) -> None:
        self.__array_interface__ = {
            "version": 3,
            "shape": array.shape,
            "strides": array.strides,
            "typestr": array.dtype.str,
            "data": (array.data.ptr, True),
        }


def _shadow(array: Array) -> np.ndarray[Any, Any]:
    """Give a NumPy array of the same addresses, which must not be read."""
    return np.asarray(_Addresses(array))
