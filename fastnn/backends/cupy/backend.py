"""CuPy: the specification on an NVIDIA GPU.

Nothing here copies between host and device but `asarray` and `to_numpy`. Primitives that CuPy
would make of several kernels are one of `fastnn.kernels.cuda`; training compiles to a few kernels
a step, many steps in one CUDA graph: `cupy_runner`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array, views_share_memory
from fastnn.backends.base import Backend, BackendInfo
from fastnn.backends.cupy.detection import problem_with_cupy, problem_with_device
from fastnn.backends.cupy.interop import device_array
from fastnn.backends.cupy.memory import explained, free_bytes
from fastnn.backends.cupy.products import Products
from fastnn.backends.cupy.runner import CupyRunner
from fastnn.backends.cupy.streaming import PinnedFeed
from fastnn.backends.feed import Feed
from fastnn.backends.plan import StepPlan
from fastnn.kernels import cuda
from fastnn.kernels.cuda import primitives
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.product import Finish, PlainProduct
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
        """See `Backend.adopt`, and `cupy_foreign`."""
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

    def affine(
        self, x: Array, W: Array, b: Array, *, relu: bool = False, out: Array | None = None
    ) -> Array:
        """See `Backend.affine`: cuBLAS, or a product of our own where that is as good."""
        cp, dtype = self._cupy, x.dtype.name
        if not _same_floats(x, W, b) or not _contiguous(W, b) or not _can_fill(out, dtype):
            return super().affine(x, W, b, relu=relu, out=out)
        (N, D), M = x.shape, W.shape[1]
        result = cp.empty((N, M), dtype) if out is None else out
        splits, depth, parts = 1, D, result
        if not self.products.by_ours(N, D, M, dtype):
            cp.matmul(x, W, out=result)
        else:
            splits, depth = self.products.slices(N, D, M)
            parts = result if splits == 1 else cp.empty((splits, N, M), dtype)
            x = cp.ascontiguousarray(x)
            PlainProduct(dtype)(x=x, W=W, parts=parts, splits=splits, depth=depth)
        Finish(dtype)(parts=parts, splits=splits, b=b, relu=relu, out=result)
        return result

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
        into = (None, None, None) if out is None else out
        ours = _same_floats(dout, x, W) and all(_can_fill(one, dtype) for one in into)
        if not (ours and self.products.by_ours(N, D, M, dtype)):
            return super().affine_backward(
                dout, x, W, relu=relu, input_gradient=input_gradient, out=out
            )
        dout, x, W = (cp.ascontiguousarray(array) for array in (dout, x, W))
        shapes = (x.shape, W.shape, (M,))
        dx, dW, db = (
            cp.empty(shape, dtype) if given is None else given
            for shape, given in zip(shapes, into, strict=True)
        )
        if input_gradient:
            Back(dtype)(dout=dout, W=W, x=x, relu=relu, dx=dx, N=N)
        WeightGradients(dtype)(x=x, dout=dout, dW=dW, db=db)
        return (dx if input_gradient else None), dW, db

    def softmax_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.softmax_cross_entropy`."""
        cp, dtype = self._cupy, x.dtype.name
        into = (None, None) if out is None else out
        if not _same_floats(x) or not all(_can_fill(one, dtype) for one in into):
            return super().softmax_cross_entropy(x, t, out=out)
        N, C = x.shape
        losses, y = out or (cp.empty((N,), dtype), cp.empty((N, C), dtype))
        x, t = cp.ascontiguousarray(x), cp.ascontiguousarray(t)
        primitives.softmax_cross_entropy(x=x, t=t, losses=losses, y=y)
        return losses, y

    def softmax_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.softmax_cross_entropy_backward`."""
        cp, dtype = self._cupy, y.dtype.name
        if not _same_floats(y) or not _can_fill(out, dtype):
            return super().softmax_cross_entropy_backward(y, t, out=out)
        N, C = y.shape
        dx = cp.empty((N, C), dtype) if out is None else out
        y, t = cp.ascontiguousarray(y), cp.ascontiguousarray(t)
        primitives.softmax_cross_entropy_backward(y=y, t=t, dx=dx)
        return dx

    def count_correct(self, scores: Array, t: Array) -> Array:
        """See `Backend.count_correct`."""
        if not _same_floats(scores):
            return super().count_correct(scores, t)
        cp = self._cupy
        correct = cp.zeros((), "int64")
        scores, t = cp.ascontiguousarray(scores), cp.ascontiguousarray(t)
        primitives.count_correct(scores=scores, t=t, correct=correct)
        return correct

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
        given, wanted = x.dtype.name, dtype or x.dtype.name
        ours = wanted in ("float32", "float64") and given in cuda.C_TYPES
        if not ours or not _contiguous(x) or not _can_fill(out, wanted):
            return super().take_rows(x, rows, dtype=dtype, scale=scale, out=out)
        cp = self._cupy
        batch = cp.empty((len(rows), *x.shape[1:]), wanted) if out is None else out
        rows = cp.ascontiguousarray(rows)
        primitives.take_rows(x=x, rows=rows, scale=scale, out=batch)
        return batch

    def sgd_update(self, W: Array, dW: Array, *, lr: float | Array) -> Array:
        """See `Backend.sgd_update`. `lr` may be an array (), which the device reads."""
        of_arrays = hasattr(dW, "dtype")  # a layer of the user's own may give a number
        if not (of_arrays and _same_floats(W, dW) and _contiguous(W)):
            return super().sgd_update(W, dW, lr=lr)
        primitives.sgd_update(W=W, dW=self._cupy.ascontiguousarray(dW), lr=lr)
        return W

    # Training

    def seconds_compiling(self) -> float:
        """See `Backend.seconds_compiling`."""
        return float(cuda.seconds_compiling())

    def compile(self, plan: StepPlan) -> CupyRunner:
        """See `Backend.compile`: a few kernels a step, many steps in one CUDA graph."""
        with self.current():
            return CupyRunner(self, self.products, plan)


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


def _same_floats(*arrays: Array) -> bool:
    return arrays[0].dtype.name in ("float32", "float64") and all(
        array.dtype == arrays[0].dtype for array in arrays
    )


def _contiguous(*arrays: Array) -> bool:
    return all(array.flags.c_contiguous for array in arrays)


def _can_fill(out: Array | None, dtype: str) -> bool:
    return out is None or (out.dtype.name == dtype and out.flags.c_contiguous)
