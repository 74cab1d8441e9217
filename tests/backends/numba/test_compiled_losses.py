"""Losses in the compiled step, beside the loop over primitives.

That of numbers in float32 is a part of a network in `test_compiled_dropout`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.losses_in_strips import BY_NAME

import fastnn
from fastnn import MeanSquaredError, SigmoidWithLoss
from fastnn.backends.numba.runner import CompiledStep
from fastnn.backends.plan import LOSSES
from tests.helpers.compiled_networks import use_threads
from tests.helpers.problems import data_set, relative_error
from tests.helpers.trained_parts import with_loss as trained

SIZES = [(30, 9, 70, 3), (30, 9, 70, 9, 70), (30, 9, 70, 1)]


def test_every_loss_of_fastnn_is_compiled_but_that_of_counts() -> None:
    assert set(BY_NAME) == set(LOSSES) - {"poisson_deviance"}


@pytest.mark.parametrize(
    ("loss", "dtype", "density"),
    [
        (SigmoidWithLoss, "float32", 0.2),
        *[
            pytest.param(*case, marks=pytest.mark.exhaustive)
            for case in [
                (SigmoidWithLoss, "float64", 1.0), (MeanSquaredError, "float64", 0.2),
                (MeanSquaredError, "float32", 1.0),
            ]
        ],
    ],
)  # fmt: skip
def test_a_loss_gives_what_the_loop_gives(
    loss: Any, dtype: str, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For one output, some and several strips of them; on any number of threads the same bits."""
    for sizes in SIZES:
        for batch in (7, 64):
            right, right_losses, _ = trained("numpy", loss, sizes, "float64", batch, density)
            loop, _, _ = trained("numpy", loss, sizes, dtype, batch, density)
            results = []
            for threads in (1, 2, 3):
                use_threads(monkeypatch, threads)
                results.append(trained("numba", loss, sizes, dtype, batch, density))
            found, losses, runner = results[0]
            assert isinstance(runner, CompiledStep)
            assert runner.counter() is None
            assert relative_error(losses, right_losses) <= (1e-12 if dtype == "float64" else 2e-6)
            for name in right:
                error = relative_error(loop[name], right[name])
                bound = 1e-12 if dtype == "float64" else 4 * error + 2e-6
                assert relative_error(found[name], right[name]) <= bound, name
                for other, other_losses, _ in results[1:]:
                    np.testing.assert_array_equal(other[name], found[name])
                    np.testing.assert_array_equal(other_losses, losses)


@pytest.mark.parametrize(
    ("loss", "dtype", "magnitude"),
    [
        (SigmoidWithLoss, "float32", 100.0),
        (SigmoidWithLoss, "float32", 2e37),
        pytest.param(MeanSquaredError, "float64", 1e200, marks=pytest.mark.exhaustive),
    ],
)
def test_losses_of_large_scores_are_cut(loss: Any, dtype: str, magnitude: float) -> None:
    """As they are in the loop, where they overflow."""
    for sizes in SIZES:
        arguments = (loss, sizes, dtype, 40)
        with np.errstate(over="ignore", invalid="ignore"):
            _, right, _ = trained("numpy", *arguments, magnitude=magnitude, steps=1)
        _, losses, _ = trained("numba", *arguments, magnitude=magnitude, steps=1)
        assert np.isfinite(losses).all()
        assert relative_error(losses, right) <= 1e-5


def test_one_column_of_targets_as_they_are_given() -> None:
    """In `fit`, where the losses of a batch are those of `network.loss`."""
    x, _ = data_set(60, 30, 2)
    t = np.random.default_rng(0).random(60)
    found = []
    for engine in ("numpy", "numba"):
        with fastnn.use_backend(engine):
            network = fastnn.MultiLayerNet(30, [9, 70], 1, seed=1)
            network.lastLayer = SigmoidWithLoss()
            history = fastnn.fit(network, x, t, epochs=2, batch_size=25, seed=0, progress=False)
            found.append((history.losses, history.train_accuracies))
    for right, compiled in zip(*found, strict=True):
        assert relative_error(np.array(compiled), np.array(right)) <= 2e-6
