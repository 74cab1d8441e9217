"""Training on a GPU: how few kernels it launches, and that graphs change nothing but the speed.

The counts come from the simulated device; the rest also holds on a real one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Relu, Sequential, TwoLayerNet, fit
from fastnn.backends.cupy import runner as cupy_runner
from fastnn.backends.cupy.op_by_op import OpByOpStep
from fastnn.backends.cupy.runner import STEPS, CupyRunner
from fastnn.backends.loop import Loop
from tests.helpers.gpu import (
    Problem,
    check_errors_of_a_step,
    prints_the_same_in_any_order,
    simulator,
)
from tests.helpers.problems import affine_of

pytestmark = pytest.mark.gpu


def rows_of(cuda: Any, problem: Problem, steps: int, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    batches = [generator.permutation(problem.samples + 3)[: problem.samples] for _ in range(steps)]
    return cuda.asarray(np.stack(batches))


# What a step costs


@pytest.mark.parametrize(
    ("sizes", "kernels"),
    [
        ([784, 50, 10], 3),
        ([784, 10], 3),
        ([64, 40, 30, 10], 5),
        ([64, 40, 30, 20, 10], 7),
        ([30, 200, 300], 5),
        ([30, 40, 200, 300], 7),
    ],
    ids=str,
)
def test_kernels_of_a_step(cuda: Any, sizes: list[int], kernels: int) -> None:
    cupysim = simulator()
    problem = Problem(sizes, 20)
    runner = cuda.compile(problem.plan(cuda, "float32"))
    rows = rows_of(cuda, problem, STEPS)
    runner.run(rows, {"lr": 0.1})
    before = cupysim.counters()
    runner.run(rows, {"lr": 0.2})
    spent = cupysim.counters() - before
    assert spent.graph_launches == 1
    assert spent.graph_nodes == kernels * STEPS <= (2 * (len(sizes) - 1) + 1) * STEPS
    assert spent.launches == spent.graph_nodes + 1  # `begin`
    assert (spent.h2d, spent.d2h, spent.d2d, spent.syncs, spent.mallocs) == (0, 0, 0, 0, 0)


@pytest.mark.filterwarnings("ignore:inputs x lie:fastnn.TrainingWarning")  # at a rate that suits
def test_fit_in_its_steady_state(cuda: Any, mnist: Any) -> None:
    """What one more epoch of 40 steps and a shorter one costs."""
    cupysim = simulator()
    (x, t), _ = mnist
    x, t = (255 * x[:4050]).astype("uint8"), t[:4050]
    spent = []
    for epochs in (1, 1, 2):
        network = TwoLayerNet(784, 50, 10, seed=1)
        before = cupysim.counters()
        history = fit(network, x, t, epochs=epochs, seed=1, progress=False, optimizer=SGD(1e-5))
        spent.append(cupysim.counters() - before)
        assert len(history.losses) == 41 * epochs
    more = spent[2] - spent[1]
    flushes = 1 + history.epoch_seconds[1] / 0.1
    assert more.graph_nodes == 3 * 41
    assert more.graph_launches == 3  # of 32 steps, of 8, and the short batch
    assert more.launches <= more.graph_nodes + 3 + 2 * flushes
    assert more.mallocs == 0
    assert more.h2d == 1  # the permutation
    assert more.d2h <= flushes
    assert more.syncs <= flushes


# Large batches


@pytest.mark.parametrize(
    ("batch", "data", "lr"),
    [(20_000, "float32", 1.0), (20_000, "float32", 1e-6), (60_000, "uint8", 1.0)],
)
def test_large_batches_are_summed_as_exactly_as_numpy_sums_them(
    cuda: Any, batch: int, data: str, lr: float
) -> None:
    """Here in the fused step; batches to 2,500 are in ``tests/kernels/cuda/test_kernels.py``."""
    check_errors_of_a_step(cuda, Problem([12, 8, 4], batch, data=data), lr)


@pytest.mark.parametrize("batch", [1000, 20_000])
def test_large_batches_call_by_call(cuda: Any, batch: int) -> None:
    """The primitives that sum over samples: ours for small products, and CuPy's."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (batch, 12)).astype("float32")
    dout = (generator.random((batch, 8)) - 0.5).astype("float32") / np.float32(batch)
    losses = 3 * generator.random(batch).astype("float32")
    W = np.ones((12, 8), "float32")
    numpy = fastnn.backends.selection.load_backend("numpy")

    def sums(backend: Any, dtype: str) -> list[Any]:
        arrays = [backend.asarray(array, dtype) for array in (dout, x, W)]
        _, *gradients = backend.affine_backward(*arrays, input_gradient=False)
        results = [*gradients, backend.mean(backend.asarray(losses, dtype))]
        return [backend.to_numpy(result).astype("float64") for result in results]

    exact = sums(numpy, "float64")
    for ours, others, right in zip(
        sums(cuda, "float32"), sums(numpy, "float32"), exact, strict=True
    ):
        scale = np.max(np.abs(right))
        error, allowed = (np.max(np.abs(some - right)) / scale for some in (ours, others))
        assert error <= 4 * max(allowed, np.finfo("float32").eps)


