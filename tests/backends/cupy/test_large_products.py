"""Steps whose products go to cuBLAS: captured as all others are, with the same results."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, AdamW, CaptureWarning, Momentum, Relu, Sequential, fit
from fastnn.backends import arrays
from fastnn.backends.cupy import cublas
from fastnn.backends.cupy.crossing import CUBLAS_KERNELS
from fastnn.backends.cupy.fused import FusedStep
from fastnn.backends.cupy.runner import STEPS, CupyRunner
from fastnn.backends.loop import Loop
from fastnn.backends.plan import StepPlan
from fastnn.training.planner import make_plan
from tests.helpers.cublas_by_kernel import capturable_cublas, need_tf32
from tests.helpers.gpu import BOUNDS, Problem, cupy_backend, simulator

pytestmark = pytest.mark.gpu

SIZES = [24, 40, 33, 5]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A device on which every product is large."""
    backend = cupy_backend()
    with fastnn.use_backend(backend), capturable_cublas():
        monkeypatch.setattr(backend.products, "by_cublas", lambda *_: True)
        yield backend


BOTH = pytest.mark.parametrize("fused", [True, False], ids=["fused", "op by op"])


def plan_of(
    backend: Any, problem: Problem, dtype: str = "float32", make: Any = SGD, *, fused: bool = True
) -> StepPlan:
    """Make the plan of a network, which a ReLU behind the last layer keeps from being fused."""
    network = problem.network(backend, dtype)
    if not fused:
        with fastnn.use_backend(backend):
            network = Sequential([*network.layers.values(), Relu()])
    x = backend.asarray(problem.x, None if "int" in problem.x.dtype.name else dtype)
    t = backend.asarray(problem.t)
    return make_plan(network, x, t, make(0.1), problem.samples, problem.scale)


def runner_of(cuda: Any, *arguments: Any, fused: bool = True) -> CupyRunner:
    runner: CupyRunner = cuda.compile(plan_of(cuda, *arguments, fused=fused))
    assert isinstance(runner.step, FusedStep) == fused
    return runner


def rows_of(cuda: Any, problem: Problem, steps: int) -> Any:
    return cuda.asarray(np.concatenate([problem.rows] * steps)[:steps])


def digest(runner: CupyRunner, losses: Any) -> list[bytes]:
    arrays = [losses, *(runner.plan.arrays[name] for name in sorted(runner.plan.arrays))]
    return [fastnn.to_numpy(array).tobytes() for array in arrays]


def trained(runner: CupyRunner, rows: Any, *, graphs: bool = True) -> list[bytes]:
    """Train on whole batches and on short ones; give the bits that come of it."""
    import cupy

    runner.uses_graphs = graphs
    numbers = {"lr": 0.1, "momentum": 0.9}
    losses = [runner.run(some, numbers) for some in (rows, rows[:, :7], rows[:3])]
    assert len(runner.graphs) == (3 if graphs else 0)
    return digest(runner, cupy.concatenate(losses))


@BOTH
@pytest.mark.parametrize("make", [SGD, Momentum], ids=["SGD", "Momentum"])
def test_replays_and_single_calls_give_the_same_bits(
    cuda: Any, dtype: str, make: Any, fused: bool
) -> None:
    problem = Problem(SIZES, 20, data="uint8", scale=1 / 256)
    rows = rows_of(cuda, problem, 6)
    results = [
        trained(runner_of(cuda, problem, dtype, make, fused=fused), rows, graphs=graphs)
        for graphs in (True, False)
    ]
    assert results[0] == results[1]


@BOTH
def test_results_are_those_of_numpy(cuda: Any, dtype: str, fused: bool) -> None:
    problem = Problem(SIZES, 20)
    numpy = fastnn.backends.selection.load_backend("numpy")
    runner = runner_of(cuda, problem, dtype, fused=fused)
    twin = plan_of(numpy, problem, "float64", fused=fused)
    plan, loop = runner.plan, Loop(numpy, twin)
    rows = rows_of(cuda, problem, 6)
    for some in (rows, rows[:, :7]):
        losses = cuda.to_numpy(runner.run(some, {"lr": 0.1}))
        right = loop.run(cuda.to_numpy(some), {"lr": 0.1})
        np.testing.assert_allclose(losses, right, rtol=20 * BOUNDS[dtype])
    for name in plan.chain.parameters:
        np.testing.assert_allclose(
            cuda.to_numpy(plan.arrays[name]), twin.arrays[name], rtol=0, atol=20 * BOUNDS[dtype]
        )


