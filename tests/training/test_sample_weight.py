"""Weights of samples: in `loss`, `gradient` and `fit`, on every engine.

What is compiled for Numba is compared in `tests/backends/numba/test_compiled_weights.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MeanSquaredError, MultiLayerNet, SigmoidWithLoss, SoftmaxWithLoss
from fastnn.backends import Backend
from tests.helpers.networks import parameters
from tests.helpers.problems import relative_error

Array = np.ndarray[Any, Any]
LOSSES = (SoftmaxWithLoss, SigmoidWithLoss, MeanSquaredError)
BOUNDS = {"float32": 2e-6, "float64": 1e-12}


def problem(loss: type) -> tuple[Array, Array, Array]:
    """Inputs, targets and weights, a third of them zero."""
    rng = np.random.default_rng(7)
    x = np.where(rng.random((40, 30)) < 0.8, 0, rng.random((40, 30))).astype("float32")
    t = rng.integers(0, 3, 40) if loss is SoftmaxWithLoss else rng.random((40, 3)).round(1)
    return x, t, np.where(rng.random(40) < 0.3, 0, rng.integers(1, 5, 40)).astype("float64")


def network_of(loss: type = SoftmaxWithLoss, dtype: str = "float64") -> MultiLayerNet:
    network = MultiLayerNet(30, [9, 70], 3, dtype=dtype, seed=1)
    network.lastLayer = loss()
    return network


def losses_of(network: MultiLayerNet, loss: type, x: Array, t: Array) -> Any:
    """The loss of each sample, from the scores, in float64."""
    scores = fastnn.to_numpy(network.predict(x)).astype("float64")
    t = np.eye(3)[t] if loss is SoftmaxWithLoss else t
    if loss is SoftmaxWithLoss:
        return np.log(np.exp(scores).sum(axis=1)) - (t * scores).sum(axis=1)
    if loss is SigmoidWithLoss:
        y = 1 / (1 + np.exp(-scores))
        return -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(axis=1)
    return ((scores - t) ** 2).sum(axis=1) / 2


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_the_weighted_mean(backend: Backend, dtype: str, loss: type) -> None:
    x, t, w = problem(loss)
    network = network_of(loss, dtype)
    right = np.average(losses_of(network, loss, x, t), weights=w)
    assert network.loss(x, t, sample_weight=w) == pytest.approx(right, rel=BOUNDS[dtype])
    assert network.loss(x, t, sample_weight=backend.asarray(w)) == pytest.approx(right, rel=1e-6)
    found = network.loss(x, t, sample_weight=[7] * 40)
    assert found == network.loss(x, t)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_that_of_the_weighted_mean(backend: Backend, loss: type) -> None:
    """The sum of the gradients of single samples, each times its share."""
    x, t, w = problem(loss)
    x, t, w = x[:6], t[:6], np.array([0.5, 0, 2, 1e-3, 1, 3])
    network = network_of(loss)
    found = {k: fastnn.to_numpy(g) for k, g in network.gradient(x, t, sample_weight=w).items()}
    right = {name: np.zeros(array.shape) for name, array in found.items()}
    for n in range(6):
        for name, g in network.gradient(x[n : n + 1], t[n : n + 1]).items():
            right[name] += w[n] / w.sum() * fastnn.to_numpy(g)
    for name in right:
        assert relative_error(found[name], right[name]) <= 1e-12
    again = network.gradient(x, t)
    ones = network.gradient(x, t, sample_weight=np.ones(6, "float32"))
    for name, g in again.items():
        np.testing.assert_array_equal(fastnn.to_numpy(g), fastnn.to_numpy(ones[name]))


def trained(
    x: Array, t: Array, w: object, loss: type = SoftmaxWithLoss, dtype: str = "float64",
    **options: Any,
) -> tuple[dict[str, Array], list[float]]:  # fmt: skip
    network = network_of(loss, dtype)
    options = {"epochs": 3, "batch_size": 16, "seed": 3, **options}
    history = fastnn.fit(network, x, t, sample_weight=w, progress=False, **options)
    return parameters(network), history.losses


@pytest.mark.parametrize(
    ("loss", "dtype"),
    [
        (SoftmaxWithLoss, "float64"),
        (SigmoidWithLoss, "float32"),
        pytest.param(MeanSquaredError, "float64", marks=pytest.mark.exhaustive),
    ],
)
def test_fit_is_gradient_and_update(backend: Backend, loss: type, dtype: str) -> None:
    """Of float64, in the order in which `fit` takes samples; batches of zeros change nothing."""
    x, t, w = problem(loss)
    order = np.random.default_rng(3).permutation(40)
    w[order[16:32]] = 0
    network, losses = network_of(loss), []
    for rows in (order[:16], order[16:32], order[32:]):
        some = x[rows], t[rows]
        if w[rows].sum() == 0:
            losses.append(0.0)
            continue
        losses.append(network.loss(*some, sample_weight=w[rows]))
        grads = network.gradient(*some, sample_weight=w[rows])
        fastnn.SGD(0.1).update(network.params, grads)
    found, found_losses = trained(x, t, w, loss, dtype, epochs=1)
    np.testing.assert_allclose(found_losses, losses, rtol=10 * BOUNDS[dtype])
    for name, right in parameters(network).items():
        assert relative_error(found[name], right) <= 10 * BOUNDS[dtype]


def test_equal_weights_change_no_bit(backend: Backend) -> None:
    x, t, _ = problem(SoftmaxWithLoss)
    plain, losses = trained(x, t, None)
    for w in (np.ones(40, "uint8"), np.full(40, 0.25)):
        found, found_losses = trained(x, t, w)
        assert found_losses == losses
        for name in plain:
            np.testing.assert_array_equal(found[name], plain[name])


def test_whole_weights_are_repeated_samples(backend: Backend) -> None:
    x, t, w = problem(SoftmaxWithLoss)
    found, losses = trained(x, t, w, batch_size=40)
    repeats = w.astype(int)
    more, labels = np.repeat(x, repeats, axis=0), np.repeat(t, repeats)
    right, right_losses = trained(more, labels, None, batch_size=len(more))
    np.testing.assert_allclose(losses, right_losses, rtol=1e-12)
    for name in right:
        assert relative_error(found[name], right[name]) <= 1e-12


def test_weights_of_any_scale_and_later_changes(backend: Backend) -> None:
    """Ratios count; and what was handed over is copied."""
    x, t, w = problem(SoftmaxWithLoss)
    right, _ = trained(x, t, w)
    given = backend.copy(backend.asarray(1e300 * w / w.sum()))

    def spoil(network: object, history: object) -> None:
        given[...] = 0.0

    found, _ = trained(x, t, given, callbacks=[spoil])
    for name in right:
        assert relative_error(found[name], right[name]) <= 1e-10


def test_weights_of_data_that_have_no_room(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They arrive with the samples."""
    if type(backend).feed is Backend.feed or backend.on_host:
        pytest.skip("all data have room")
    x, t, w = problem(SoftmaxWithLoss)
    right, losses = trained(x, t, w)
    monkeypatch.setattr(type(backend), "holds", lambda self, size: False)
    found, found_losses = trained(x, t, w)
    assert found_losses == losses
    for name in right:
        np.testing.assert_array_equal(found[name], right[name])


