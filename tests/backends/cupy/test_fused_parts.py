"""Activations, losses, dropout and sample weights in the fused step, beside NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    Dropout,
    Gelu,
    LeakyRelu,
    MeanSquaredError,
    PoissonWithLoss,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    Tanh,
)
from fastnn.backends.cupy.fused import KNOWN, FusedStep
from fastnn.backends.cupy.runner import STEPS
from fastnn.backends.plan import LOSSES
from fastnn.training.planner import ACTIVATIONS, make_plan
from tests.helpers import trained_parts
from tests.helpers.gpu import BOUNDS, cupy_backend, run_script, simulator
from tests.helpers.problems import affine_of, relative_error

pytestmark = pytest.mark.gpu

WIDE = (30, 9, 65, 200)
"""Its last layer does not fit into `head`."""


@pytest.fixture(autouse=True)
def _cuda() -> None:
    cupy_backend()


def check(trained: Any, dtype: str, *arguments: Any, **options: Any) -> None:
    """Hold float64 to its bound, and float32 to the loop's distance from float64."""
    right, right_losses, _ = trained("numpy", *arguments, "float64", **options)
    found, losses, runner = trained("cupy", *arguments, dtype, **options)
    assert isinstance(runner.step, FusedStep)
    assert runner.graphs
    bound = BOUNDS[dtype]
    loop = right if dtype == "float64" else trained("numpy", *arguments, dtype, **options)[0]
    assert relative_error(losses, right_losses) <= bound
    assert found.keys() == right.keys()
    for name, array in right.items():
        allowed = bound + 4 * relative_error(loop[name], array)
        assert relative_error(found[name], array) <= allowed, name


def of_activations(engine: str, kinds: Any, batch: int, dtype: str) -> trained_parts.Trained:
    return trained_parts.with_activations(engine, kinds, 0.5, dtype, batch, fastnn.SGD(0.5))


def of_loss(
    engine: str, loss: Any, sizes: Any, batch: int, dtype: str, **options: Any
) -> trained_parts.Trained:
    return trained_parts.with_loss(engine, loss, sizes, dtype, batch, 0.5, **options)


def of_dropout(engine: str, batch: int, held: int, dtype: str) -> trained_parts.Trained:
    return trained_parts.with_dropout(engine, 0.5, dtype, batch, held)


def test_all_parts_of_fastnn_are_known() -> None:
    assert {say(cls()).name for cls, say in ACTIVATIONS.items()} == set(KNOWN.activations)
    assert set(LOSSES) == set(KNOWN.losses)


@pytest.mark.parametrize(
    "kinds",
    [
        (Sigmoid, Tanh, Gelu),
        (LeakyRelu, Gelu, Relu),
        (Gelu, Relu, Tanh),
        (Tanh, LeakyRelu, Sigmoid),
    ],
)
def test_an_activation_gives_what_the_loop_gives(kinds: Any, dtype: str) -> None:
    """Each in ``hidden_product`` and in `head`; batches of one sample, and of no whole tiles."""
    for batch in (1, 37):
        check(of_activations, dtype, kinds, batch)


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError, PoissonWithLoss])
def test_a_loss_gives_what_the_loop_gives(loss: Any, dtype: str) -> None:
    """In `head`, with one output and several, and in `loss`: behind many, and behind one layer."""
    for sizes, batch in [((30, 9, 3), 37), ((30, 9, 70, 1), 1), (WIDE, 7), ((30, 33), 40)]:
        check(of_loss, dtype, loss, sizes, batch)


def test_losses_of_large_scores_are_cut() -> None:
    for sizes in ((30, 9, 70, 3), WIDE):
        for loss, magnitude in [(SigmoidWithLoss, 2e37), (MeanSquaredError, 1e25)]:
            arguments = (loss, sizes, 40, "float32")
            with np.errstate(over="ignore", invalid="ignore"):
                _, right, _ = of_loss("numpy", *arguments, magnitude=magnitude, steps=1)
            _, losses, _ = of_loss("cupy", *arguments, magnitude=magnitude, steps=1)
            assert np.isfinite(losses).all()
            assert relative_error(losses, right) <= 1e-5


def test_dropout_gives_what_the_loop_gives(dtype: str) -> None:
    """A mask that is held, a shorter batch, and numbers of draws from 32 bits to 33."""
    for batch, held in ((7, -1), (40, 5)):
        check(of_dropout, dtype, batch, held)