# Graphs


def has_graphs(runner: CupyRunner) -> bool:
    return bool(runner.graphs)


def digest(arrays: Any) -> list[bytes]:
    return [fastnn.to_numpy(array).tobytes() for array in arrays]


@pytest.mark.parametrize("sizes", [[784, 50, 10], [40, 30, 20, 10], [20, 150, 300]], ids=str)
def test_replays_and_single_launches_give_the_same_bits(
    cuda: Any, dtype: str, sizes: list[int]
) -> None:
    problem = Problem(sizes, 33)
    results = []
    for graphs in (True, False):
        plan = problem.plan(cuda, dtype)
        runner = cuda.compile(plan)
        runner.uses_graphs = graphs
        losses = runner.run(rows_of(cuda, problem, STEPS + 5), {"lr": 0.1})
        assert has_graphs(runner) == graphs
        results.append(digest([losses, *(plan.arrays[name] for name in sorted(plan.arrays))]))
    assert results[0] == results[1]


def test_the_learning_rate_is_read_from_the_device(cuda: Any) -> None:
    problem = Problem([12, 9, 4], 8)
    rates = [0.5, 0.1, 0.0, 0.25]
    plan = problem.plan(cuda, "float64")
    runner = cuda.compile(plan)
    numpy = fastnn.backends.selection.load_backend("numpy")
    twin = problem.plan(numpy, "float64")
    loop = Loop(numpy, twin)
    for i, rate in enumerate(rates):
        rows = rows_of(cuda, problem, 3, seed=i)
        runner.run(rows, {"lr": rate})
        loop.run(cuda.to_numpy(rows), {"lr": rate})
    assert len(runner.graphs) == 1
    for name in ("W1", "b1", "W2", "b2"):
        np.testing.assert_allclose(
            cuda.to_numpy(plan.arrays[name]), twin.arrays[name], rtol=0, atol=1e-12
        )


SAME_BITS = """
    import hashlib, numpy as np, fastnn, cupysim
    from tests.helpers.gpu import Problem
    from fastnn.backends.cupy.runner import CupyRunner
    backend = fastnn.set_backend("cupy", strict=True)
    digest = hashlib.sha256()
    for sizes, data in [
        ([100, 50, 10], "uint8"), ([30, 40, 9, 10], "float32"), ([9, 70, 300], "float32"),
    ]:
        for dtype in ("float32", "float64"):
            problem = Problem(sizes, 37, data=data)
            plan = problem.plan(backend, dtype)
            runner = backend.compile(plan)
            losses = runner.run(backend.asarray(np.concatenate([problem.rows] * 2)), {"lr": 0.1})
            for name in sorted(plan.arrays):
                digest.update(fastnn.to_numpy(plan.arrays[name]).tobytes())
            digest.update(fastnn.to_numpy(losses).tobytes())
    problem = Problem([20, 9, 4], 37)
    network = problem.network(backend, "float32")
    network = fastnn.Sequential([*network.layers.values(), fastnn.Relu()])  # not fused
    history = fastnn.fit(network, problem.x, problem.t, batch_size=9, seed=0, progress=False)
    digest.update(np.asarray(history.losses).tobytes())
    assert network.accuracy(problem.x, problem.t) >= 0
    for name in network.params:
        digest.update(fastnn.to_numpy(network.params[name]).tobytes())
    assert cupysim.counters().faults == cupysim.counters().races == 0
    print(digest.hexdigest())
"""


