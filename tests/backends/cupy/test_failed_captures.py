"""A capture fails, wherever it may: training goes on to the same bits, and says why it is slow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fastnn.kernels.cuda import loading

import fastnn
from fastnn import (
    SGD,
    Adam,
    AdamW,
    BatchNormalization,
    CaptureWarning,
    Dropout,
    Relu,
    Sequential,
    fit,
)  # fmt: skip
from fastnn.backends.cupy import cublas, streaming
from fastnn.backends.cupy.fused import FusedStep
from fastnn.backends.cupy.graph import CapturedGraph
from fastnn.backends.cupy.runner import CupyRunner
from fastnn.training.planner import make_plan
from tests.helpers.cublas_by_kernel import capturable_cublas
from tests.helpers.gpu import Problem, cupy_backend, run_script, runner_of, simulator

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda() -> Iterator[Any]:
    with fastnn.use_backend(cupy_backend()) as backend, capturable_cublas():
        yield backend


def state(runner: CupyRunner, losses: Any) -> list[bytes]:
    """All that a training leaves: losses, parameters, and what rule and layers keep."""
    arrays = [array for name, array in runner.plan.arrays.items() if not name.endswith("_data")]
    return [fastnn.to_numpy(array).tobytes() for array in (losses, *arrays)]


def without_graphs(cuda: Any, problem: Problem, rows: Any, *more: Any) -> list[bytes]:
    runner = runner_of(cuda, problem, *more)
    runner.uses_graphs = False
    losses = runner.run(rows, {"lr": 0.1})
    assert not runner.graphs
    return state(runner, losses)


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Tells whether a capture is under way, and in the end that none is."""
    import cupy

    begin, end = cupy.cuda.Stream.begin_capture, cupy.cuda.Stream.end_capture
    now = [False]

    def begun(stream: Any, *arguments: Any) -> None:
        begin(stream, *arguments)
        now[0] = True

    def ended(stream: Any) -> Any:
        now[0] = False
        return end(stream)

    monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", begun)
    monkeypatch.setattr(cupy.cuda.Stream, "end_capture", ended)
    yield now
    assert not now[0]
    cupy.cuda.Device().synchronize()


def check_that_training_goes_on(
    runner: CupyRunner, rows: Any, expected: list[bytes], reason: str
) -> None:
    losses = runner.run(rows, {"lr": 0.1})
    with pytest.warns(CaptureWarning, match=reason) as warned:
        runner.flush()
    assert str(runner.call_by_call) in str(warned[0].message)
    assert not runner.graphs
    assert state(runner, losses) == expected
    runner.run(rows[:2], {"lr": 0.1})  # said once
    runner.flush()
    assert not runner.graphs


def refuse(*_: Any, **__: Any) -> None:
    import cupy

    raise cupy.cuda.runtime.CUDARuntimeError(2)  # cudaErrorMemoryAllocation


