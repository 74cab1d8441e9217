"""A step plan on a GPU: many steps in one CUDA graph.

A step is launched through a graph of `STEPS` of them, and a shorter one for what an epoch has left
over. The graphs hold no data: rows, losses and hyperparameters are read through a control block on
the device, which one kernel writes at the start of a call. So a step costs no allocation, no copy
and no synchronisation, and the host is free after a launch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from fastnn.backends.cupy_fused import FusedStep, fused_layers
from fastnn.backends.cupy_plain import PlainStep
from fastnn.backends.loop import Runner

if TYPE_CHECKING:
    from fastnn.backends.base import Array
    from fastnn.backends.cupy_backend import CupyBackend
    from fastnn.plan import StepPlan

STEPS = 32
"""Steps of a graph. At some 10 us for its launch, and 2 us or more on the device for each of three
kernels a step, the host is ahead of the device from a few steps on."""


class StepLauncher(Protocol):
    """What launches one step."""

    @property
    def capturable(self) -> bool:
        """Whether a replay of `launch` does what another call would do."""

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, float]) -> None:
        """Start many steps: their rows, where their losses go, the hyperparameters."""

    def launch(self, n: int) -> None:
        """Launch the next step, of n samples."""

    def launch_many(self, n: int, count: int) -> Any:
        """Launch steps that are being captured; give what `resume` needs before each replay."""

    def resume(self, kept: Any) -> None:
        """Get ready for a replay."""

    def reload(self) -> None:
        """See `Runner.reload`."""


class CupyRunner(Runner):
    """Runs a plan on the device and the stream that are current; see `Runner`."""

    def __init__(self, backend: CupyBackend, plan: StepPlan) -> None:
        self.backend = backend
        self.plan = plan
        self.step = step_launcher(backend, plan)
        self.graphs: dict[tuple[int, int], tuple[Any, Any] | None] = {}
        self.uses_graphs = True
        self._memory: Any = None

    def run(self, rows: Array, hyperparameters: Mapping[str, float]) -> Array:
        """See `Runner.run`. The steps are queued when it returns."""
        import cupy

        with self.backend.current():
            steps, n = rows.shape
            rows = cupy.ascontiguousarray(rows)
            losses = self.backend.empty((steps,), self.plan.dtype)
            self.step.begin(rows, losses, hyperparameters)
            done = 0
            while done < steps:
                count = min(STEPS, steps - done)
                captured = self._captured(n, count)
                if captured is None:
                    self.step.launch(n)
                    done += 1
                else:
                    graph, kept = captured
                    self.step.resume(kept)
                    graph.launch()
                    done += count
            return losses

    def flush(self) -> None:
        """See `Runner.flush`: the kernels work on the plan's own parameters."""

    def reload(self) -> None:
        """See `Runner.reload`."""
        if not isinstance(self.step, FusedStep):
            self.graphs.clear()
            self.step.reload()

    def _captured(self, n: int, count: int) -> tuple[Any, Any] | None:
        """Give the graph of `count` steps of n samples; None where there can be none."""
        if not (self.uses_graphs and self.step.capturable):
            return None
        if (n, count) not in self.graphs:
            self.graphs[n, count] = self._capture(n, count)
        return self.graphs[n, count]

    def _capture(self, n: int, count: int) -> tuple[Any, Any] | None:
        """Capture steps, on a stream of its own; nothing runs. None if CUDA or CuPy refuses.

        What is allocated on the way belongs to the graph for good, so it comes from a pool of its
        own. A layer that raises an error of its own will raise it again when called directly.
        """
        import cupy

        if self._memory is None:
            self._memory = cupy.cuda.MemoryPool()
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream, cupy.cuda.using_allocator(self._memory.malloc):
            stream.begin_capture()
            try:
                kept = self.step.launch_many(n, count)
            except Exception:
                with contextlib.suppress(Exception):
                    stream.end_capture()
                return None
            try:
                return stream.end_capture(), kept
            except Exception:
                return None


def step_launcher(backend: CupyBackend, plan: StepPlan) -> StepLauncher:
    """Choose how a plan's steps run: fused, or plain if products are large or nothing fits."""
    layers = fused_layers(plan)
    if layers is None:
        return PlainStep(backend, plan)
    weights = sum(plan.arrays[layer.W].size for layer in layers)
    if backend.products.by_cublas(plan.batch_size * weights, plan.dtype):
        return PlainStep(backend, plan)
    return FusedStep(backend, plan, layers)
