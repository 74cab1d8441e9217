"""A step plan on a GPU: many steps in one CUDA graph.

A step is launched through a graph of `STEPS` of them, and a shorter one for what an epoch has left
over. The graphs hold no data: rows, losses and hyperparameters are read through a control block on
the device, which one kernel writes at the start of a call. So a step costs no allocation, no copy
and no synchronisation, and the host is free after a launch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.cublas import ROUNDED_TO
from fastnn.backends.cupy.fused import KNOWN, FusedStep, reasons_against
from fastnn.backends.cupy.graph import CapturedGraph, Obstacle, capture, stream_for_captures
from fastnn.backends.cupy.op_by_op import OpByOpStep, own_code
from fastnn.backends.cupy.products import Products
from fastnn.backends.known_parts import Course
from fastnn.backends.plan import Chain, LayerCalls, Numbers, Runner, StepPlan
from fastnn.backends.precision import HIGHEST
from fastnn.backends.stop import Stop
from fastnn.errors import CaptureWarning
from fastnn.system.standard_streams import warn

STEPS = 32
"""Steps of a graph. At some 10 us for its launch, and 2 us or more on the device for each of three
kernels a step, the host is ahead of the device from a few steps on."""


CALL_BY_CALL = (
    "Training goes on without CUDA graphs: {reason}. Results are the same, but each operation is "
    "launched from Python, which costs some 5 microseconds, and a step has a dozen or two."
)


ROUNDED = 'precision "{precision}": cuBLAS rounds the factors of products in float32 to {kind}'

CUBLAS = "large batches and layers leave products to cuBLAS, in the same graph, beside more kernels"


MORE_MEMORY = ". Take a smaller batch, or free memory on the device"


class StepLauncher(Protocol):
    """What launches one step.

    Attributes
    ----------
    doing : str
        What it launches at the moment, in words.
    """

    @property
    def doing(self) -> str: ...

    def obstacle(self, n: int) -> Obstacle | None:
        """Say why a replay of `launch` for n samples would not do what another call would do."""

    def prepare(self, n: int) -> None:
        """Do what a step of n samples needs once, and what must not fall into a capture."""

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, Numbers]) -> None:
        """Start many steps: their rows, where their losses go, the hyperparameters."""

    def launch(self, n: int) -> None:
        """Launch the next step, of n samples."""


class CupyRunner(Runner):
    """Runs a plan on the device and the stream that are current; see `Runner`.

    Attributes
    ----------
    call_by_call : str
        Why steps are launched call by call; empty if that is not known yet, or they are not.
    """

    def __init__(self, backend: Backend, products: Products, plan: StepPlan) -> None:
        self.backend = backend
        self.plan = plan
        self._products = products
        self.step = step_launcher(backend, products, plan)
        self.graphs: dict[tuple[int, int], CapturedGraph] = {}
        self._held = _what_graphs_hold(plan)
        self.uses_graphs = True
        self.call_by_call = ""
        self._unsaid = False

    def run(
        self, rows: Array, hyperparameters: Mapping[str, Numbers], stop: Stop | None = None
    ) -> Array:
        """See `Runner.run`. The steps are queued when it returns; those of a graph all are."""
        import cupy

        self._say()
        with self.backend.current():
            steps, n = rows.shape
            rows = cupy.ascontiguousarray(rows)
            losses = self.backend.empty((steps,), self.plan.dtype)
            self.step.begin(rows, losses, hyperparameters)
            done = 0
            while done < steps:
                count = min(STEPS, steps - done)
                graph = self._graph(n, count)
                if graph is not None and self._launched(graph, (n, count)):
                    done += count
                else:
                    self.step.launch(n)
                    done += 1
                if stop is not None and stop.requested:
                    break
            return losses[:done]

    def flush(self) -> None:
        """See `Runner.flush`: the kernels work on the plan's own parameters."""
        self._say()

    def reload(self) -> None:
        """See `Runner.reload`: graphs stay, unless something that they hold is another now."""
        held = _what_graphs_hold(self.plan)
        if held != self._held:
            self.graphs.clear()
            with self.backend.current():
                self.step = step_launcher(self.backend, self._products, self.plan)
            self._held = held

    def findings(self) -> tuple[str, ...]:
        """See `Runner.findings`: why it was another course than `course` foretold."""
        found = []
        if not KNOWN.reasons(self.plan.chain):
            reasons = reasons_against(self.plan, self._products)
            if reasons:
                said = ", ".join(reason.sentence for reason in reasons)
                found.append(f"steps were single operations, not fused: {said}")
        if self.call_by_call and own_code(self.plan.chain) is None:
            found.append(f"steps were launched without CUDA graphs: {self.call_by_call}")
        return tuple(found)

    def _graph(self, n: int, count: int) -> CapturedGraph | None:
        """Give the graph of `count` steps of n samples; None where there can be none."""
        if (n, count) in self.graphs:
            return self.graphs[n, count]
        if not self.uses_graphs:
            return None
        obstacle = self.step.obstacle(n)
        if obstacle is None:
            obstacle = self._capture(n, count)
        if obstacle is not None:
            self._give_up(obstacle)
        return self.graphs.get((n, count))

    def _capture(self, n: int, count: int) -> Obstacle | None:
        """Capture steps; nothing runs. Give what stood against it.

        A layer that raises an error of its own will raise it again when it is called directly.
        """
        try:
            self.step.prepare(n)
            self.graphs[n, count] = capture(lambda: self._launch(n, count), self._stream)
        except Exception as error:
            return Obstacle(_words_for(error, self.step))
        return None

    @cached_property
    def _stream(self) -> Any:
        return stream_for_captures()

    def _launch(self, n: int, count: int) -> None:
        for _ in range(count):
            self.step.launch(n)

    def _launched(self, graph: CapturedGraph, key: tuple[int, int]) -> bool:
        """Queue the steps of a graph. A graph that CUDA does not take runs nothing."""
        import cupy

        try:
            graph.launch()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            del self.graphs[key]
            self._give_up(Obstacle(f"a graph could not be launched ({_what(error)}){MORE_MEMORY}"))
            return False
        return True

    def _give_up(self, obstacle: Obstacle) -> None:
        """Remember what stands against graphs; unless that was expected, make no more of them."""
        self.call_by_call = self.call_by_call or obstacle.reason
        if not obstacle.expected:
            self.call_by_call = obstacle.reason
            self.uses_graphs = False
            self._unsaid = True

    def _say(self) -> None:
        """Warn of what stands against graphs.

        Between two calls of `run`: where a warning is an error no steps are lost.
        """
        if self._unsaid:
            self._unsaid = False
            message = CALL_BY_CALL.format(reason=self.call_by_call)
            warn(message, CaptureWarning)


