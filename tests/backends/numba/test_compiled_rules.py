"""Update rules in the compiled step, beside the loop over primitives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.rules import BY_NAME

import fastnn
from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.runner import CompiledStep
from tests.helpers.compiled_networks import use_threads
from tests.helpers.problems import data_set, relative_error
from tests.helpers.trained_by_rules import OPTIMIZERS, trained


def test_every_rule_of_fastnn_is_compiled() -> None:
    rules = [optimizer().rule for optimizer in [fastnn.SGD, *OPTIMIZERS]]
    assert {rule.primitive for rule in rules if rule is not None} == set(BY_NAME)


@pytest.mark.parametrize(
    ("optimizer", "dense"),
    [
        (fastnn.Momentum, False),
        (fastnn.Adam, True),
        *[
            pytest.param(optimizer, dense, marks=pytest.mark.exhaustive)
            for optimizer in OPTIMIZERS
            for dense in (False, True)
            if (optimizer, dense) not in [(fastnn.Momentum, False), (fastnn.Adam, True)]
        ],
    ],
)
def test_a_rule_gives_what_the_loop_gives(
    optimizer: Any, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State too; sample by sample and by feature, one section of samples and several."""
    sizes, density = (30, 70, 20, 3), 1.0 if dense else 0.2
    for by_feature in (False, True)[: 1 if dense else 2]:
        monkeypatch.setattr(numba_runner, "BY_FEATURE_FROM", 1 if by_feature else 1000)
        monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", 1 if by_feature else 4)
        for batch in (7, 600):
            arguments = (sizes, density, "float64", batch)
            right, right_losses, _ = trained("numpy", optimizer(), *arguments)
            found, losses, runner = trained("numba", optimizer(), *arguments)
            assert isinstance(runner, CompiledStep)
            assert relative_error(losses, right_losses) <= 1e-12
            for name in right:
                assert relative_error(found[name], right[name]) <= 1e-11, name


@pytest.mark.exhaustive
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_float32_is_as_exact_as_the_loop(density: float) -> None:
    """A step of Adam begins as a sign, which a gradient that cancels may turn: in the loop too."""
    arguments = ((30, 70, 20, 3), density)
    right, right_losses, _ = trained("numpy", fastnn.Adam(), *arguments, "float64", 60)
    loop, _, _ = trained("numpy", fastnn.Adam(), *arguments, "float32", 60)
    found, losses, _ = trained("numba", fastnn.Adam(), *arguments, "float32", 60)
    assert relative_error(losses, right_losses) <= 2e-6
    for name in right:
        error = relative_error(loop[name], right[name])
        assert relative_error(found[name], right[name]) <= 4 * error + 2e-6, name