BAD: dict[str, tuple[Callable[[Array], Any], type[Exception], str]] = {
    "too few": (lambda w: w[:9], ValueError, r"shape \(9,\), but there are 40 samples: .*\(40,\)$"),
    "a column": (lambda w: w[:, None], ValueError, r"pass np\.ravel\(sample_weight\)"),
    "one number": (lambda w: 2.0, ValueError, r"shape \(\), but there are 40 samples"),
    "negative": (lambda w: np.where(np.arange(40) == 5, -1, w), ValueError, r"\[5\] is -1\.0: a"),
    "NaN": (lambda w: np.where(np.arange(40) > 5, np.nan, w), ValueError, r"\[6\] is nan: a wei"),
    "infinite": (lambda w: w / 0.0, ValueError, r"is (nan|inf): a weight is finite"),
    "all zero": (lambda w: 0 * w, ValueError, "is 0 for every sample"),
    "an infinite sum": (lambda w: 1e308 * (w / 9 + 1), ValueError, r"sample_weight / np\.max"),
    "text": (lambda w: ["balanced"] * 40, TypeError, r"sample_weight"),
    "a name": (lambda w: "balanced", TypeError, r"sample_weight is a str"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_weights_that_are_none(backend: Backend, case: str) -> None:
    make, error, words = BAD[case]
    x, t, w = problem(SoftmaxWithLoss)
    with np.errstate(all="ignore"):
        bad = make(w)
    network = network_of()
    before = parameters(network)
    for call in (network.loss, network.gradient):
        with pytest.raises(error, match=words):
            call(x, t, sample_weight=bad)
    with pytest.raises(error, match=words):
        fastnn.fit(network, x, t, sample_weight=bad, progress=False)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_loss_of_ones_own_takes_no_weights(backend: Backend) -> None:
    class Own(SoftmaxWithLoss):
        """Unchanged."""

        def forward(self, x: Any, t: Any) -> Any:  # type: ignore[override]
            return super().forward(x, t)

    x, t, w = problem(SoftmaxWithLoss)
    network = network_of(Own)
    for call in (network.loss, network.gradient, lambda *a, **k: fastnn.fit(network, *a, **k)):
        with pytest.raises(TypeError, match="is Own, a class of your own"):
            call(x, t, sample_weight=w)
    with pytest.raises(TypeError, match="is Own, a class of your own"):
        fastnn.explain(network, sample_weight=True)


def test_weights_run_where_the_rest_does(backend: Backend) -> None:
    network = network_of()
    plain, weighted = fastnn.explain(network), fastnn.explain(network, sample_weight=True)
    assert weighted.runs == plain.runs
    assert weighted.parts == plain.parts
