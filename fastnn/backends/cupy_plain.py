"""A training step of any network: the plan's primitives, one after the other, on CuPy.

It runs as the loop does that every backend has, with three differences, so that it can be captured
in a graph: its rows are brought by a kernel that counts the steps, its loss is stored by one, and
hyperparameters are arrays of the device.
"""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.backends.loop import Loop
from fastnn.layers import Affine, Relu, SoftmaxWithLoss

if TYPE_CHECKING:
    from fastnn.backends.base import Array
    from fastnn.backends.cupy_backend import CupyBackend
    from fastnn.plan import StepPlan

THREADS = 128


class PlainStep(Loop):
    """Calls the primitives of one step; see the module."""

    def __init__(self, backend: CupyBackend, plan: StepPlan) -> None:
        import cupy

        from fastnn.kernels.cuda import kernel

        super().__init__(backend, plan)
        self._cupy = cupy
        self._control = cupy.zeros(4, "int64")
        self._rows = backend.empty((plan.batch_size,), "int64")
        names = {name for step in plan.steps for name in step.hyperparameters}
        self._hyperparameters = {name: backend.empty((), plan.dtype) for name in names}
        self._begin = kernel("control", "begin", plan.dtype)
        self._next_batch = kernel("control", "next_batch", plan.dtype)
        self._keep_loss = kernel("control", "keep_loss", plan.dtype)
        self._watched = _Watch(_foreign_layers(plan))

    @property
    def capturable(self) -> bool:
        """Whether a replay does what the calls would do, as far as can be seen."""
        return self._watched.steady

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, float]) -> None:
        """Start many steps: their rows, where their losses go, the hyperparameters."""
        zero = np.dtype(self.plan.dtype).type(0)
        self._begin((1,), (1,), (self._control, rows, losses, zero))
        for name, array in self._hyperparameters.items():
            array.fill(hyperparameters[name])

    def launch(self, n: int) -> None:
        """Run the next step, of n samples."""
        rows = self._rows[:n]
        self._next_batch((-(-n // THREADS),), (THREADS,), (self._control, rows, np.int32(n)))
        arrays = {**self.plan.arrays, **self._leading(n), "rows": rows}
        for step in self.plan.steps:
            self._bind(step, arrays, self._hyperparameters)()
        loss = self._cupy.asarray(arrays["loss"], dtype=self.plan.dtype)
        self._keep_loss((1,), (1,), (self._control, loss))
        self._watched.look()

    def reload(self) -> None:
        """See `Runner.reload`: what the user's layers do may have changed."""
        self._watched.start_again()


def _foreign_layers(plan: StepPlan) -> list[Any]:
    """Give the layers of the user's own that take part in a plan."""
    own = (Affine, Relu, SoftmaxWithLoss)
    calls = [step.call for step in plan.steps if step.primitive == "forward"]
    layers = [getattr(call, "__self__", call) for call in calls]
    return [layer for layer in layers if type(layer) not in own]


class _Watch:
    """Sees whether layers of the user's own change anything in Python, which a replay would not.

    A layer that counts its calls, or draws from a generator on the host, does something else at
    every step; captured, it would do the same for ever. So the first steps run one by one: if the
    second leaves the layers as it found them, arrays on the device aside, they are steady.
    """

    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers
        self.start_again()

    def start_again(self) -> None:
        """Forget what was seen."""
        self.steady = not self._layers
        self._seen: list[bytes] = []

    def look(self) -> None:
        """Look at the layers after a step."""
        if self.steady or len(self._seen) == 2:
            return
        self._seen.append(self._state())
        self.steady = len(self._seen) == 2 and b"" != self._seen[0] == self._seen[1]

    def _state(self) -> bytes:
        state = (
            [getattr(layer, "__dict__", {}) for layer in self._layers],
            random.getstate(),
            np.random.get_state(),  # noqa: NPY002 - a layer of the user's may draw from it
        )
        stream = io.BytesIO()
        try:
            _WithoutDeviceArrays(stream).dump(state)
        except Exception:
            return b""
        return stream.getvalue()


class _WithoutDeviceArrays(pickle.Pickler):
    def persistent_id(self, obj: object) -> str | None:
        import cupy

        return "array" if isinstance(obj, cupy.ndarray) else None
