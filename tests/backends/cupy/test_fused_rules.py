"""Update rules, weight decay, penalties and clipping in the fused step, beside NumPy in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.backends.cupy.fused import FusedStep
from fastnn.backends.cupy.runner import STEPS
from fastnn.training.planner import make_plan
from tests.helpers.gpu import BOUNDS, Problem, cupy_backend, prints_the_same_in_any_order, simulator
from tests.helpers.problems import relative_error
from tests.helpers.trained_by_rules import OPTIMIZERS, trained

pytestmark = pytest.mark.gpu

SHAPES = [((30, 70, 20, 3), 7), ((33, 3), 1), ((9, 65, 300), 40), ((30, 20, 4), 600)]
"""Of two and more layers and one, a last layer too wide for `head`; odd batches, of one sample."""

DECAYS: list[dict[str, Any]] = [{}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "decay_all": True}]
EVERY = [fastnn.SGD, *OPTIMIZERS, fastnn.AdamW]


@pytest.fixture(autouse=True)
def _cuda() -> None:
    cupy_backend()


def check(optimizer: Any, penalty: float, dtype: str, sizes: tuple[int, ...], batch: int) -> None:
    """Hold float64 to its bound, and float32 to the loop's distance from float64."""
    arguments = (sizes, 0.5)
    right, right_losses, _ = trained("numpy", optimizer, *arguments, "float64", batch, penalty)
    found, losses, runner = trained("cupy", optimizer, *arguments, dtype, batch, penalty)
    assert isinstance(runner.step, FusedStep)
    loop, bound = right, BOUNDS[dtype]
    if dtype == "float32":
        loop = trained("numpy", optimizer, *arguments, dtype, batch, penalty)[0]
    assert relative_error(losses, right_losses) <= 4 * bound
    for name, array in right.items():
        error = relative_error(loop[name], array)
        assert relative_error(found[name], array) <= 4 * error + bound, name


def settings(optimizer: Any) -> list[tuple[Any, float]]:
    """The optimizer with each kind of decay, with clipping, and a penalty in the loss."""
    rate = fastnn.Cosine(0.01, steps=5)
    found = [
        (optimizer(rate, **decay, clip_norm=clips), 0.0)
        for decay, clips in itertools.product(DECAYS, (None, 0.1))
    ]
    return [*found, (optimizer(0.01, weight_decay=0.3, clip_norm=0.1), 0.7), (optimizer(0.01), 0.7)]


@pytest.mark.parametrize("optimizer", EVERY)
def test_a_rule_gives_what_the_loop_gives(optimizer: Any) -> None:
    """State too; once by itself, and once with all that may be around it."""
    every = settings(optimizer)
    check(*every[0], "float64", *SHAPES[0])
    check(*every[-2], "float64", *SHAPES[1])
    check(*every[-2], "float64", *SHAPES[2])


@pytest.mark.exhaustive
@pytest.mark.parametrize("optimizer", EVERY)
def test_with_all_that_may_be_around_a_rule(optimizer: Any, dtype: str) -> None:
    for one, shape in itertools.product(settings(optimizer), SHAPES):
        check(*one, dtype, *shape)


@pytest.mark.parametrize("optimizer", [fastnn.SGD, fastnn.Momentum, fastnn.AdamW])
def test_float32(optimizer: Any) -> None:
    for one, shape in zip(settings(optimizer)[-2:], SHAPES[2:], strict=True):
        check(*one, "float32", *shape)


@pytest.mark.parametrize(
    ("options", "sizes", "kernels"),
    [
        ({}, [64, 40, 10], 3),
        ({"weight_decay": 0.1, "decay_all": True}, [64, 10], 3),
        ({"clip_norm": 0.1}, [64, 40, 10], 4),
        ({"weight_decay": 0.1, "clip_norm": 0.1}, [64, 40, 30, 10], 6),
    ],
)
def test_kernels_of_a_step(options: dict[str, Any], sizes: list[int], kernels: int) -> None:
    """Clipping takes one more; numbers that differ from step to step are one copy for many."""
    cupysim, cuda = simulator(), cupy_backend()
    problem = Problem(sizes, 20)
    for optimizer, copies in ((fastnn.Momentum(0.1, **options), 0), (fastnn.Adam(**options), 1)):
        network: Any = problem.network(cuda, "float32")
        network.weight_decay_lambda = 0.1
        data = cuda.asarray(problem.x, "float32"), cuda.asarray(problem.t)
        runner = cuda.compile(make_plan(network, *data, optimizer, problem.samples))
        rows = cuda.asarray(problem.rows[[0] * STEPS])
        numbers = optimizer.hyperparameters_of_steps(STEPS)
        runner.run(rows, numbers)
        cuda.synchronize()
        before = cupysim.counters()
        runner.run(rows, numbers)
        spent = cupysim.counters() - before
        assert spent.graph_launches == 1
        assert spent.graph_nodes == kernels * STEPS
        assert spent.launches == spent.graph_nodes + 1  # `begin`
        assert (spent.h2d, spent.d2h, spent.d2d, spent.syncs) == (copies, 0, 0, 0)


