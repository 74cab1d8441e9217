"""SGD, as the book calls it and as a hyperparameter of a training."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, TwoLayerNet
from fastnn.backends import Backend
from fastnn.wording import shown
from tests.helpers.problems import Batch, relative_error


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


def test_plain_numbers_are_assigned(backend: Backend) -> None:
    """The book's comparison of optimizers, chapter 6.1."""
    params, expected = {"x": -7.0, "y": 2.0}, {"x": -7.0, "y": 2.0}
    optimizer = SGD(lr=0.95)
    for _ in range(30):
        optimizer.update(params, {"x": params["x"] / 10.0, "y": 2.0 * params["y"]})
        grads = {"x": expected["x"] / 10.0, "y": 2.0 * expected["y"]}
        for key in expected:
            expected[key] -= 0.95 * grads[key]
    assert params == expected
    assert all(type(value) is float for value in params.values())


def test_numbers_and_arrays_of_every_kind_together(backend: Backend) -> None:
    array, single = backend.asarray(np.ones((2, 3))), backend.asarray(np.array(3.0))
    params = {
        "W": array, "0-d": single, "int": 2, "float32": np.float32(2), "int64": np.int64(2),
        "Fraction": Fraction(1, 2), "by 0-d": 1.0,
    }  # fmt: skip
    grads = {
        "W": backend.asarray(np.ones((2, 3))), "0-d": 1, "int": 1.0, "float32": np.float32(1),
        "int64": 1, "Fraction": 1, "by 0-d": backend.asarray(np.array(2.0)),
    }  # fmt: skip
    SGD(0.5).update(params, grads)
    assert params["W"] is array
    assert params["0-d"] is single
    np.testing.assert_array_equal(backend.to_numpy(array), 0.5)
    assert float(single) == 2.5
    assert params["int"] == params["int64"] == params["float32"] == 1.5
    assert type(params["int"]) is float
    assert type(params["float32"]) is np.float32
    assert type(params["int64"]) is np.float64
    assert params["Fraction"] == params["by 0-d"] == 0


@pytest.mark.parametrize("dtype", ["float16", "longdouble", ">f4", ">f8", "float32", "float64"])
@pytest.mark.parametrize(
    "of_gradient", ["float16", "longdouble", ">f8", "int64", "bool", "float32"]
)
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_arrays_of_any_dtype_on_the_host(name: str, dtype: str, of_gradient: str) -> None:
    W = np.ones((4, 3), dtype)
    with fastnn.use_backend(name):
        SGD(0.5).update(
            {"W": W, "half": W[::2, ::-1]},
            {"W": np.ones((4, 3), of_gradient), "half": np.ones((2, 3), of_gradient)},
        )
    np.testing.assert_array_equal(W, [[0.0] * 3, [0.5] * 3] * 2)