def test_what_a_step_costs(cuda: Any) -> None:
    """One graph for many steps; nothing copied, allocated or waited for."""
    cupysim = simulator()
    problem = Problem([20, 40, 10], 25, data="uint8")
    runner = runner_of(cuda, problem)
    rows = rows_of(cuda, problem, STEPS)
    runner.run(rows, {"lr": 0.1})
    cuda.synchronize()
    before = cupysim.counters()
    runner.run(rows, {"lr": 0.2})
    waiting = cupysim.counters() - before
    cuda.synchronize()
    spent = cupysim.counters() - before
    assert spent.graph_launches == 1
    assert spent.graph_nodes == CUBLAS_KERNELS * STEPS
    assert spent.launches <= spent.graph_nodes + 1  # `begin`
    assert (spent.h2d, spent.d2h, spent.d2d, waiting.syncs, spent.mallocs) == (0, 0, 0, 0, 0)


def test_parameters_that_do_not_lie_in_order(cuda: Any) -> None:
    problem = Problem(SIZES, 20)
    rows, results = rows_of(cuda, problem, 4), []
    for transposed in (False, True):
        plan = problem.plan(cuda, "float32")
        for name in ("W1", "W2", "W3") if transposed else ():
            plan.arrays[name] = plan.arrays[name].T.copy().T
            assert not plan.arrays[name].flags.c_contiguous
        runner = cuda.compile(plan)
        assert isinstance(runner.step, FusedStep) != transposed
        losses = runner.run(rows, {"lr": 0.1})
        assert runner.graphs
        names = ("W1", "b1", "W2", "b2", "W3", "b3")
        results.append([cuda.to_numpy(losses), *(cuda.to_numpy(plan.arrays[n]) for n in names)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_fit_with_an_adaptive_rule(cuda: Any) -> None:
    """The last batch of an epoch is a short one."""
    problem = Problem(SIZES, 47)
    network = problem.network(cuda, "float64")
    twin = network.copy().to("numpy")
    options: Any = {"epochs": 3, "batch_size": 20, "seed": 1, "progress": False}
    history, right = (
        fit(some, problem.x, problem.t, optimizer=rule, **options)
        for some in (network, twin)
        for rule in [AdamW(0.01, weight_decay=0.1, clip_norm=0.5)]
    )
    np.testing.assert_allclose(history.losses, right.losses, rtol=1e-10)


def test_two_networks_at_once_on_streams_of_their_own(cuda: Any) -> None:
    """Each has its own workspace."""
    import cupy

    problem = Problem(SIZES, 20)
    rows = rows_of(cuda, problem, 4)
    alone = runner_of(cuda, problem)
    expected = digest(alone, cupy.concatenate([alone.run(rows, {"lr": 0.1}) for _ in range(3)]))
    cuda.synchronize()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    runners, losses = [], [[], []]  # type: ignore[var-annotated]
    for stream in streams:
        with stream:
            runners.append(runner_of(cuda, problem))
    for _ in range(3):
        for stream, runner, kept in zip(streams, runners, losses, strict=True):
            with stream:
                kept.append(runner.run(rows, {"lr": 0.1}))
    for stream, runner, kept in zip(streams, runners, losses, strict=True):
        with stream:
            assert runner.graphs
            assert digest(runner, cupy.concatenate(kept)) == expected


def test_two_threads_at_once(cuda: Any) -> None:
    """Each has a handle of its own as long as it sets it up and calls it."""
    problem = Problem(SIZES, 20)
    rows = rows_of(cuda, problem, 4)
    expected = trained(runner_of(cuda, problem), rows)

    def train(_: int) -> list[bytes]:
        import cupy

        with cuda.current(), cupy.cuda.Stream(non_blocking=True):
            results = [trained(runner_of(cuda, problem), rows) for _ in range(3)]
        assert results == 3 * results[:1]
        return results[0]

    cuda.synchronize()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(4))) == 4 * [expected]


