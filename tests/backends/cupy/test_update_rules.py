"""Update rules, weight decay, clipping and schedules in a CUDA graph of single operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import AdamW, Cosine, Momentum, Relu, Sequential
from fastnn.backends.cupy.op_by_op import OpByOpStep
from fastnn.backends.cupy.runner import CupyRunner
from fastnn.training.planner import make_plan
from tests.helpers.gpu import Problem, simulator

pytestmark = pytest.mark.gpu

OPTIMIZERS: dict[str, Any] = {
    "Momentum, clipped": lambda: Momentum(0.1, clip_norm=0.1),
    "Momentum, decay": lambda: Momentum(0.1, weight_decay=0.1),
    "AdamW, all of it": lambda: AdamW(Cosine(0.1, steps=5), weight_decay=0.1, clip_norm=0.1),
}


def runner_of(cuda: Any, problem: Problem, optimizer: Any) -> CupyRunner:
    network = problem.network(cuda, "float32")
    network = Sequential([*network.layers.values(), Relu()])  # not fused
    x, t = cuda.asarray(problem.x, "float32"), cuda.asarray(problem.t)
    runner: CupyRunner = cuda.compile(make_plan(network, x, t, optimizer, problem.samples))
    assert isinstance(runner.step, OpByOpStep)
    return runner


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_graph_gives_the_bits_of_single_calls(cuda: Any, make: Any) -> None:
    """Numbers that differ from step to step are read on the device: one capture does."""
    problem, results = Problem([12, 9, 4], 20), []
    rows = cuda.asarray(np.concatenate([problem.rows] * 4)[:7])
    for uses_graphs in (True, False):
        optimizer = make()
        runner = runner_of(cuda, problem, optimizer)
        runner.uses_graphs = uses_graphs
        losses = []
        for _ in range(2):
            losses.append(runner.run(rows, optimizer.hyperparameters_of_steps(7)))
            optimizer.iter += 7
        assert len(runner.graphs) == uses_graphs
        assert not runner.call_by_call
        arrays = [*losses, *runner.plan.arrays.values()]
        results.append([fastnn.to_numpy(array).tobytes() for array in arrays])
    assert results[0] == results[1]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_nothing_comes_to_the_host(cuda: Any, make: Any) -> None:
    """Of a schedule one small array goes to the device, for many steps."""
    simulated = simulator()
    problem, optimizer = Problem([12, 9, 4], 20), make()
    rows = cuda.asarray(np.concatenate([problem.rows] * 4)[:7])
    runner = runner_of(cuda, problem, optimizer)
    runner.run(rows, optimizer.hyperparameters_of_steps(7))
    cuda.synchronize()
    before = simulated.counters()
    runner.run(rows, optimizer.hyperparameters_of_steps(7))
    spent = simulated.counters() - before
    assert spent.d2h == spent.syncs == 0
    assert spent.h2d <= 1
    assert spent.graph_launches == 1