class NotB(dict[str, Any]):
    """A dictionary that takes no "b"."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "b":
            raise RuntimeError("b is fixed")
        super().__setitem__(name, value)


NOT_UPDATED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "no gradient": ({"b": 1.0}, {}, KeyError, "no gradient for parameter 'b'"),
    "names of two types": ({1: 1.0}, {"a": 1.0, 2: 1.0}, KeyError, "parameter 1"),
    "a bool": ({"b": True}, {"b": 1.0}, TypeError, "parameter 'b' must be .* got True"),
    "text": ({"b": "1"}, {"b": 1.0}, TypeError, "parameter 'b' must be .* got '1'"),
    "a list": ({"b": [1.0]}, {"b": [1.0]}, TypeError, r"parameter 'b' must be .* got \[1.0\]"),
    "None": ({"b": None}, {"b": 1.0}, TypeError, "parameter 'b' must be .* got None"),
    "complex": ({"b": 1j}, {"b": 1.0}, TypeError, "parameter 'b' must be .* got 1j"),
    "by None": ({"b": 1.0}, {"b": None}, TypeError, "gradient of 'b' must be .* got None"),
    "by complex": ({"b": 1.0}, {"b": 1j}, TypeError, "gradient of 'b' must be .* got 1j"),
    "by an array": ({"b": 1.0}, {"b": np.ones(1)}, TypeError, "gradient of 'b' must be"),
    "by an integer beyond a float": (
        {"b": 1.0}, {"b": 10**5000}, ValueError, "gradient of 'b' is beyond the range",
    ),
    "an array by a number": ({"b": np.ones(2)}, {"b": 1}, TypeError, "of 'b' is no array, but 1"),
    "an array by complex": (
        {"b": np.ones(2)}, {"b": np.ones(2) + 0j}, TypeError, "of 'b' has dtype complex128",
    ),
    "an array of integers": (
        {"b": np.ones(2, int)}, {"b": np.ones(2)}, TypeError, r"'b' has dtype int64.*astype",
    ),
    "a masked array": (
        {"b": np.ma.masked_array([1.0], [True])}, {"b": np.ones(1)}, TypeError, "masked.*filled",
    ),
    "read-only": ({"b": np.broadcast_to(1.0, 2)}, {"b": np.ones(2)}, ValueError, "read-only"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_UPDATED)
def test_numbers_too_change_all_or_nothing(backend: Backend, case: str) -> None:
    params, grads, error, words = NOT_UPDATED[case]
    W = backend.asarray(np.ones(2))
    params = {"a": 1.0, "W": W, **params, "c": 1.0}
    before = dict(params)
    with pytest.raises(error, match=words):
        SGD(1).update(params, {"a": 1.0, "W": backend.asarray(np.ones(2)), "c": 1.0, **grads})
    assert all(params[name] is value for name, value in before.items())
    np.testing.assert_array_equal(backend.to_numpy(W), 1)


def test_dictionaries_that_cannot_be_assigned_to() -> None:
    W = np.ones(2)
    for make, error, words in (
        (MappingProxyType, TypeError, r"mappingproxy.*params\['a'\] is a number"),
        (NotB, RuntimeError, "b is fixed"),
    ):
        params = make({"a": 1.0, "b": 1.0, "W": W})
        with pytest.raises(error, match=words):
            SGD(1).update(params, {"a": 1.0, "b": 1.0, "W": np.ones(2)})
        assert params["a"] == 1
        np.testing.assert_array_equal(W, 1)
    SGD(1).update(MappingProxyType({"W": W}), {"W": np.ones(2)})
    np.testing.assert_array_equal(W, 0)
    with pytest.raises(TypeError, match="params must be a dictionary"):
        SGD(1).update([W], {"W": W})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="grads must be a dictionary"):
        SGD(1).update({"W": W}, [W])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rate",
    [
        0, 1, 0.5, np.float32(0.25), np.array(0.125), np.uint8(3), np.longdouble("0.5"),
        Decimal("0.1"), Fraction(1, 3),
    ],
)  # fmt: skip
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
        (np.ones(1), TypeError),
        (np.ones((1, 1)), TypeError),
        (np.complex64(1), TypeError),
        (np.array(1j), TypeError),
        (np.True_, TypeError),
        (np.array(True), TypeError),
        (np.array("1"), TypeError),
        (np.str_("1"), TypeError),
        (np.timedelta64(1, "s"), TypeError),
        (np.ma.masked, TypeError),
        (b"1", TypeError),
        (bytearray(b"1"), TypeError),
        pytest.param(memoryview(b"1"), TypeError, id="memoryview"),  # whose text is an address
        ([10**5000], TypeError),
        (10**400, ValueError),
        (-(10**400), ValueError),
        (10**5000, ValueError),
        (Fraction(10**400), ValueError),
        (Decimal("1e400"), ValueError),
        (Decimal("sNaN"), ValueError),
        (Decimal("-0.1"), ValueError),
        (np.longdouble("1e4000"), ValueError),
    ],
    ids=shown,
)
def test_rates_that_are_refused(rate: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="lr must be") as caught:
        SGD(rate)
    assert f", got {shown(rate)}" in str(caught.value)
    optimizer = SGD(0.5)
    with pytest.raises(error, match="lr must be"):
        optimizer.lr = rate
    assert optimizer.lr == 0.5
