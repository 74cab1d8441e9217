"""Batch normalisation in the compiled step, beside the loop over primitives."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import fastnn
from fastnn import BatchNormalization, Gelu, Relu
from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.runner import CompiledStep
from tests.helpers.compiled_networks import use_threads
from tests.helpers.normalised_networks import largest_error, network_of, trained
from tests.helpers.problems import data_set, relative_error

GELU = (Gelu, Relu, Gelu)
"""Activations behind the layers, of which in float64 GELU would take long to compile."""
NORMALISED = [(0, 2), (1, 3), (0, 1, 2, 3)]
"""Which layers are: for all of these one step is compiled."""


def cases(*usual: tuple[bool, bool]) -> list[Any]:
    """Whether the first layer is dense, and wide: its inputs one group of features."""
    others = [case for case in itertools.product((False, True), repeat=2) if case not in usual]
    return [*usual, *[pytest.param(*case, marks=pytest.mark.exhaustive) for case in others]]


@pytest.mark.parametrize(("dense", "wide"), cases((False, True)))
def test_the_compiled_step_gives_what_the_loop_gives(
    dense: bool, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of whole tiles and others, of several runs of samples, of two samples."""
    monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", 1 if wide else 4)
    monkeypatch.setattr(numba_runner, "BY_FEATURE_FROM", 1 if wide else 1000)
    for normalised in NORMALISED:
        arguments = (normalised, 1.0 if dense else 0.2, "float64", (64, 7, 300, 2))
        right, right_losses, _ = trained("numpy", *arguments)
        found, losses, runner = trained("numba", *arguments)
        assert isinstance(runner, CompiledStep)
        assert relative_error(losses, right_losses) <= 1e-12
        assert largest_error(found, right, normalised) <= (1e-11, "")


@pytest.mark.parametrize(("dense", "wide"), cases())
def test_float32_has_the_same_bits_on_any_number_of_threads(
    dense: bool, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More threads than there are vectors of columns in a layer, too."""
    monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", 1 if wide else 4)
    density, batches = 1.0 if dense else 0.2, (64, 7, 2)
    for normalised in NORMALISED:
        exact = (normalised, density, "float64", batches)
        right, right_losses, _ = trained("numpy", *exact, activations=GELU)
        results = []
        for threads in (1, 2, 3):
            use_threads(monkeypatch, threads)
            single = (normalised, density, "float32", batches)
            results.append(trained("numba", *single, activations=GELU))
            assert results[-1][2].threads == threads
        found, losses, runner = results[0]
        assert relative_error(losses, right_losses) <= 4e-6
        assert largest_error(found, right, normalised) <= (1e-5, "")
        check_padding(runner)
        for other, other_losses, _ in results[1:]:
            np.testing.assert_array_equal(other_losses, losses)
            for name, array in found.items():
                np.testing.assert_array_equal(other[name], array, name)


def check_padding(runner: CompiledStep) -> None:
    """What lies behind the units of a layer stays zero."""
    layout = runner.layout
    for record, own in zip(layout.records, layout.normalisations, strict=True):
        columns = record["strip_count"] * record["strip_width"]
        if own["is_there"]:
            for name in ("gamma", "beta", "running_mean", "running_var"):
                assert not layout.memory[own[name] : own[name] + columns][record["outputs"] :].any()


@pytest.mark.exhaustive
@pytest.mark.parametrize("units", [3, 300])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_a_single_layer(units: int, density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient by the scores goes back through the normalisation, and no further.

    Gamma and beta decay if asked.
    """
    for threads in (1, 3):
        use_threads(monkeypatch, threads)
        arguments = ((0,), density, "float64", (40, 6))
        optimizer, sizes = fastnn.SGD(0.1, weight_decay=0.1, decay_all=True), (30, units)
        right, right_losses, _ = trained("numpy", *arguments, optimizer=optimizer, sizes=sizes)
        found, losses, _ = trained("numba", *arguments, optimizer=optimizer, sizes=sizes)
        assert relative_error(losses, right_losses) <= 1e-12
        assert largest_error(found, right, (0,)) <= (1e-12, "")


def test_what_is_not_compiled_says_why() -> None:
    """Behind an activation, or first; and the error of units that do not fit is the layer's own."""
    with fastnn.use_backend("numba"):
        network = network_of((0,), "float32", (30, 8, 3))
        assert fastnn.explain(network).runs == "compiled step"
        affine, normalisation, activation, last = network.layers.values()
        for layers in ([normalisation, last], [affine, activation, normalisation, last]):
            found = str(fastnn.explain(fastnn.Sequential(layers)))
            assert "the compiled step does not know BatchNormalization at this place" in found
        wrong = BatchNormalization(np.ones(7), np.ones(7))
        misfit = fastnn.Sequential([affine, wrong, last])
        with pytest.raises(ValueError, match="shape"):
            fastnn.fit(misfit, *data_set(40, 30, 3), epochs=1, progress=False)