def _what_graphs_hold(plan: StepPlan) -> list[object]:
    """Give what the kernels of a step are launched with, and a callback might change.

    Where arrays lie, not what they hold, and the numbers of layers that take part by their methods.
    Those of all others, the losses and the rule are the plan's, and hyperparameters are read on the
    device.
    """
    chain = plan.chain
    called = [*[block.layer for block in chain.blocks], chain.loss]
    numbers = [each.numbers() for each in called if isinstance(each, LayerCalls)]
    arrays = [(array.data.ptr, array.shape, array.dtype.name) for array in plan.arrays.values()]
    return [numbers, arrays]


def _words_for(error: Exception, step: StepLauncher) -> str:
    """Say what could not be captured, what CUDA or CuPy said to it, and what to do."""
    said = f"{step.doing} could not be captured ({_what(error)})"
    if isinstance(error, MemoryError):
        return said + MORE_MEMORY
    return said


def _what(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(".")


def step_launcher(backend: Backend, products: Products, plan: StepPlan) -> StepLauncher:
    """Choose how a plan's steps run: fused, or op by op if there is a reason against that."""
    if reasons_against(plan, products):
        return OpByOpStep(backend, products, plan)
    return FusedStep(backend, products, plan)


def course(chain: Chain, precision: str) -> Course:
    """Say how a chain runs; see `Backend.explain`."""
    reasons = KNOWN.reasons(chain)
    data: tuple[str, ...] = (CUBLAS,)
    if precision != HIGHEST:
        data += (ROUNDED.format(precision=precision, kind=ROUNDED_TO[precision]),)
    if not reasons:
        return Course("fused", data=data)
    own = own_code(chain)
    return Course("loop", (*reasons, own)) if own else Course("captured loop", reasons, data)