@pytest.mark.parametrize(
    ("optimizer", "density"),
    [(fastnn.Adam, 0.2), pytest.param(fastnn.Momentum, 1.0, marks=pytest.mark.exhaustive)],
)
def test_bits_do_not_depend_on_the_number_of_threads(
    optimizer: Any, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for threads in (1, 2, 3):
        use_threads(monkeypatch, threads)
        results.append(trained("numba", optimizer(), (30, 300, 5), density, "float32", 40)[0])
    for other in results[1:]:
        for name, array in results[0].items():
            np.testing.assert_array_equal(other[name], array, name)


@pytest.mark.parametrize(
    ("optimizer", "density", "dtype"),
    [
        (lambda: fastnn.AdamW(weight_decay=0.3, clip_norm=0.1), 0.2, "float64"),
        *[
            pytest.param(optimizer, 1.0, dtype, marks=pytest.mark.exhaustive)
            for optimizer, dtype in (
                (lambda: fastnn.SGD(weight_decay=0.3), "float32"),
                (lambda: fastnn.SGD(clip_norm=0.1), "float64"),
                (lambda: fastnn.Momentum(weight_decay=0.3, decay_all=True), "float64"),
                (lambda: fastnn.AdamW(weight_decay=0.3, decay_all=True), "float64"),
            )
        ],
    ],
)
def test_weight_decay_of_both_kinds_and_clipping(
    optimizer: Any, density: float, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer's own, and that of the network, which is a part of the loss; and clipping.

    With one thread or more, and the same bits.
    """
    bound = {"float64": 1e-12, "float32": 2e-6}[dtype]
    for batch in (7, 600):
        sizes = (30, 300, 20, 3) if density == 1 else (30, 70, 20, 3)  # wide in the first layer
        arguments = (optimizer(), sizes, density)
        right, right_losses, _ = trained("numpy", *arguments, "float64", batch, 0.7)
        results = []
        for threads in (1, 2, 3):
            use_threads(monkeypatch, threads)
            found, losses, runner = trained("numba", *arguments, dtype, batch, 0.7)
            assert isinstance(runner, CompiledStep)
            results.append({**found, "losses": losses})
        assert relative_error(losses, right_losses) <= bound
        for name in right:
            assert relative_error(found[name], right[name]) <= bound, name
        for other in results[1:]:
            for name, array in results[0].items():
                np.testing.assert_array_equal(other[name], array, name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", [70, 300])
def test_norm_and_decay_of_normalised_layers(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their gamma and beta are cut with the other gradients, and decay if all do."""
    results = []
    for engine, threads in (("numpy", 1), ("numba", 1), ("numba", 3)):
        use_threads(monkeypatch, threads)
        with fastnn.use_backend(engine):
            network = fastnn.MultiLayerNet(
                30, [first, 20], 3, use_batchnorm=True, dtype="float64", seed=1
            )
        x, t = data_set(60, 30, 3)
        optimizer = fastnn.AdamW(weight_decay=0.5, decay_all=True, clip_norm=0.1)
        history = fastnn.fit(
            network, x, t, epochs=3, batch_size=20, optimizer=optimizer, seed=0, progress=False
        )
        results.append({**network.params, "losses": np.array(history.losses)})
    for name, array in results[0].items():
        np.testing.assert_allclose(results[1][name], array, rtol=1e-11, atol=1e-11)  # b is noise
        np.testing.assert_array_equal(results[1][name], results[2][name])


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::fastnn.TrainingWarning")
def test_a_norm_whose_square_is_beyond_float32() -> None:
    """It is summed in float64 then."""
    results = []
    for engine in ("numpy", "numba"):
        with fastnn.use_backend(engine):
            W = np.zeros((30, 3), "float32")
            network = fastnn.Sequential([fastnn.Affine(W, np.zeros(3, "float32"))])
        x, t = data_set(60, 30, 3, density=1.0)
        fastnn.fit(
            network, 1e21 * x, t, epochs=1, optimizer=fastnn.SGD(0.1, clip_norm=1.0), seed=0,
            progress=False,
        )  # fmt: skip
        results.append(network.params["W1"])
    assert 0.09 < np.linalg.norm(results[0]) < 0.11
    assert relative_error(results[1], results[0]) <= 2e-6


@pytest.mark.exhaustive
def test_a_rate_of_its_own_for_each_step() -> None:
    """What is handed over as an array is what a call for each step gives."""
    rates = np.array([0.5, 0.0, 0.25, 0.125, 1.0])

    class Scheduled(fastnn.Momentum):
        def hyperparameters_of_steps(self, steps: int) -> dict[str, Any]:
            return {"lr": rates[:steps], "momentum": 0.5}

    for density in (0.2,):
        arguments = (Scheduled(), (30, 20, 3), density, "float64", 10)
        right, right_losses, _ = trained("numpy", *arguments)
        found, losses, _ = trained("numba", *arguments)
        assert relative_error(losses, right_losses) <= 1e-12
        for name in right:
            assert relative_error(found[name], right[name]) <= 1e-12


def test_weights_that_are_not_finite_show() -> None:
    """The loss is NaN as in the loop, where a weight that a batch does not use is infinite."""
    with fastnn.use_backend("numba"):
        x, t = data_set(60, 30, 3, density=0.2)
        x[:, 4] = 0
        W = np.full((30, 20), 0.1, "float32")
        W[4, 2] = np.inf
        network = fastnn.Sequential(
            [fastnn.Affine(W, np.zeros(20, "float32")), fastnn.Relu(),
             fastnn.Affine(np.ones((20, 3), "float32"), np.zeros(3, "float32"))]
        )  # fmt: skip
        with pytest.warns(fastnn.TrainingWarning, match="diverged"):
            history = fastnn.fit(
                network, x, t, epochs=1, batch_size=20, optimizer=fastnn.Adam(), progress=False
            )
    assert np.isnan(history.losses).all()
