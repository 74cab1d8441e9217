"""Batch normalisation in the fused step, beside NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Gelu, LeakyRelu, Relu, Sigmoid, Tanh
from fastnn.backends.cupy.fused import FusedStep
from fastnn.backends.cupy.runner import STEPS
from fastnn.training.planner import make_plan
from tests.helpers.gpu import cupy_backend, prints_the_same_in_any_order, simulator
from tests.helpers.normalised_networks import SIZES, largest_error, network_of, trained
from tests.helpers.problems import data_set, relative_error

pytestmark = pytest.mark.gpu

ACTIVATIONS = (Sigmoid, Relu, Gelu)
BATCHES = (64, 7, 300)
CASES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((0, 2), SIZES),
    ((1, 3), SIZES),
    ((0, 1, 2, 3), SIZES),
    ((0,), (30, 3)),
    ((0,), (33, 70, 9)),
    ((0, 1), (9, 40, 300)),
]
"""Which layers are normalised: hidden ones, before `head` and before a wide layer, the last one."""


@pytest.fixture(autouse=True)
def _cuda() -> None:
    cupy_backend()


def compare(
    case: Any, dtype: str, *, activations: Any = ACTIVATIONS, optimizer: Any = None,
    batches: tuple[int, ...] = BATCHES, bound: float = 1e-11,
) -> None:  # fmt: skip
    (normalised, sizes), options = case, {"optimizer": optimizer, "activations": activations}
    arguments = (normalised, 1.0)
    right, right_losses, _ = trained(
        "numpy", *arguments, "float64", batches, sizes=sizes, **options
    )
    found, losses, runner = trained("cupy", *arguments, dtype, batches, sizes=sizes, **options)
    assert isinstance(runner.step, FusedStep)
    bound = bound if dtype == "float64" else 1e-5
    assert relative_error(losses, right_losses) <= bound / 2
    assert largest_error(found, right, normalised) <= (bound, "")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_gives_what_the_loop_gives(case: Any, dtype: str) -> None:
    """Parameters, state and running averages."""
    compare(case, dtype)


@pytest.mark.parametrize("activation", [Gelu, LeakyRelu, Relu, Sigmoid, Tanh])
def test_with_each_activation(activation: Any, dtype: str) -> None:
    compare(CASES[0], dtype, activations=(activation, activation, activation))


def test_batches_of_two_samples_and_one() -> None:
    """Normalised, they are all but equal, and rounding is magnified; in NumPy's loop as well."""
    compare(CASES[2], "float64", batches=(2, 1), bound=1e-9)


def test_gamma_and_beta_follow_every_rule_and_are_clipped() -> None:
    for optimizer in (
        fastnn.SGD(0.1, weight_decay=0.3, decay_all=True, clip_norm=0.1),
        fastnn.SGD(0.1, clip_norm=1e-2),
        fastnn.Nesterov(0.1),
    ):
        compare(CASES[0], "float64", optimizer=optimizer)


def test_with_dropout_behind_it() -> None:
    """In `fit`, with gradients that are clipped; nothing is left to single operations."""
    x, t = data_set(60, 30, 3)
    results = []
    for engine in ("numpy", "cupy"):
        with fastnn.use_backend(engine):
            network = fastnn.MultiLayerNet(
                30, [20, 9], 3, "gelu", use_batchnorm=True, use_dropout=True, dtype="float64",
                seed=1,
            )  # fmt: skip
        optimizer = fastnn.Momentum(0.1, clip_norm=0.5)
        assert engine == "numpy" or fastnn.explain(network, optimizer).runs == "fused"
        history = fastnn.fit(
            network, x, t, epochs=3, batch_size=17, optimizer=optimizer, seed=0, progress=False
        )
        kept = {**network.params, **network.state_dict(), "losses": np.array(history.losses)}
        results.append({name: fastnn.to_numpy(array) for name, array in kept.items()})
    for name, array in results[0].items():
        np.testing.assert_allclose(results[1][name], array, rtol=1e-11, atol=1e-11)


def test_kernels_of_a_step() -> None:
    """One more each way for each layer that is normalised."""
    cupysim, cuda = simulator(), cupy_backend()
    for (normalised, sizes), kernels in zip(CASES, (11, 13, 17, 5, 5, 9), strict=True):
        with fastnn.use_backend(cuda):
            network = network_of(normalised, "float32", sizes, ACTIVATIONS)
        x, t = data_set(40, sizes[0], sizes[-1])
        data, optimizer = (cuda.asarray(x, "float32"), cuda.asarray(t)), fastnn.Momentum()
        runner = cuda.compile(make_plan(network, *data, optimizer, 20))
        rows = cuda.asarray(np.tile(np.arange(20), (STEPS, 1)))
        numbers = optimizer.hyperparameters_of_steps(STEPS)
        runner.run(rows, numbers)
        cuda.synchronize()
        before = cupysim.counters()
        runner.run(rows, numbers)
        spent = cupysim.counters() - before
        assert spent.graph_launches == 1
        assert spent.graph_nodes == kernels * STEPS, (normalised, sizes)
        assert (spent.h2d, spent.d2h, spent.d2d, spent.syncs, spent.mallocs) == (0, 0, 0, 0, 0)


SAME_BITS = """
    import hashlib, fastnn, cupysim
    from tests.backends.cupy.test_fused_normalization import ACTIVATIONS, CASES
    from tests.helpers.normalised_networks import trained
    digest = hashlib.sha256()
    for normalised, sizes in CASES[1:3]:
        arguments = normalised, 1.0, "float32", (33, 5)
        found, losses, runner = trained("cupy", *arguments, sizes=sizes, activations=ACTIVATIONS)
        for name in sorted(found):
            digest.update(fastnn.to_numpy(found[name]).tobytes())
        digest.update(losses.tobytes())
    assert cupysim.counters().faults == cupysim.counters().races == 0
    print(digest.hexdigest())
"""


def test_the_same_bits_in_any_order_without_races() -> None:
    prints_the_same_in_any_order(SAME_BITS)
