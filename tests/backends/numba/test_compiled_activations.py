"""Activations in the compiled step, beside the loop over primitives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.activations import BACKWARD, BY_NAME, FORWARD

import fastnn
from fastnn import Affine, Gelu, LeakyRelu, Relu, Sigmoid, Tanh
from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.runner import CompiledStep
from fastnn.training.planner import ACTIVATIONS
from tests.helpers.compiled_networks import use_threads
from tests.helpers.problems import data_set, relative_error
from tests.helpers.trained_parts import with_activations as trained

KINDS: list[tuple[Any, ...]] = [(Sigmoid,), (Tanh,), (LeakyRelu,), (Gelu,), (Gelu, Relu)]
MIXED = (Tanh, Sigmoid, Relu)


def test_every_activation_of_fastnn_is_compiled() -> None:
    names = {say(cls()).name for cls, say in ACTIVATIONS.items()}
    assert names == set(BY_NAME) & names
    assert set(FORWARD) == set(BACKWARD) == set(BY_NAME.values())


@pytest.mark.parametrize(
    ("activations", "dense"),
    [
        (MIXED, False),
        pytest.param(MIXED, True, marks=pytest.mark.exhaustive),
        *[pytest.param(kind, False, marks=pytest.mark.exhaustive) for kind in KINDS],
        *[pytest.param(kind, True, marks=pytest.mark.exhaustive) for kind in KINDS],
    ],
)
def test_an_activation_gives_what_the_loop_gives(
    activations: tuple[Any, ...], dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One group of input features and several; batches of whole tiles and others."""
    density = 1.0 if dense else 0.2
    for strips in (1, 4):
        monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", strips)
        monkeypatch.setattr(numba_runner, "BY_FEATURE_FROM", 1 if strips == 1 else 1000)
        for batch in (7, 64):
            arguments = (activations, density, "float64", batch)
            right, right_losses, _ = trained("numpy", *arguments, fastnn.SGD(0.5))
            found, losses, runner = trained("numba", *arguments, fastnn.SGD(0.5))
            assert isinstance(runner, CompiledStep)
            assert relative_error(losses, right_losses) <= 1e-12
            for name in right:
                assert relative_error(found[name], right[name]) <= 1e-12, name
            check_padding(runner)


def check_padding(runner: CompiledStep) -> None:
    """What lies behind the outputs of a layer stays zero: it would be trained along."""
    layout = runner.layout
    for number, record in enumerate(layout.records):
        weights = np.concatenate(list(layout.weights(number)), axis=1)
        assert not weights[:, record["outputs"] :].any()
        if number:
            before = layout.records[number - 1]["outputs"]
            lines = np.concatenate(list(layout.transposed(number)), axis=1)
            assert not lines[:, before:].any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("dense", [False, True])
def test_float32_with_a_rule_that_has_state(dense: bool) -> None:
    arguments = (MIXED, 1.0 if dense else 0.2)
    right, right_losses, _ = trained("numpy", *arguments, "float64", 64, fastnn.Momentum(0.1))
    found, losses, _ = trained("numba", *arguments, "float32", 64, fastnn.Momentum(0.1))
    assert relative_error(losses, right_losses) <= 2e-6
    for name in right:
        assert relative_error(found[name], right[name]) <= 4e-6, name


@pytest.mark.exhaustive
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for threads in (1, 2, 3):
        use_threads(monkeypatch, threads)
        results.append(trained("numba", MIXED, 0.2, "float32", 40, fastnn.Momentum(0.1))[0])
    for other in results[1:]:
        for name, array in results[0].items():
            np.testing.assert_array_equal(other[name], array, name)


@pytest.mark.exhaustive
def test_leaky_relus_of_two_slopes() -> None:
    with fastnn.use_backend("numba"):
        x, t = data_set(60, 12, 3, density=0.5)
        trained_by = {}
        for engine in ("numpy", "numba"):
            with fastnn.use_backend(engine):
                rng = np.random.default_rng(0)
                network = fastnn.Sequential(
                    [Affine(rng.random((12, 9)) - 0.5, np.zeros(9)), LeakyRelu(0.3),
                     Affine(rng.random((9, 7)) - 0.5, np.zeros(7)), LeakyRelu(0.1),
                     Affine(rng.random((7, 3)) - 0.5, np.zeros(3))]
                )  # fmt: skip
                fastnn.fit(network, x, t, epochs=3, batch_size=20, seed=0, progress=False)
                trained_by[engine] = network.params
    for name, array in trained_by["numpy"].items():
        assert relative_error(trained_by["numba"][name], array) <= 1e-12
