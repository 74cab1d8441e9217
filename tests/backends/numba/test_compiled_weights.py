"""Weights of samples in the compiled step, beside the loop over primitives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import fastnn
from fastnn import MultiLayerNet, SigmoidWithLoss, SoftmaxWithLoss
from fastnn.backends.loop import Loop
from fastnn.backends.numba.runner import CompiledStep
from fastnn.training.planner import make_plan
from tests.helpers.compiled_networks import use_threads
from tests.helpers.compiled_training import data_set
from tests.helpers.problems import relative_error

STEPS, SIZES = 5, (30, 9, 70)


def trained(
    engine: str, loss: Any, outputs: int, dtype: str, batch: int, w: Any, density: float = 0.2,
    **options: Any,
) -> tuple[dict[str, Any], Any, Any]:  # fmt: skip
    """Parameters after some steps, their losses, and what ran them."""
    with fastnn.use_backend(engine):
        network = MultiLayerNet(SIZES[0], list(SIZES[1:]), outputs, dtype=dtype, seed=1, **options)
        network.lastLayer = loss()
        rng = np.random.default_rng(3)
        x, t = data_set(700, SIZES[0], outputs, density=density)
        if loss is not SoftmaxWithLoss:
            t = np.round(rng.random((700, outputs)), 1).astype(dtype)
        optimizer = fastnn.Momentum(0.05)
        plan = make_plan(network, x.astype(dtype), t, optimizer, batch, w=w)
        runner: Any = network.backend.compile(plan) or Loop(network.backend, plan)
        rows = np.array([rng.permutation(700)[:batch] for _ in range(STEPS)])
        losses = runner.run(rows, optimizer.hyperparameters_of_steps(STEPS))
        runner.flush()
        return {name: plan.arrays[name] for name in network.params}, losses, runner


def weights() -> Any:
    """Of very different sizes, some of them zero, and zero for all of the third batch."""
    rng = np.random.default_rng(5)
    w = np.where(rng.random(700) < 0.3, 0, rng.exponential(size=700) ** 3)
    order = np.random.default_rng(3)
    batches = [order.permutation(700)[:7] for _ in range(STEPS)]
    w[batches[2]] = 0
    return w


@pytest.mark.parametrize(
    ("loss", "outputs", "dtype", "density", "options"),
    [
        (SoftmaxWithLoss, 70, "float32", 0.2, {}),
        *[
            pytest.param(*case, marks=pytest.mark.exhaustive)
            for case in [
                (SoftmaxWithLoss, 3, "float64", 1.0, {}),
                (SigmoidWithLoss, 70, "float64", 0.2, {"use_batchnorm": True}),
                (SigmoidWithLoss, 1, "float32", 1.0, {"weight_decay_lambda": 0.01}),
            ]
        ],
    ],
)
def test_weighted_steps_give_what_the_loop_gives(
    loss: Any, outputs: int, dtype: str, density: float, options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """On any number of threads the same bits."""
    w = weights()
    for batch in (7, 64):
        case = (loss, outputs, dtype, batch, w, density)
        right, right_losses, _ = trained(
            "numpy", loss, outputs, "float64", batch, w, density, **options
        )
        loop, _, _ = trained("numpy", *case, **options)
        results = []
        for threads in (1, 2, 3):
            use_threads(monkeypatch, threads)
            results.append(trained("numba", *case, **options))
        found, losses, runner = results[0]
        assert isinstance(runner, CompiledStep)
        assert relative_error(losses, right_losses) <= (1e-12 if dtype == "float64" else 4e-6)
        for name in right:
            error = relative_error(loop[name], right[name])
            bound = 1e-12 if dtype == "float64" else 4 * error + 2e-6
            if np.max(np.abs(right[name])) > 1e-9:  # else a bias that normalisation takes away
                assert relative_error(found[name], right[name]) <= bound, name
            for other, other_losses, _ in results[1:]:
                np.testing.assert_array_equal(other[name], found[name])
                np.testing.assert_array_equal(other_losses, losses)


def test_weights_of_one_change_no_bit() -> None:
    case = ("numba", SoftmaxWithLoss, 70, "float32", 64)
    plain, losses, runner = trained(*case, None)
    assert runner.weights is None
    for w in (np.ones(700), np.full(700, 1e-30)):
        found, found_losses, _ = trained(*case, w)
        np.testing.assert_array_equal(found_losses, losses)
        for name in plain:
            np.testing.assert_array_equal(found[name], plain[name])