SAME_BITS = """
    import hashlib, fastnn, cupysim
    from fastnn.training.planner import make_plan
    from tests.helpers.gpu import Problem
    backend = fastnn.set_backend("cupy", strict=True)
    digest = hashlib.sha256()
    for sizes, optimizer in [
        ([100, 50, 10], fastnn.AdamW(clip_norm=0.1)),
        ([30, 40, 9, 10], fastnn.Momentum(0.1, weight_decay=0.1)),
        ([9, 300], fastnn.RMSprop(clip_norm=0.1, weight_decay=0.1, decay_all=True)),
    ]:
        for dtype in ("float32", "float64"):
            for graphs in (True, False):
                problem = Problem(sizes, 37)
                network = problem.network(backend, dtype)
                network.weight_decay_lambda = 0.1
                data = backend.asarray(problem.x, dtype), backend.asarray(problem.t)
                plan = make_plan(network, *data, optimizer, 37)
                runner = backend.compile(plan)
                runner.uses_graphs = graphs
                rows = backend.asarray(problem.rows[[0, 1, 0]])
                losses = runner.run(rows, optimizer.hyperparameters_of_steps(3))
                arrays = [losses, *(plan.arrays[name] for name in sorted(plan.arrays))]
                found = b"".join(fastnn.to_numpy(array).tobytes() for array in arrays)
                assert graphs or found == before
                before = found
            digest.update(found)
            assert cupysim.counters().faults == cupysim.counters().races == 0
    print(digest.hexdigest())
"""


def test_the_same_bits_in_any_order_without_races() -> None:
    prints_the_same_in_any_order(SAME_BITS)


def test_state_goes_on_in_a_second_fit() -> None:
    """And is the optimizer's own when it is looked at in between."""
    problem, results = Problem([12, 9, 4], 40), []
    for engine in ("numpy", "cupy"):
        with fastnn.use_backend(engine) as backend:
            network = problem.network(backend, "float64")
            optimizer = fastnn.Adam(weight_decay=0.1)
            options: dict[str, Any] = {"batch_size": 9, "seed": 0, "progress": False}
            kept = []
            for _ in range(2):
                fastnn.fit(network, problem.x, problem.t, optimizer=optimizer, **options)
                state = [optimizer.m["W1"], optimizer.v["b2"], network.params["W2"]]
                kept += [fastnn.to_numpy(array).copy() for array in state]
            results.append(kept)
    for found, right in zip(results[1], results[0], strict=True):
        assert relative_error(found, right) <= 1e-12


@pytest.mark.filterwarnings("ignore::fastnn.TrainingWarning", "ignore::RuntimeWarning")
def test_norms_that_are_not_finite_or_whose_squares_are_beyond_float32() -> None:
    """As in NumPy: large gradients are summed in float64, and infinite ones become NaN."""
    for scale, penalty, finite in ((1e21, 0.0, True), (1.0, 1e39, False)):
        results = []
        for engine in ("numpy", "cupy"):
            with fastnn.use_backend(engine) as backend:
                problem = Problem([30, 3], 20)
                network: Any = problem.network(backend, "float32")
                network.weight_decay_lambda = penalty
                fastnn.fit(
                    network, problem.x * scale, problem.t, optimizer=fastnn.SGD(0.1, clip_norm=1.0),
                    batch_size=23, epochs=1, seed=0, progress=False,
                )  # fmt: skip
                results.append([fastnn.to_numpy(network.params[name]) for name in ("W1", "b1")])
        assert np.isfinite(results[0][0]).all() == finite
        assert np.isfinite(results[0][1]).all()
        for found, right in zip(results[1], results[0], strict=True):
            assert relative_error(found, right) <= 2e-6