def test_a_workspace_belongs_to_its_graph(cuda: Any) -> None:
    import cupy

    problem, pool = Problem(SIZES, 20), cupy.get_default_memory_pool()
    rows = rows_of(cuda, problem, 3)
    used = pool.used_bytes()
    runner = runner_of(cuda, problem)
    without_graph = pool.used_bytes()
    runner.run(rows, {"lr": 0.1})
    assert pool.used_bytes() >= without_graph + cublas.WORKSPACE
    runner.reload()
    del runner
    assert pool.used_bytes() == used


@BOTH
@pytest.mark.parametrize("call", [9, 12])
def test_training_goes_on_where_a_product_is_refused_within_a_capture(
    cuda: Any, call: int, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(SIZES, 20)
    rows = rows_of(cuda, problem, 4)
    expected = trained(runner_of(cuda, problem, fused=fused), rows, graphs=False)
    product, calls = cublas.product, [0]

    def refused_once(*arguments: Any, **options: Any) -> None:
        calls[0] += 1
        if calls[0] == call:
            raise RuntimeError("cuBLAS refuses it: CUBLAS_STATUS_EXECUTION_FAILED")
        product(*arguments, **options)

    runner = runner_of(cuda, problem, fused=fused)
    monkeypatch.setattr(cublas, "product", refused_once)
    losses = [runner.run(rows, {"lr": 0.1})]
    with pytest.warns(
        CaptureWarning, match="affine.* could not be captured .*EXEC|product of cuBLAS.*EXEC"
    ):
        runner.flush()
    assert not runner.graphs
    losses += [runner.run(some, {"lr": 0.1}) for some in (rows[:, :7], rows[:3])]
    import cupy

    assert digest(runner, cupy.concatenate(losses)) == expected


def test_memory_is_refused_within_a_capture(cuda: Any) -> None:
    """Whichever allocation it is, from that of the workspace on."""
    import cupy

    problem = Problem(SIZES, 20)
    rows = rows_of(cuda, problem, 3)
    right = runner_of(cuda, problem)
    expected = digest(right, right.run(rows, {"lr": 0.1}))
    allocator, refusals = cupy.cuda.get_allocator(), 0
    for refused in range(1, 200):
        asked = [0]

        def lend(size: int, refused: int = refused, asked: list[int] = asked) -> Any:
            asked[0] += cupy.cuda.get_current_stream().ptr == 0
            if asked[0] == refused:
                raise cupy.cuda.memory.OutOfMemoryError(size, 0)
            return allocator(size)

        runner = runner_of(cuda, problem)
        with cupy.cuda.using_allocator(lend):
            try:
                losses = runner.run(rows, {"lr": 0.1})
            except MemoryError:  # before a step was taken: nothing has changed
                losses = runner.run(rows, {"lr": 0.1})
        if not runner.graphs:
            refusals += 1
            with pytest.warns(CaptureWarning, match="Take a smaller batch"):
                runner.flush()
        assert digest(runner, losses) == expected
        if asked[0] < refused:
            break
    assert refusals >= 3


def test_a_cublas_that_cannot_be_called_is_a_warning(
    cuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise RuntimeError("there is no cuBLAS")

    problem = Problem(SIZES, 20)
    rows = rows_of(cuda, problem, 3)
    right = runner_of(cuda, problem).run(rows, {"lr": 0.1})
    monkeypatch.setattr(cublas, "library", missing)
    runner = cuda.compile(plan_of(cuda, problem))
    losses = runner.run(rows, {"lr": 0.1})
    with pytest.warns(CaptureWarning, match=r"20 samples by .24, 40. .*there is no cuBLAS"):
        runner.flush()
    np.testing.assert_allclose(cuda.to_numpy(losses), cuda.to_numpy(right), rtol=1e-5)


def test_explain_tells_that_a_large_step_was_not_fused(cuda: Any) -> None:
    x, t = np.ones((8, 6), "float32"), np.arange(8) % 4
    for activation, fused in (("relu", True), ("tanh", False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cuda.products, "by_cublas", lambda *_: True)
            network = fastnn.MultiLayerNet(6, [5], 4, activation, seed=0)
            fastnn.fit(network, x, t, epochs=1, batch_size=4, seed=0, progress=False)
        said = str(fastnn.explain(network))
        assert ("single operations, not fused: the fused step with products" in said) != fused


# Precision


def test_high_precision_is_of_backends_that_name_it(cuda: Any) -> None:
    need_tf32(cuda)
    high = fastnn.set_backend("cupy", precision="high", strict=True)
    try:
        assert high is not cuda
        assert high is fastnn.set_backend("cupy:high") is fastnn.set_backend("cupy:0:high")
        assert repr(high) == f"<fastnn backend cupy on device {high.device.id}, precision high>"
        network = fastnn.TwoLayerNet(6, 5, 4)
        assert network.backend is high
        assert pickle.loads(pickle.dumps(network)).backend is high
        assert "TF32" in str(fastnn.explain(network))
        medium = network.to("cupy:medium")
        assert "bfloat16" in str(fastnn.explain(medium))
        assert repr(medium.backend).endswith("precision medium>")
        assert fastnn.set_backend("cupy", precision="highest") is cuda
        assert "TF32" not in str(fastnn.explain(network.to("cupy")))
        with pytest.raises(ValueError, match="has a precision already"):
            fastnn.set_backend("cupy:high", precision="high")
        with pytest.raises(ValueError, match="has a precision already"):
            fastnn.set_backend(high, precision="high")
    finally:
        fastnn.set_backend(cuda)


def test_high_precision_rounds_products_and_nothing_else(cuda: Any, dtype: str) -> None:
    """Graphs too; a step is as far from NumPy as TF32 is, and in float64 not at all."""
    problem, numpy = Problem(SIZES, 20), fastnn.backends.selection.load_backend("numpy")
    need_tf32(cuda)
    high = fastnn.backends.selection.load_backend("cupy:high")
    losses = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(high.products, "by_cublas", lambda *_: True)  # type: ignore[attr-defined]
        for name, backend in (("highest", cuda), ("high", high), ("numpy", numpy)):
            plan = problem.plan(backend, "float64" if name == "numpy" else dtype)
            runner = backend.compile(plan) or Loop(backend, plan)
            rows = backend.asarray(problem.rows)
            losses[name] = backend.to_numpy(runner.run(rows, {"lr": 0.1}))
    off = {name: np.max(np.abs(losses[name] / losses["numpy"] - 1)) for name in losses}
    assert off["highest"] <= 20 * BOUNDS[dtype]
    assert off["high"] <= 2**-9
    assert (off["high"] == off["highest"]) == (dtype == "float64")


def test_devices_and_libraries_without_tf32(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, words in (("75", r"device 0 has 7\.5"), ("90", "no cuBLAS")):
        if capability == "90":
            monkeypatch.setattr(cublas, "problem", lambda: "there is no cuBLAS")
        device = SimpleNamespace(compute_capability=capability, id=0)
        assert cublas.problem_with("highest", device) == ""
        problem = cublas.problem_with("high", device)
        assert re.search(words, problem)
    for name in [name for name in arrays.loaded if name.endswith(":high")]:
        monkeypatch.delitem(arrays.loaded, name)
    with pytest.raises(fastnn.BackendUnavailableError, match="cannot be had"):
        fastnn.set_backend("cupy", precision="high", strict=True)
    with pytest.warns(fastnn.BackendFallbackWarning, match="precision='highest' of the cupy"):
        assert fastnn.set_backend("cupy", precision="high") is cuda


def test_a_layer_of_ones_own_is_called(cuda: Any) -> None:
    class Own:
        def forward(self, x: Any) -> Any:
            return 1 * x

        def backward(self, dout: Any) -> Any:
            return 1 * dout

    problem = Problem(SIZES, 20)
    network = Sequential([*problem.network(cuda, "float32").layers.values(), Own()])
    x, t = cuda.asarray(problem.x, "float32"), cuda.asarray(problem.t)
    runner = cuda.compile(make_plan(network, x, t, SGD(0.1), 20))
    rows = rows_of(cuda, problem, 3)
    plain = runner_of(cuda, problem)
    expected = plain.run(rows, {"lr": 0.1})
    np.testing.assert_allclose(
        cuda.to_numpy(runner.run(rows, {"lr": 0.1})), cuda.to_numpy(expected), rtol=1e-6
    )
    runner.flush()
    assert not runner.graphs
    assert runner.call_by_call == "Own is a layer of your own"