def test_the_same_bits_in_any_order_without_races() -> None:
    prints_the_same_in_any_order(SAME_BITS)


# Any network


class Scale:
    """A layer of the user's own, with a parameter."""

    parameters = ("s",)

    def __init__(self, width: int) -> None:
        self.s = np.linspace(0.5, 1.5, width)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.s

    def backward(self, dout: Any) -> Any:
        self.ds = (dout * self.x).sum(axis=0)
        return dout * self.s


class Counting(Scale):
    """One that does something else at each call, in Python."""

    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return super().forward(x) * (1 + self.calls % 3)


class Centring(Scale):
    """One that carries an array from step to step, as batch normalisation does."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.mean = 0 * self.s

    def forward(self, x: Any) -> Any:
        if self.mean.dtype != x.dtype or type(self.mean) is not type(x):
            self.mean = 0 * x[0]
        self.mean = 0.75 * self.mean + 0.25 * x.mean(axis=0)
        return super().forward(x - self.mean)


class Caching(Scale):
    """One that keeps an array where it is not looked for."""

    def forward(self, x: Any) -> Any:
        self.cache = [x]
        return super().forward(x)


class Reading(Scale):
    """One that looks at its numbers on the host, which no capture allows."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) * (1.0 if float(x.sum()) > 0 else 2.0)


class Modal(Scale):
    """One that does something else in training."""

    def forward(self, x: Any, train_flg: bool = False) -> Any:
        return super().forward(x) + (1.0 if train_flg else 0.0)


class Silent(Scale):
    """One that counts its calls where nothing sees it, as well as any other."""

    calls = 0

    def __init__(self, width: int) -> None:
        super().__init__(width)
        Silent.calls = 0

    def forward(self, x: Any) -> Any:
        Silent.calls += 1
        return super().forward(x) * (1 + Silent.calls % 3)


def zoo(layer: Any) -> list[Any]:
    generator = np.random.default_rng(5)
    W = [generator.standard_normal(shape) / 3 for shape in ((12, 9), (9, 7), (7, 4))]
    first, second, third = (affine_of(one, np.zeros(one.shape[1])) for one in W)
    return [first, Relu(), layer, second, Relu(), third]


def train(layers: list[Any], backend: Any) -> tuple[Any, Any]:
    problem = Problem([12, 4], 10)
    with fastnn.use_backend(backend):
        network = Sequential(layers)
    x, t = np.tile(problem.x, (9, 1))[:115], np.tile(problem.t, 9)[:115]
    history = fit(
        network, x, t, epochs=3, batch_size=10, optimizer=SGD(0.1), seed=2, progress=False
    )
    return network, history


