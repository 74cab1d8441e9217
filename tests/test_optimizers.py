"""SGD, as the book calls it and as a hyperparameter of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import Batch, relative_error

from fastnn import SGD, TwoLayerNet
from fastnn.backends import Backend


def test_update_is_the_books_line(backend: Backend, dtype: str, batch: Batch) -> None:
    network, twin = (TwoLayerNet(12, 6, 4, 0.5, dtype=dtype, seed=3) for _ in range(2))
    gradients = network.gradient(batch.x, batch.t)
    before = {name: backend.to_numpy(array).copy() for name, array in gradients.items()}
    arrays = dict(network.params)
    SGD(lr=0.3).update(network.params, gradients)
    for name in twin.params:
        twin.params[name] -= 0.3 * gradients[name]
        assert relative_error(network.params[name], twin.params[name]) < 1e-7
        assert network.params[name] is arrays[name]
        np.testing.assert_array_equal(backend.to_numpy(gradients[name]), before[name])


def test_update_of_a_plain_dictionary() -> None:
    params = {"W": np.ones((2, 3), "float32"), "b": np.zeros(3)}
    SGD().update(params, {"W": np.full((2, 3), 2, "float32"), "b": np.ones(3), "other": 0})
    np.testing.assert_allclose(params["W"], 0.98, rtol=1e-6)
    np.testing.assert_array_equal(params["b"], -0.01)


@pytest.mark.parametrize(
    ("grads", "error", "words"),
    [
        ({"W": np.ones(2)}, KeyError, "no gradient for parameter 'b'"),
        ({"W": np.ones(2), "b": np.ones(3)}, ValueError, r"'b' has shape \(3,\).*\(2,\)"),
    ],
)
def test_update_changes_all_or_nothing(
    grads: dict[str, Any], error: type[Exception], words: str
) -> None:
    params = {"W": np.zeros(2), "b": np.zeros(2)}
    with pytest.raises(error, match=words):
        SGD(1).update(params, grads)
    assert not params["W"].any()


@pytest.mark.parametrize("rate", [0, 1, 0.5, np.float32(0.25), np.array(0.125)])
def test_rates_that_work(rate: Any) -> None:
    optimizer = SGD(rate)
    assert optimizer.lr == float(rate)
    assert repr(optimizer) == f"SGD(lr={float(rate)!r})"


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (-0.1, ValueError),
        ("0.1", TypeError),
        (None, TypeError),
        (True, TypeError),
        (1j, TypeError),
        (np.ones(2), TypeError),
    ],
)
def test_rates_that_are_refused(rate: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="lr must be"):
        SGD(rate)
    optimizer = SGD(0.5)
    with pytest.raises(error, match="lr must be"):
        optimizer.lr = rate
    assert optimizer.lr == 0.5
