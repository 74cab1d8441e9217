"""A training step of any network: the plan's primitives, one after the other, on CuPy.

It runs as the loop does that every backend has, with three differences, so that it can be captured
in a graph: its rows are brought by a kernel that counts the steps, its loss is stored by one, and
hyperparameters are arrays of the device, which that kernel brings as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy import cublas
from fastnn.backends.cupy.graph import Obstacle
from fastnn.backends.cupy.products import Products
from fastnn.backends.known_parts import Reason
from fastnn.backends.loop import Loop
from fastnn.backends.plan import Chain, LayerCalls, Numbers, Rule, Step, StepPlan
from fastnn.kernels.cuda.control import ControlBlock, KeepLoss, NextBatch


class OpByOpStep(Loop):
    """Calls the primitives of one step; see the module."""

    def __init__(self, backend: Backend, products: Products, plan: StepPlan) -> None:
        import cupy

        super().__init__(backend, plan)
        self._cupy = cupy
        self._sizes = products
        self._control = ControlBlock(plan.dtype)
        self._rows = backend.empty((plan.batch_size,), "int64")
        names = dict.fromkeys(name for step in plan.steps for name in step.hyperparameters)
        self._numbers = backend.empty((len(names),), plan.dtype)
        self._hyperparameters = {name: self._numbers[i, ...] for i, name in enumerate(names)}
        self._next_batch = NextBatch(plan.dtype)
        self._keep_loss = KeepLoss(plan.dtype)
        self._now: Step | None = None
        self._prepared: set[int] = set()

    @property
    def doing(self) -> str:
        """See `StepLauncher.doing`."""
        if self._now is None:
            return "a training step"
        layer = self._now.layer
        return f"{self._now.primitive} of {layer.name if layer else ', '.join(self._now.reads)}"

    def obstacle(self, n: int) -> Obstacle | None:
        """See `StepLauncher.obstacle`.

        Python code of the user's may do something else at each call, which a replay would not: it
        is called for each step.
        """
        own = own_code(self.plan.chain)
        if own is not None:
            return Obstacle(own.sentence, expected=True)
        for step in self._products():
            of_cublas = self._by_cublas(step, n)
            what = f"{step.primitive} of {n} samples by {self._weights(step).shape}"
            if of_cublas and cublas.problem():
                return Obstacle(f"{what} goes to cuBLAS, but {cublas.problem()}")
            if self._is_mixed(step):
                said = f"{what} is of several dtypes, which CuPy multiplies but does not capture"
                return Obstacle(said, expected=True)
        return None

    def prepare(self, n: int) -> None:
        """See `StepLauncher.prepare`: takes the next step without a trace.

        What CuPy compiles when it is first needed, and what cuBLAS loads then, is there afterwards.
        Buffers are overwritten in the next step. Where a step changes what lasts, a copy is
        changed, one at a time.
        """
        if n in self._prepared:
            return
        arrays = self._arrays(n)
        for step in self.plan.steps:
            self._now = step
            copies = {
                name: self.backend.copy(self.plan.arrays[name])
                for name in step.writes
                if name in self.plan.arrays
            }
            now = {**arrays, **copies}
            self._bind(step, now, self._hyperparameters)()
            arrays |= {name: now[name] for name in step.writes if name not in copies}
        self._now = None
        self._cupy.asarray(arrays["loss"], dtype=self.plan.dtype)
        self._prepared.add(n)

    def _products(self) -> Iterator[Step]:
        return (step for step in self.plan.steps if step.primitive in ("affine", "affine_backward"))

    def _by_cublas(self, step: Step, n: int) -> bool:
        D, M = self._weights(step).shape
        return not self._sizes.by_ours(n, D, M, self.plan.dtype)

    def _is_mixed(self, step: Step) -> bool:
        parameters = [self.plan.arrays[name] for name in step.reads if name in self.plan.arrays]
        return any(array.dtype != self.plan.dtype for array in parameters)

    def _weights(self, step: Step) -> Array:
        return self.plan.arrays[step.reads[1 if step.primitive == "affine" else 2]]

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, Numbers]) -> None:
        """Start many steps: their rows, where their losses go, the hyperparameters."""
        numbers = [hyperparameters[name] for name in self._hyperparameters]
        self._control.begin(rows, losses, numbers)

    def launch(self, n: int) -> None:
        """Run the next step, of n samples."""
        arrays = self._arrays(n)
        for step in self.plan.steps:
            self._now = step
            self._bind(step, arrays, self._hyperparameters)()
        self._now = None
        loss = self._cupy.asarray(arrays["loss"], dtype=self.plan.dtype)
        self._keep_loss(control=self._control.array, loss=loss)

    def _arrays(self, n: int) -> dict[str, Array]:
        """Bring rows and hyperparameters of the next step; give what it works on, by name."""
        rows = self._rows[:n]
        self._next_batch(control=self._control.array, rows=rows, numbers=self._numbers)
        return {**self.plan.arrays, **self._leading(n), "rows": rows}


def own_code(chain: Chain) -> Reason | None:
    """Say which layer, loss or update of a user's own stands against a graph, if any."""
    for block in chain.blocks:
        if block.layer is not None and block.layer.users_own:
            return Reason(block.label, f"{block.layer.name} is a layer of your own")
    if isinstance(chain.loss, LayerCalls) and chain.loss.users_own:
        return Reason(chain.loss_label, f"{chain.loss.name} is a layer of your own")
    if not isinstance(chain.update, Rule):
        return Reason(chain.update_label, "update is code of your own")
    return None