@pytest.mark.parametrize("more", [(), (Relu,)], ids=["fused", "op by op"])
@pytest.mark.parametrize("point", ["begin_capture", "end_capture", "instantiate", "launch"])
def test_cuda_refuses(
    cuda: Any, numbers: Any, more: Any, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cupy

    problem, rows = numbers
    layers = [layer() for layer in more]
    expected = without_graphs(cuda, problem, rows, *layers)
    end = cupy.cuda.Stream.end_capture

    def ended_but_not_instantiated(stream: Any) -> None:
        end(stream)
        refuse()

    runner = runner_of(cuda, problem, *layers)
    with monkeypatch.context() as patch:
        if point == "launch":
            patch.setattr(CapturedGraph, "launch", refuse)
        elif point == "instantiate":
            patch.setattr(cupy.cuda.Stream, "end_capture", ended_but_not_instantiated)
        else:
            patch.setattr(cupy.cuda.Stream, point, refuse)
        check_that_training_goes_on(runner, rows, expected, "cudaErrorMemoryAllocation: ")

    # It was no fault of the stream: whoever comes next is served.
    again = runner_of(cuda, problem, *layers)
    assert state(again, again.run(rows, {"lr": 0.1})) == expected
    assert list(again.graphs) == [(20, 7)]


class Faults:
    """Refuses the operation of a number, counted in captures alone.

    Operations are launches of fastnn's kernels, primitives, and allocations.
    """

    def __init__(self, capturing: list[bool]) -> None:
        self._capturing = capturing
        self.at = self.seen = 0
        self.kinds: set[str] = set()

    def before(self, kind: str) -> None:
        """Count one, and refuse it if it is the one."""
        import cupy

        if not self._capturing[0]:
            return
        self.kinds.add(kind)
        self.seen += 1
        if self.seen == self.at:
            errors = (
                cupy.cuda.runtime.CUDARuntimeError(2),
                cupy.cuda.memory.OutOfMemoryError(512, 0),
                cupy.cuda.driver.CUDADriverError(719),
            )
            raise errors[self.at % 3]

    def counted(self, kind: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Give what counts the calls of `work`."""

        def call(*arguments: Any, **options: Any) -> Any:
            self.before(kind)
            return work(*arguments, **options)

        return call


@pytest.fixture
def faults(cuda: Any, capturing: list[bool], monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    import cupy

    found = Faults(capturing)
    compiled = loading._compiled
    monkeypatch.setattr(
        loading, "_compiled", lambda *which: found.counted("kernel", compiled(*which))
    )
    monkeypatch.setattr(cublas, "product", found.counted("product", cublas.product))
    plan = plan_of(cuda, Problem([12, 9, 4], 20), with_everything, Adam())
    for name in {step.primitive for step in plan.steps if step.call is None}:
        monkeypatch.setattr(cuda, name, found.counted("primitive", getattr(cuda, name)))
    with cupy.cuda.using_allocator(found.counted("memory", cupy.cuda.get_allocator())):
        yield found


def as_it_is(first: Any, relu: Any, last: Any) -> list[Any]:
    return [first, relu, last]


def with_a_relu(*layers: Any) -> list[Any]:
    return [*layers, Relu()]


def with_everything(first: Any, relu: Any, last: Any) -> list[Any]:
    """With layers that keep something, and one that takes part by its methods."""
    ones, zeros = (first.backend.asarray(a.astype("float32")) for a in (np.ones(9), np.zeros(9)))
    normalised = [first, BatchNormalization(ones, zeros), relu]
    return [*normalised, Dropout(0.25, seed=1), last, Relu()]


def plan_of(cuda: Any, problem: Problem, layers: Any, optimizer: Any) -> Any:
    network = Sequential(layers(*problem.network(cuda, "float32").layers.values()))
    x, t = cuda.asarray(problem.x), cuda.asarray(problem.t)
    return make_plan(network, x, t, optimizer, problem.samples)


OP_BY_OP = {"kernel", "primitive", "memory"}
PATHS: dict[str, tuple[Any, Any, set[str], int]] = {
    "fused": (as_it_is, SGD(0.1), {"kernel"}, 6),
    "fused, with state": (
        as_it_is, AdamW(0.01, weight_decay=0.1, clip_norm=1.0), {"kernel"}, 6,
    ),
    "op by op": (with_everything, Adam(0.01), OP_BY_OP, 60),
    "cuBLAS": (as_it_is, SGD(0.1), {"kernel", "product", "memory"}, 22),
    "cuBLAS, op by op": (with_a_relu, SGD(0.1), {*OP_BY_OP, "product"}, 20),
}  # fmt: skip
"""Layers, the optimizer, which operations a capture has, and how many of two steps at least."""


@pytest.mark.parametrize("path", PATHS)
def test_whichever_operation_is_refused(
    cuda: Any, numbers: Any, faults: Faults, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, rows = numbers
    layers, optimizer, kinds, least = PATHS[path]
    if path.startswith("cuBLAS"):
        monkeypatch.setattr(cuda.products, "by_cublas", lambda *_: True)
    given = optimizer.hyperparameters_of_steps(1)
    numbers_now = {name: np.ravel(given[name])[0] for name in given}

    def runner() -> CupyRunner:
        one: CupyRunner = cuda.compile(plan_of(cuda, problem, layers, optimizer))
        return one

    def trained(one: CupyRunner) -> list[list[bytes]]:
        return [state(one, one.run(some, numbers_now)) for some in (rows[:2], rows[2:3], rows[:2])]

    slow = runner()
    slow.uses_graphs = False
    expected = trained(slow)
    for faults.at in itertools.count(1):
        faults.seen, one = 0, runner()
        losses = one.run(rows[:2], numbers_now)
        if one.graphs:
            break
        advice = ".*Take a smaller batch, or free memory" if faults.at % 3 == 1 else ""
        with pytest.warns(CaptureWarning, match=rf"could not be captured \((CUDA|OutOf){advice}"):
            one.flush()
        assert state(one, losses) == expected[0], faults.at
        later = [state(one, one.run(some, numbers_now)) for some in (rows[2:3], rows[:2])]
        assert later == expected[1:], faults.at
        assert not one.graphs
    assert faults.seen == faults.at - 1 >= least
    assert faults.kinds == kinds
    faults.at = 0
    assert trained(runner()) == expected


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fused", [True, False])
def test_fit_goes_on_and_explain_tells_why(
    cuda: Any, faults: Faults, fused: bool, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cupy

    problem = Problem([12, 9, 4], 157)
    monkeypatch.setattr(type(cuda), "holds", lambda *_: not streamed)
    monkeypatch.setattr(streaming, "CHUNK_BYTES", 40 * 13 * 4)

    def trained() -> tuple[Sequential, list[Any]]:
        layers = list(problem.network(cuda, "float32").layers.values())
        network = Sequential(layers if fused else [*layers, Relu()])
        history = fit(
            network, problem.x, problem.t, epochs=3, batch_size=10, optimizer=SGD(0.1), seed=3,
            progress=False,
        )  # fmt: skip
        return network, [
            history.losses,
            *[p.tobytes() for p in map(fastnn.to_numpy, network.params.values())],
        ]

    network, expected = trained()
    assert "in the last fit" not in str(fastnn.explain(network))
    assert faults.seen > 0
    stream, end = cupy.cuda.Stream, cupy.cuda.Stream.end_capture

    def not_instantiated(one: Any) -> None:
        end(one)
        refuse()

    launch, launches = CapturedGraph.launch, itertools.count(1)

    def at_the_third(graph: CapturedGraph) -> None:
        refuse() if next(launches) == 3 else launch(graph)

    points: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
        "begin": lambda patch: patch.setattr(stream, "begin_capture", refuse),
        "end": lambda patch: patch.setattr(stream, "end_capture", refuse),
        "instantiate": lambda patch: patch.setattr(stream, "end_capture", not_instantiated),
        "launch": lambda patch: patch.setattr(CapturedGraph, "launch", refuse),
        "a later launch": lambda patch: patch.setattr(CapturedGraph, "launch", at_the_third),
        "the first operation": lambda _: setattr(faults, "at", 1),
        "the tenth": lambda _: setattr(faults, "at", 10),
    }
    for point, refuses in points.items():
        faults.at = faults.seen = 0
        with monkeypatch.context() as patch:
            refuses(patch)
            with pytest.warns(CaptureWarning) as warned:
                network, found = trained()
        assert found == expected, point
        (message,) = [str(each.message) for each in warned]
        told = str(fastnn.explain(network)).splitlines()[-1]
        assert told.startswith("in the last fit steps were launched without CUDA graphs: "), point
        assert told.partition("graphs: ")[2] in message
        assert any(word in told for word in ("captured (", "launched (")), point
        assert "in the last fit" not in str(fastnn.explain(network.copy()))
    faults.at = 0
    fit(network, problem.x, problem.t, batch_size=10, progress=False)
    assert "in the last fit" not in str(fastnn.explain(network))


def test_the_same_where_work_is_run_late() -> None:
    simulator()
    tests = ["-q", "-x", "-m", "gpu", "-p", "no:cacheprovider", "-k", "not run_late", __file__]
    script = f"import sys, pytest; sys.exit(pytest.main({tests!r}))"
    assert " passed" in run_script(script, CUPYSIM_LAZY="1")


class Own:
    """A layer of the user's own that passes on what it gets."""

    def forward(self, x: Any) -> Any:
        return self.work(1 * x)

    def backward(self, dout: Any) -> Any:
        return 1 * dout

    def work(self, x: Any) -> Any:
        return x


def test_an_interruption_within_a_capture_leaves_a_runner_that_works(
    cuda: Any, numbers: Any, capturing: list[bool]
) -> None:
    problem, rows = numbers
    runner = runner_of(cuda, problem)
    step, calls = runner.step, []
    assert isinstance(step, FusedStep)
    last = step.launches[-1]

    def interrupted(*, N: int) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        last(N=N)

    step.launches[-1] = interrupted
    with pytest.raises(KeyboardInterrupt):
        runner.run(rows, {"lr": 0.1})
    assert not capturing[0]
    assert state(runner, runner.run(rows, {"lr": 0.1})) == without_graphs(cuda, problem, rows)
    assert list(runner.graphs) == [(20, 7)]


def test_what_is_launched_call_by_call_on_purpose_says_so_when_asked(
    cuda: Any, numbers: Any
) -> None:
    """Without a warning, as it is documented."""
    problem, rows = numbers

    runner = runner_of(cuda, problem, Own())
    runner.run(rows, {"lr": 0.1})
    runner.flush()
    assert runner.call_by_call == "Own is a layer of your own"

    runner = runner_of(cuda, problem)
    runner.run(rows, {"lr": 0.1})
    runner.flush()
    assert runner.call_by_call == ""
