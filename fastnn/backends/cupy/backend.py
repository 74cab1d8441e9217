"""CuPy: the specification on an NVIDIA GPU.

Nothing here copies between host and device but `asarray` and `to_numpy`. Primitives that CuPy
would make of several kernels are one of `fastnn.kernels.cuda`, see ``primitives_of_layers.py``,
``_losses`` and ``_rules``; training compiles to a few kernels a step, many steps in one CUDA graph:
`fastnn.backends.cupy.runner`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array, views_share_memory
from fastnn.backends.base import BackendInfo
from fastnn.backends.cupy import cublas
from fastnn.backends.cupy.detection import problem_with_cupy, problem_with_device
from fastnn.backends.cupy.interop import device_array
from fastnn.backends.cupy.memory import explained, free_bytes
from fastnn.backends.cupy.primitives_of_layers import LayerPrimitives
from fastnn.backends.cupy.primitives_of_losses import LossPrimitives
from fastnn.backends.cupy.primitives_of_rules import RulePrimitives
from fastnn.backends.cupy.products import Products
from fastnn.backends.cupy.runner import CupyRunner, course
from fastnn.backends.cupy.streaming import PinnedFeed
from fastnn.backends.feed import Feed
from fastnn.backends.known_parts import Course
from fastnn.backends.plan import Chain, StepPlan
from fastnn.backends.precision import HIGHEST, PRECISIONS
from fastnn.errors import BackendUnavailableError
from fastnn.kernels import cuda


class CupyBackend(LayerPrimitives, LossPrimitives, RulePrimitives):
    """Arrays on one CUDA device.

    Parameters
    ----------
    device : int, optional
        Its index; by default that of the device that is current now.
    precision : {"highest", "high", "medium"}, optional
        Of products by cuBLAS; see `fastnn.set_backend`.

    Raises
    ------
    BackendUnavailableError
        If the device does not have the precision, or cuBLAS cannot be asked for it.
    """

    name = "cupy"
    precisions = PRECISIONS
    steps_at_once = 32

    def __init__(self, device: int | None = None, precision: str = HIGHEST) -> None:
        import array_api_compat.cupy
        import cupy

        self.xp = array_api_compat.cupy
        self._cupy = cupy
        self.device = cupy.cuda.Device(device)
        self.products = Products(self.device)
        self.precision = precision
        problem = cublas.problem_with(precision, self.device)
        if problem:
            raise BackendUnavailableError(f"precision={precision!r} cannot be had: {problem}.")

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
        precision = "" if self.precision == HIGHEST else f", precision {self.precision}"
        return f"<fastnn backend cupy on device {self.device.id}{precision}>"

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
        """See `Backend.synchronize`: waits for the current stream, where all work is queued.

        CUDA forbids to wait for the device while any of its streams captures, for whichever thread.
        """
        with self.current():
            self._cupy.cuda.get_current_stream().synchronize()

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
        self,
        x: np.ndarray[Any, Any],
        t: np.ndarray[Any, Any],
        dtype: str,
        batch_size: int,
        w: np.ndarray[Any, Any] | None = None,
    ) -> Feed:
        """See `Backend.feed`."""
        return PinnedFeed(self, x, t, dtype, batch_size, w)

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
        return course(chain, self.precision)


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