def network_of_everything(loss: Any, outputs: int = 4) -> fastnn.Sequential:
    rng = np.random.default_rng(0)

    def affine(D: int, M: int) -> Any:
        W = rng.standard_normal((D, M)) / np.sqrt(D)
        return affine_of(W.astype("float32"), np.zeros(M, "float32"))

    return fastnn.Sequential(
        [
            affine(12, 33), Gelu(), Dropout(0.3, seed=1), affine(33, 9), Sigmoid(), affine(9, 14),
            Dropout(0.2, seed=2), affine(14, outputs),
        ],
        loss,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "outputs"), [(None, 4), (SigmoidWithLoss, 4), (None, 900), (PoissonWithLoss, 900)]
)
def test_samples_have_weights(loss: Any, outputs: int) -> None:
    """In `fit`, at a rate that changes from step to step; a last batch is shorter."""
    rng = np.random.default_rng(2)
    x = rng.random((103, 12))
    t = rng.integers(0, outputs, 103) if loss is None else rng.random((103, outputs))
    w = rng.random(103)
    w[:50] *= rng.random(50) < 0.5
    found = []
    for engine in ("numpy", "cupy"):
        with fastnn.use_backend(engine):
            network = network_of_everything(loss and loss(), outputs)
            history = fastnn.fit(
                network, x, t, epochs=2, batch_size=20, seed=0, progress=False, sample_weight=w,
                optimizer=fastnn.SGD(fastnn.Cosine(1.2 / outputs, steps=12)),
            )  # fmt: skip
            draws = [
                int(layer.draws) for layer in network.layers.values() if isinstance(layer, Dropout)
            ]
            assert draws == [12, 12]
            params = {name: fastnn.to_numpy(array) for name, array in network.params.items()}
            found.append((history.losses, params))
    (right, expected), (losses, params) = found
    assert relative_error(np.array(losses), np.array(right)) <= 4e-6
    for name, array in expected.items():
        assert relative_error(params[name], array) <= 8e-6, name


@pytest.mark.parametrize("loss", [None, SigmoidWithLoss])
def test_what_a_step_costs(loss: Any) -> None:
    """As without these parts: 2 L - 1 kernels, a graph of 32 steps, nothing else."""
    cupysim = simulator()
    with fastnn.use_backend("cupy") as backend:
        network = network_of_everything(loss and loss())
        assert fastnn.explain(network).runs == "fused"
        rng = np.random.default_rng(0)
        x = backend.asarray(rng.random((60, 12)), "float32")
        t = backend.asarray(rng.integers(0, 4, 60))
        t = t if loss is None else backend.asarray(rng.random((60, 4)), "float32")
        runner: Any = backend.compile(make_plan(network, x, t, fastnn.SGD(0.1), 20))
        rows = backend.asarray(rng.integers(0, 60, (STEPS, 20)))
        runner.run(rows, {"lr": 0.1})
        before = cupysim.counters()
        runner.run(rows, {"lr": 0.2})
        spent = cupysim.counters() - before
    assert spent.graph_launches == 1
    assert spent.graph_nodes == 7 * STEPS
    assert spent.launches == spent.graph_nodes + 1  # `begin`
    assert (spent.h2d, spent.d2h, spent.d2d, spent.syncs, spent.mallocs) == (0, 0, 0, 0, 0)


SAME_BITS = """
    import hashlib, numpy as np, fastnn, cupysim
    from tests.helpers import trained_parts
    digest = hashlib.sha256()
    runs = [
        trained_parts.with_dropout("cupy", 0.5, "float32", 40, 5),
        trained_parts.with_activations(
            "cupy", (fastnn.Gelu, fastnn.Tanh), 0.5, "float64", 33, fastnn.SGD(0.1)
        ),
        trained_parts.with_loss("cupy", fastnn.SigmoidWithLoss, (30, 9, 65, 200), "float32", 33),
    ]
    for found, losses, runner in runs:
        for array in (losses, *found.values()):
            digest.update(array.tobytes())
    assert cupysim.counters().faults == cupysim.counters().races == 0
    print(digest.hexdigest())
"""


def test_the_same_bits_in_any_order_without_races() -> None:
    simulator()
    expected = run_script(SAME_BITS)
    for setting in ("ORDER=2", "LAZY=1", "RACECHECK=1"):
        name, value = setting.split("=")
        assert run_script(SAME_BITS, **{f"CUPYSIM_{name}": value}) == expected, setting
