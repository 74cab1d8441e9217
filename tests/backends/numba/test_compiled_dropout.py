"""Dropout in the compiled step, beside the loop over primitives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.compiler import kernel
from fastnn.kernels.cpu.mask import COUNTERS, draw, row_of_mask

import fastnn
from fastnn import Affine, Dropout, Relu, Tanh
from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.runner import CompiledStep
from fastnn.backends.philox import least_word, random_words
from fastnn.training.planner import make_plan
from tests.helpers.compiled_networks import use_threads
from tests.helpers.problems import data_set, relative_error
from tests.helpers.trained_parts import OF_DROPOUT, network_with_dropout
from tests.helpers.trained_parts import with_dropout as trained


@kernel  # type: ignore[untyped-decorator]
def draw_rows(mask: Any, stride: int, samples: int, units: int, numbers: Any) -> None:
    counters = (units + 3) // 4
    step, key, bound = numbers
    for n in range(samples):
        for first in range((counters - 1) // COUNTERS * COUNTERS, -1, -COUNTERS):
            draw(mask, n * stride, counters, first, n, step, key, bound)


def test_masks_are_those_of_the_primitive() -> None:
    for units, step, key, ratio in [
        (1, 0, 0, 0.5), (4, 1, 2**63 - 1, 0.2), (31, 2**32 - 1, 5, 0.9), (33, 2**40 + 3, 7, 0.0),
        (100, 9, 2**62 + 12345, 0.3), (129, 2**63 - 1, 8, 1 - 2**-53),
    ]:  # fmt: skip
        stride, bound = row_of_mask(units), least_word(ratio)
        mask = np.zeros(6 * stride, np.uint8)
        draw_rows(mask, stride, 6, units, (step, key, bound))
        kept = random_words(np, 6, units, np.array(step, np.uint64), key) >= bound
        np.testing.assert_array_equal(mask.reshape(6, -1)[:, :units], np.where(kept, 255, 0))


@pytest.mark.parametrize(
    ("dtype", "dense", "wide", "normalised"),
    [
        ("float32", True, False, (0, 2)),
        *[
            pytest.param(*case, marks=pytest.mark.exhaustive)
            for case in [
                ("float32", False, False, ()),
                ("float32", False, True, ()),
                ("float32", True, True, ()),
                ("float64", False, False, ()),
                ("float64", True, False, ()),
                ("float64", False, True, (0, 2)),
                ("float64", False, False, (0, 1, 3)),
            ]
        ],
    ],
)
def test_dropout_gives_what_the_loop_gives(
    dtype: str, dense: bool, wide: bool, normalised: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One group of input features and several, a shorter batch, a mask that is held, any threads.

    The numbers of the draws pass from 32 bits to 33.
    """
    density = 1.0 if dense else 0.2
    monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", 1 if wide else 4)
    monkeypatch.setattr(numba_runner, "BY_FEATURE_FROM", 1)
    for batch, held in ((7, -1), (64, 5)):
        right, right_losses, _ = trained("numpy", density, "float64", batch, held, normalised)
        results = []
        for threads in (1, 2, 3):
            use_threads(monkeypatch, threads)
            results.append(trained("numba", density, dtype, batch, held, normalised))
        found, losses, runner = results[0]
        assert isinstance(runner, CompiledStep)
        bound = 1e-12 if dtype == "float64" else 2e-6
        assert relative_error(losses, right_losses) <= bound
        for name in right:
            assert relative_error(found[name], right[name]) <= bound, name
            for other, other_losses, _ in results[1:]:
                np.testing.assert_array_equal(other[name], found[name])
                np.testing.assert_array_equal(other_losses, losses)


def test_right_answers_are_counted_without_dropping() -> None:
    with fastnn.use_backend("numba"):
        network = network_with_dropout("float32")
        x, t = data_set(700, OF_DROPOUT[0], OF_DROPOUT[-1])
        plan = make_plan(network, x.astype("float32"), t.astype("int64"), fastnn.SGD(0.1), 64)
        runner: Any = network.backend.compile(plan)
        for held_out in (None, (plan.arrays["x_data"][:301], plan.arrays["t_data"][:301])):
            count = runner.counter(held_out)
            samples = slice(None) if held_out is None else slice(301)
            right = network.accuracy(x[samples], t[samples]) * len(t[samples])
            assert count() == pytest.approx(right, abs=1.01)
        before = [int(draws) for name, draws in plan.arrays.items() if name.endswith("draws")]
        runner.flush()
        after = [int(draws) for name, draws in plan.arrays.items() if name.endswith("draws")]
        assert before == after


def test_a_fit_that_goes_on_has_the_bits_of_one_that_was_not_stopped() -> None:
    """With the number of the next draw, which layers have after a fit."""
    x, t = data_set(100, OF_DROPOUT[0], OF_DROPOUT[-1])
    results = []
    for epochs in ((3,), (1, 2)):
        with fastnn.use_backend("numba"):
            network, rng = network_with_dropout("float32"), np.random.default_rng(0)
            for some in epochs:
                fastnn.fit(network, x, t, epochs=some, batch_size=30, seed=rng, progress=False)
            draws = [
                int(layer.draws) for layer in network.layers.values() if isinstance(layer, Dropout)
            ]
            results.append((network.params, draws))
    (one, draws), (two, draws_of_two) = results
    assert draws == draws_of_two == [12] * 4
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_where_dropout_is_not_compiled_explain_says_why() -> None:
    with fastnn.use_backend("numba"):
        affine = [Affine(np.ones((4, 4)), np.zeros(4)) for _ in range(3)]
        inputs = fastnn.Sequential([Dropout(), affine[0], Relu(), affine[1]])
        assert "does not know Dropout of the inputs" in str(fastnn.explain(inputs))
        for layers in ([affine[0], Dropout(), Dropout(), affine[1]], [affine[0], Dropout()]):
            text = str(fastnn.explain(fastnn.Sequential(layers)))
            assert "does not know Dropout at this place" in text
        assert "loop" not in str(
            fastnn.explain(fastnn.Sequential([affine[0], Tanh(), Dropout(), affine[1]]))
        )