@pytest.mark.parametrize("layer", [Scale, Centring, Modal, Counting, Caching, Reading, Silent])
def test_layers_of_the_users_own(cuda: Any, layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are called at each step, whatever they do in Python, and nobody is warned."""
    runners: list[CupyRunner] = []
    compiled = CupyRunner.__init__

    def remember(self: CupyRunner, *arguments: Any) -> None:
        compiled(self, *arguments)
        runners.append(self)

    monkeypatch.setattr(CupyRunner, "__init__", remember)
    with fastnn.use_backend("numpy"):
        expected, right = train(zoo(layer(9)), fastnn.get_backend())
    found, history = train(zoo(layer(9)), cuda)
    assert isinstance(runners[0].step, OpByOpStep)
    assert not has_graphs(runners[0])
    assert runners[0].call_by_call == f"{layer.__name__} is a layer of your own"
    np.testing.assert_allclose(history.losses, right.losses, rtol=1e-10)
    for name in expected.params:
        difference = fastnn.to_numpy(found.params[name]) - expected.params[name]
        assert np.max(np.abs(difference)) < 1e-12
    if layer is Centring:
        means = [network.layers["Centring1"].mean for network in (found, expected)]
        np.testing.assert_allclose(fastnn.to_numpy(means[0]), means[1], rtol=0, atol=1e-12)


def test_what_a_callback_saw_of_a_layer_stays(cuda: Any) -> None:
    layers = zoo(Centring(9))
    with fastnn.use_backend(cuda):
        network = Sequential(layers)
    problem = Problem([12, 4], 40)
    seen: list[tuple[Any, Any]] = []

    def record(network: Sequential, _: Any) -> None:
        mean = network.layers["Centring1"].mean
        seen.append((mean, cuda.to_numpy(mean)))

    fit(
        network, problem.x, problem.t, epochs=4, batch_size=5, seed=1, callbacks=[record],
        progress=False,
    )  # fmt: skip
    assert len(seen) == 4
    for mean, then in seen:
        np.testing.assert_array_equal(cuda.to_numpy(mean), then)
    assert not np.array_equal(seen[0][1], seen[-1][1])


def test_a_relu_behind_the_last_affine_is_captured(cuda: Any) -> None:
    problem = Problem([12, 9, 4], 10)
    network = problem.network(cuda, "float64")
    network = Sequential([*network.layers.values(), Relu()])
    twin = network.copy().to("numpy")
    options: Any = {"epochs": 4, "batch_size": 5, "seed": 1, "progress": False}
    history = fit(network, problem.x, problem.t, **options)
    right = fit(twin, problem.x, problem.t, **options)
    np.testing.assert_allclose(history.losses, right.losses, rtol=1e-10)


def test_the_crossing_decides(cuda: Any) -> None:
    limit = cuda.products.crossing.float32
    assert not cuda.products.by_cublas(limit, "float32")
    assert cuda.products.by_cublas(limit + 1, "float32")
    for N, D, M in [(100, 784, 50), (1, 1, 1), (512, 33, 65), (7, 100000, 3)]:
        splits, depth = cuda.products.slices(N, D, M)
        assert (splits - 1) * depth < D <= splits * depth
        assert depth % 32 == 0


def test_a_user_s_stream_is_honoured(cuda: Any) -> None:
    import cupy

    problem = Problem([40, 20, 10], 20)
    expected = cuda.compile(problem.plan(cuda, "float64")).run(
        rows_of(cuda, problem, 3), {"lr": 0.1}
    )
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        plan = problem.plan(cuda, "float64")
        for name in ("W1", "W2"):
            plan.arrays[name] *= 2
            plan.arrays[name] /= 2
        losses = cuda.compile(plan).run(rows_of(cuda, problem, 3), {"lr": 0.1})
        twice = 2 * losses
    stream.synchronize()
    np.testing.assert_array_equal(twice.get(stream=stream), 2 * cuda.to_numpy(expected))


def test_a_graph_is_kept_for_each_length(cuda: Any) -> None:
    problem = Problem([40, 20, 10], 20)
    runner = cuda.compile(problem.plan(cuda, "float32"))
    for steps in (STEPS, 2 * STEPS + 5, 5, STEPS + 5):
        assert runner.run(rows_of(cuda, problem, steps), {"lr": 0.1}).shape == (steps,)
    assert set(runner.graphs) == {(20, STEPS), (20, 5)}
    assert cupy_runner.STEPS >= 16
