"""Batch normalisation and dropout on a CUDA device: in a graph, without the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, BatchNormalization, Dropout, Relu, Sequential
from fastnn.backends.cupy.op_by_op import OpByOpStep
from fastnn.backends.cupy.runner import STEPS
from fastnn.backends.loop import Loop
from fastnn.training.planner import make_plan
from tests.helpers.gpu import Problem, cupy_backend, simulator
from tests.helpers.problems import affine_of

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda() -> Any:
    return cupy_backend()


def plan_on(backend: Any, dtype: str) -> Any:
    problem, rng = Problem([12, 4], 20), np.random.default_rng(2)
    with fastnn.use_backend(backend):
        gamma, beta = (backend.asarray(a.astype(dtype)) for a in (np.ones(9), np.zeros(9)))
        W = [rng.standard_normal(shape).astype(dtype) / 3 for shape in ((12, 9), (9, 4))]
        first, last = (affine_of(one, np.zeros(one.shape[1], dtype)) for one in W)
        network = Sequential(
            [
                Dropout(0.1, seed=1), first, BatchNormalization(gamma, beta), Relu(),
                Dropout(0.5, seed=2), last,
            ]
        )  # fmt: skip
        x, t = backend.asarray(problem.x.astype(dtype)), backend.asarray(problem.t)
        return make_plan(network, x, t, SGD(0.1), 20)


def test_a_step_is_captured_with_what_the_layers_keep(cuda: Any, dtype: str) -> None:
    """Graphs of many steps, a shorter one and calls give what the loop on NumPy gives."""
    cpu = fastnn.backends.selection.load_backend("numpy")
    plans = [plan_on(backend, dtype) for backend in (cuda, cpu)]
    runner, loop = cuda.compile(plans[0]), Loop(cpu, plans[1])
    assert isinstance(runner.step, OpByOpStep)
    rng = np.random.default_rng(3)
    for steps, batch in ((2 * STEPS + 5, 20), (1, 7), (STEPS, 20)):
        rows = np.stack([rng.permutation(23)[:batch] for _ in range(steps)])
        found, right = (one.run(one.backend.asarray(rows), {"lr": 0.1}) for one in (runner, loop))
        bound = {"float32": 1e-4, "float64": 1e-9}[dtype]
        np.testing.assert_allclose(cuda.to_numpy(found), right, rtol=bound)
    assert len(runner.graphs) == 3
    assert runner.call_by_call == ""
    draws = cuda.to_numpy(plans[0].arrays["Dropout1.draws"])
    assert draws == plans[1].arrays["Dropout1.draws"] == 3 * STEPS + 6
    for name in ("running_mean", "running_var"):
        arrays = [plan.arrays[f"BatchNormalization1.{name}"] for plan in plans]
        np.testing.assert_allclose(cuda.to_numpy(arrays[0]), arrays[1], rtol=bound, atol=bound)


def test_nothing_goes_to_the_host_or_comes_from_there(cuda: Any) -> None:
    cupysim = simulator()
    runner = cuda.compile(plan_on(cuda, "float32"))
    rows = cuda.asarray(np.tile(np.arange(20), (STEPS, 1)))
    runner.run(rows, {"lr": 0.1})
    cuda.synchronize()
    before = cupysim.counters()
    runner.run(rows, {"lr": 0.1})
    cuda.synchronize()  # once: a simulated device may run its queue no earlier
    spent = cupysim.counters() - before
    assert spent.graph_launches == 1
    assert (spent.h2d, spent.d2h, spent.syncs, spent.mallocs) == (0, 0, 1, 0)
