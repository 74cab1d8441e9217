"""The gradient of a network, its training step, and an epoch of `fastnn.fit`."""

from __future__ import annotations

import fastnn
from fastnn.backends import Backend
from fastnn.backends.loop import Loop
from fastnn.training.planner import make_plan
from suites.conftest import Measure
from workload import Workload

STEPS = 8
"""Training steps that a call of the step plan takes, as `fit` hands it several at once."""

EPOCH_STEPS = 40
"""Steps of an epoch of the larger networks, whose whole epochs take minutes."""


def test_gradient(
    network: fastnn.TwoLayerNet, backend: Backend, workload: Workload, measure: Measure
) -> None:
    x, t = (backend.asarray(array[: workload.batch]) for array in (workload.x, workload.t))
    group = f"network.gradient {workload.name} {workload.dtype}"
    measure(group, lambda: network.gradient(x, t), workload.batch)


def test_own_loop(network: fastnn.TwoLayerNet, workload: Workload, measure: Measure) -> None:
    """The step of the book's script: host arrays, `gradient`, an update in the user's own code."""
    rows = workload.proof_rows()[0]

    def step() -> None:
        grad = network.gradient(workload.x[rows], workload.t[rows])
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= workload.learning_rate * grad[key]

    measure(f"own loop {workload.name} {workload.dtype}", step, workload.batch)


def test_training_step(
    network: fastnn.TwoLayerNet,
    backend: Backend,
    workload: Workload,
    measure: Measure,
    quick: bool,
) -> None:
    """Steps through the compiled step plan: gather, forward, backward, update."""
    optimizer = fastnn.SGD(workload.learning_rate)
    x, t = backend.asarray(workload.x), backend.asarray(workload.t)
    plan = make_plan(network, x, t, optimizer, workload.batch)
    runner = backend.compile(plan) or Loop(backend, plan)
    steps = 1 if quick else STEPS
    rows = backend.asarray(workload.proof_rows()[:steps])
    hyperparameters = optimizer.hyperparameters_of_steps(steps)
    group = f"training step x{steps} {workload.name} {workload.dtype}"
    measure(group, lambda: runner.run(rows, hyperparameters), steps * workload.batch)


def test_epoch_of_fit(
    network: fastnn.TwoLayerNet, workload: Workload, measure: Measure, quick: bool
) -> None:
    """An epoch as a user has it, with all that `fit` checks and prepares."""
    steps = 2 if quick else EPOCH_STEPS
    whole = workload.layers[1] == 50 and not quick
    samples = len(workload.x) if whole else steps * workload.batch
    x, t = workload.x[:samples], workload.t[:samples]

    def epoch() -> None:
        fastnn.fit(
            network,
            x,
            t,
            batch_size=workload.batch,
            optimizer=fastnn.SGD(workload.learning_rate),
            seed=0,
            progress=False,
        )

    group = f"epoch of {samples} samples {workload.name} {workload.dtype}"
    measure(group, epoch, samples)
