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

from fastnn.backends.cupy.graph import Obstacle
from fastnn.backends.loop import Loop
from fastnn.nn.layer import is_plain
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.losses import SoftmaxWithLoss

if TYPE_CHECKING:
    from fastnn.backends.arrays import Array
    from fastnn.backends.cupy.backend import CupyBackend
    from fastnn.backends.plan import Step, StepPlan

THREADS = 128

IF_CAPTURABLE = (
    ". A layer that says capturable = True does the same operations of CuPy at each call, without "
    "a look at the numbers from the host (float(x), x.get(), if x.sum() > 0), without arrays of "
    "the host, cuBLAS (x @ W) or state in Python. Write it so, or leave capturable = True out"
)
"""What to do about a layer of the user's own that is not captured; see docs/gpu.md."""

Kept = dict[tuple[int, str], Any]
"""Arrays that layers of the user's own hold on to, by the layer's number and the attribute."""


class PlainStep(Loop):
    """Calls the primitives of one step; see the module."""

    def __init__(self, backend: CupyBackend, plan: StepPlan) -> None:
        import cupy

        from fastnn.kernels.cuda import kernel

        super().__init__(backend, plan)
        self._cupy = cupy
        self._products = backend.products
        self._control = cupy.zeros(4, "int64")
        self._rows = backend.empty((plan.batch_size,), "int64")
        names = {name for step in plan.steps for name in step.hyperparameters}
        self._hyperparameters = {name: backend.empty((), plan.dtype) for name in names}
        self._begin = kernel("control", "begin", plan.dtype)
        self._next_batch = kernel("control", "next_batch", plan.dtype)
        self._keep_loss = kernel("control", "keep_loss", plan.dtype)
        self._foreign = _foreign_layers(plan)
        self._watched = _Watch(self._foreign)
        self._now: Step | None = None
        self._last = 0  # samples of the last step

    @property
    def doing(self) -> str:
        """See `StepLauncher.doing`."""
        if self._now is None:
            return "a training step"
        owner = self._owner(self._now)
        of = ", ".join(self._now.reads) if owner is None else type(owner).__name__
        return f"{self._now.primitive} of {of}"

    @property
    def advice(self) -> str:
        """See `StepLauncher.advice`."""
        owner = self._now and self._owner(self._now)
        own = self._now is None or any(owner is layer for layer in self._foreign)
        return IF_CAPTURABLE if self._foreign and own else ""

    def _owner(self, step: Step) -> Any:
        """Give the layer whose method a step calls; None for a primitive."""
        if step.call is None:
            return None
        forwards = {s.reads[0]: s for s in self.plan.steps if s.primitive == "forward"}
        forward = forwards.get(step.writes[0].removeprefix("d"), step)
        return getattr(step.call, "__self__", getattr(forward.call, "__self__", step.call))

    def obstacle(self, n: int) -> Obstacle | None:
        """See `StepLauncher.obstacle`, as far as can be seen."""
        for layer in self._foreign:
            if getattr(layer, "capturable", False) is not True:
                name = type(layer).__name__
                return Obstacle(f"{name} does not say capturable = True", expected=True)
        for step in self.plan.steps:
            if step.primitive in ("affine", "affine_backward") and self._by_cublas(step, n):
                shapes = f"{step.primitive} of {n} samples by {self._weights(step).shape}"
                return Obstacle(
                    f"{shapes} goes to cuBLAS, which CuPy does not capture", expected=True
                )
        if not self._foreign:
            return None
        if self._watched.changing:
            return Obstacle(self._watched.changing + IF_CAPTURABLE)
        # Not before a step of as many samples: then what the layers hold has its lasting shape.
        steady = self._watched.decided and self._last == n
        return None if steady else Obstacle("", expected=True)

    def _by_cublas(self, step: Step, n: int) -> bool:
        """Whether a product is one that `CupyBackend.affine` leaves to cuBLAS."""
        parameters = [self.plan.arrays[name] for name in step.reads if name in self.plan.arrays]
        ours = all(
            array.dtype == self.plan.dtype and array.flags.c_contiguous for array in parameters
        )
        D, M = self._weights(step).shape
        return not (ours and self._products.by_ours(n, D, M, self.plan.dtype))

    def _weights(self, step: Step) -> Array:
        return self.plan.arrays[step.reads[1 if step.primitive == "affine" else 2]]

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
            self._now = step
            self._bind(step, arrays, self._hyperparameters)()
        self._now, self._last = None, n
        loss = self._cupy.asarray(arrays["loss"], dtype=self.plan.dtype)
        self._keep_loss((1,), (1,), (self._control, loss))
        self._watched.look()

    def launch_many(self, n: int, count: int) -> tuple[int, Kept]:
        """See `StepLauncher.launch_many`.

        A layer of the user's own may carry an array from one step to the next, as a running mean,
        and replace it by a new one each time. A replay begins with the array that was there when
        it was captured. So at the end of the captured steps the last one is copied there, and
        `resume` copies one that was made between two replays.
        """
        kept = self._kept()
        before = [dict(_attributes(layer)) for layer in self._foreign]
        try:
            for _ in range(count):
                self.launch(n)
            for (index, name), array in self._kept().items():
                place = kept.get((index, name))
                if place is None or not _alike(place, array):
                    layer = type(self._foreign[index]).__name__
                    raise RuntimeError(f"{layer}.{name} is another kind of array after each step")
                if place.data.ptr != array.data.ptr:
                    place[...] = array
        finally:
            # Nothing of it has run: what the layers made holds no numbers yet.
            for layer, attributes in zip(self._foreign, before, strict=True):
                now = _attributes(layer)
                for name in now.keys() - attributes.keys():
                    del now[name]
                now.update(attributes)
        return n, kept

    def resume(self, captured: tuple[int, Kept]) -> None:
        """See `StepLauncher.resume`."""
        self._last, kept = captured
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
            for name, value in _attributes(layer).items()
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

    Attributes
    ----------
    decided : bool
        Whether two steps were looked at.
    changing : str
        What changed between them, or cannot be looked into; empty if nothing.
    """

    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers
        self.start_again()

    def start_again(self) -> None:
        """Forget what was seen."""
        self.decided = not self._layers
        self.changing = ""
        self._seen: dict[str, bytes] | None = None

    def look(self) -> None:
        """Look at the layers after a step."""
        if self.decided:
            return
        before, self._seen = self._seen, self._state()
        if before is None:
            return
        self.decided = True
        for what in {**before, **self._seen}:
            if not before.get(what) or not self._seen.get(what):
                self.changing = f"{what} cannot be compared from step to step"
            elif before[what] != self._seen[what]:
                self.changing = f"{what} changes from step to step"

    def _state(self) -> dict[str, bytes]:
        """Give all that is not an array on the device; nothing of what cannot be told."""
        import cupy

        state = {
            f"{type(layer).__name__}.{name}": _dumped(value)
            for layer in self._layers
            for name, value in _attributes(layer).items()
            if not isinstance(value, cupy.ndarray)
        }
        state["the state of Python's random"] = _dumped(random.getstate())
        state["the state of NumPy's random"] = _dumped(
            np.random.get_state()  # noqa: NPY002 - a layer of the user's may draw from it
        )
        return state


def _dumped(value: object) -> bytes:
    stream = io.BytesIO()
    try:
        _OnHost(stream).dump(value)
    except Exception:  # of whatever kind the user's own objects raise
        return b""
    return stream.getvalue()


def _attributes(layer: object) -> dict[str, Any]:
    return getattr(layer, "__dict__", {})


class _OnHost(pickle.Pickler):
    """Pickles anything but arrays on a device, which would have to come down for it."""

    def persistent_id(self, obj: object) -> None:
        import cupy

        if isinstance(obj, cupy.ndarray):
            raise pickle.PicklingError("an array on the device")


def _alike(one: Array, other: Array) -> bool:
    return bool(one.shape == other.shape and one.dtype == other.dtype)
