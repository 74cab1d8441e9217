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
from fastnn.layers import Affine, Relu, SoftmaxWithLoss, is_plain

if TYPE_CHECKING:
    from fastnn.backends.base import Array
    from fastnn.backends.cupy_backend import CupyBackend
    from fastnn.plan import StepPlan

THREADS = 128

Kept = dict[tuple[int, str], Any]
"""Arrays that layers of the user's own hold on to, by the layer's number and the attribute."""


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
        self._foreign = _foreign_layers(plan)
        self._watched = _Watch(self._foreign)

    @property
    def capturable(self) -> bool:
        """Whether a replay does what the calls would do, as far as can be seen."""
        offered = all(getattr(layer, "capturable", False) is True for layer in self._foreign)
        return offered and self._watched.steady

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

    def launch_many(self, n: int, count: int) -> Kept:
        """See `StepLauncher.launch_many`.

        A layer of the user's own may carry an array from one step to the next, as a running mean,
        and replace it by a new one each time. A replay begins with the array that was there when
        it was captured. So at the end of the captured steps the last one is copied there, and
        `resume` copies one that was made between two replays.
        """
        kept = self._kept()
        try:
            for _ in range(count):
                self.launch(n)
            for (index, name), array in self._kept().items():
                place = kept.get((index, name))
                if place is None or not _alike(place, array):
                    raise RuntimeError(f"{name} is another kind of array at the end of the steps")
                if place.data.ptr != array.data.ptr:
                    place[...] = array
        finally:
            for (index, name), array in kept.items():
                setattr(self._foreign[index], name, array)
        return kept

    def resume(self, kept: Kept) -> None:
        """See `StepLauncher.resume`."""
        for (index, name), place in kept.items():
            array = getattr(self._foreign[index], name)
            if array is place:
                continue
            if _alike(place, array):
                place[...] = array
            setattr(self._foreign[index], name, place)

    def _kept(self) -> Kept:
        """Give the arrays that layers of the user's own hold on to."""
        return {
            (index, name): value
            for index, layer in enumerate(self._foreign)
            for name, value in getattr(layer, "__dict__", {}).items()
            if isinstance(value, self._cupy.ndarray)
        }

    def reload(self) -> None:
        """See `Runner.reload`: what the user's layers do may have changed.

        What they hold on to was seen by a callback, so it is not written to again.
        """
        for (index, name), array in self._kept().items():
            setattr(self._foreign[index], name, array.copy())
        self._watched.start_again()


def _foreign_layers(plan: StepPlan) -> list[Any]:
    """Give the layers of the user's own that take part in a plan."""
    own = (Affine, Relu, SoftmaxWithLoss)
    calls = [step.call for step in plan.steps if step.primitive == "forward"]
    layers = [getattr(call, "__self__", call) for call in calls]
    return [layer for layer in layers if not any(is_plain(layer, cls) for cls in own)]


class _Watch:
    """Sees whether layers of the user's own change anything in Python, which a replay would not.

    A layer that counts its calls, or draws from a generator on the host, does something else at
    every step; captured, it would do the same for ever. Python cannot tell that of any function, so
    layers say themselves that they may be captured, ``capturable = True``. What can be seen is
    looked at all the same: the first steps run one by one, and if the second leaves the layers as
    it found them, arrays on the device aside, they are steady. Arrays inside of lists and the like
    are not followed: such layers are never captured.
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
        """Give all that is not an array on the device; nothing where that cannot be told."""
        import cupy

        stream = io.BytesIO()
        try:
            state = (
                [
                    {n: v for n, v in vars(layer).items() if not isinstance(v, cupy.ndarray)}
                    for layer in self._layers
                ],
                random.getstate(),
                np.random.get_state(),  # noqa: NPY002 - a layer of the user's may draw from it
            )
            _OnHost(stream).dump(state)
        except Exception:  # of whatever kind the user's own objects raise
            return b""
        return stream.getvalue()


class _OnHost(pickle.Pickler):
    """Pickles anything but arrays on a device, which would have to come down for it."""

    def persistent_id(self, obj: object) -> None:
        import cupy

        if isinstance(obj, cupy.ndarray):
            raise pickle.PicklingError("an array on the device")


def _alike(one: Array, other: Array) -> bool:
    return bool(one.shape == other.shape and one.dtype == other.dtype)
