"""softmax, cross_entropy_error, one_hot and numerical_gradient, against mpmath and definitions."""

from __future__ import annotations

import math
import re
import struct
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastnn
from fastnn import (
    cross_entropy_error,
    identity_function,
    numerical_gradient,
    one_hot,
    relu,
    sigmoid,
    sigmoid_grad,
    softmax,
    step_function,
    sum_squared_error,
)
from fastnn.backends import Backend
from tests.helpers.problems import Batch, relative_error

mpmath.mp.dps = 60


def exact_softmax(row: list[float]) -> list[float]:
    powers = [mpmath.exp(mpmath.mpf(value)) for value in row]
    return [float(power / sum(powers)) for power in powers]


ROWS = [
    [0.3, 2.9, 4.0],
    [1010.0, 1000.0, 990.0],
    [-745.0, 0.0, 1.0],
    [1e-8, 2e-8, -1e-8],
    [5.0],
    [30.0, -30.0],
]


@pytest.mark.parametrize("row", ROWS)
def test_softmax_is_exact(backend: Backend, dtype: str, row: list[float]) -> None:
    y = fastnn.to_numpy(softmax(backend.asarray(np.array(row, dtype))))
    rounded = np.array(row, dtype).astype("float64").tolist()
    np.testing.assert_allclose(
        y, exact_softmax(rounded), rtol=1e-14 if dtype == "float64" else 1e-6, atol=1e-300
    )
    assert y.dtype == dtype


def test_softmax_of_the_largest_numbers_there_are(backend: Backend, dtype: str) -> None:
    largest = np.finfo(dtype).max
    x = backend.asarray(np.array([[largest, -largest, 0], [largest, largest, -largest]], dtype))
    np.testing.assert_array_equal(fastnn.to_numpy(softmax(x)), [[1, 0, 0], [0.5, 0.5, 0]])


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
        elements=st.floats(-1e308, 1e308),
    )
)
@settings(max_examples=60, deadline=None)
def test_softmax_sums_to_one_whatever_the_size_of_the_logits(x: np.ndarray[Any, Any]) -> None:
    for name in ("numpy", "numba"):
        with fastnn.use_backend(name):
            y = softmax(x)
        np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-12)
        assert (y >= 0).all()


def test_softmax_takes_integers_and_lists_as_float64() -> None:
    np.testing.assert_allclose(softmax([1, 2, 3]), softmax(np.array([1.0, 2, 3])), rtol=0)
    assert softmax([1, 2, 3]).dtype == np.float64
    assert softmax(np.ones((2, 2), "float16")).dtype == np.float32


BOOKS: dict[Any, Any] = {
    sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    sigmoid_grad: lambda x: (1 - 1 / (1 + np.exp(-x))) / (1 + np.exp(-x)),
    relu: lambda x: np.maximum(0, x),
    identity_function: lambda x: x,
    step_function: lambda x: np.array(x > 0, dtype=int),
}


@pytest.mark.parametrize("function", BOOKS, ids=lambda function: function.__name__)
def test_functions_of_chapter_3_and_4(backend: Backend, dtype: str, function: Any) -> None:
    x = np.array([[-3.5, -0.0, 0.25], [0.0, 2.0, -1e-3]], dtype)
    for values in (x, x[:, ::-1], x[0], x[0, 0].reshape(())):
        found = function(backend.asarray(values))
        assert backend.owns(found)
        assert tuple(found.shape) == values.shape
        expected = BOOKS[function](values.astype("float64"))
        np.testing.assert_allclose(
            fastnn.to_numpy(found), expected, rtol={"float32": 1e-6, "float64": 1e-14}[dtype]
        )
        assert fastnn.to_numpy(found).dtype == ("int64" if function is step_function else dtype)


@pytest.mark.parametrize("function", BOOKS, ids=lambda function: function.__name__)
def test_functions_take_numbers_and_lists(backend: Backend, function: Any) -> None:
    with fastnn.use_backend(backend):
        with pytest.raises(TypeError, match="x "):
            function("no number")
        for x in (2, -0.5, [1, -2, 3], [[0.5], [-1.5]], np.float32(2), np.arange(3, dtype="u1")):
            found = fastnn.to_numpy(function(x))
            expected = BOOKS[function](np.asarray(x, "float64"))
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_sigmoid_of_any_finite_number(backend: Backend, dtype: str) -> None:
    most = float(np.finfo(dtype).max)
    x = backend.asarray(np.array([most, -most, 1000, -1000, -80], dtype))
    with np.errstate(all="raise"):
        y, slope = fastnn.to_numpy(sigmoid(x)), fastnn.to_numpy(sigmoid_grad(x))
    np.testing.assert_allclose(y, [1, 0, 1, 0, np.exp(-80)], rtol=1e-6)
    np.testing.assert_allclose(slope, [0, 0, 0, 0, np.exp(-80)], rtol=1e-6)


def test_sum_squared_error(backend: Backend, dtype: str) -> None:
    y = np.array([0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0], dtype)
    t = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    found = sum_squared_error(backend.asarray(y), backend.asarray(t.astype(dtype)))
    assert backend.owns(found)
    assert float(found) == pytest.approx(0.0975, rel=1e-6)  # the book's, chapter 4.2
    assert fastnn.to_numpy(found).dtype == dtype
    several = sum_squared_error(backend.asarray(np.stack([y, y])), np.stack([t, t]))
    assert float(several) == pytest.approx(2 * 0.0975, rel=1e-6)
    assert float(sum_squared_error(3, 1)) == 2
    assert float(sum_squared_error([1, 2], [3, 5])) == 6.5


def test_sum_squared_error_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"y has shape \(2, 3\) and t \(2,\).*one_hot"):
        sum_squared_error(np.ones((2, 3)), [0, 1])
    with pytest.raises(TypeError, match="t "):
        sum_squared_error(np.ones(2), ["a", "b"])


def test_cross_entropy_is_exact(backend: Backend, dtype: str) -> None:
    y = np.array([[0.1, 0.05, 0.6, 0.25], [1.0, 0.0, 0.0, 0.0]], dtype)
    exact = [-math.log(y.astype("float64")[0, 2]), 0.0]
    for t in (np.array([2, 0]), np.array([[0, 0, 1, 0], [1, 0, 0, 0]])):
        loss = cross_entropy_error(backend.asarray(y), backend.asarray(t))
        assert backend.owns(loss)
        bound = 1e-14 if dtype == "float64" else 1e-6
        assert float(loss) == pytest.approx(sum(exact) / 2, rel=bound)


def test_cross_entropy_of_a_sure_wrong_answer_is_finite(backend: Backend, dtype: str) -> None:
    y = backend.asarray(np.array([[1.0, 0.0]], dtype))
    loss = float(cross_entropy_error(y, np.array([1])))
    assert loss == pytest.approx(-math.log(np.finfo(dtype).tiny), rel=1e-6)


def test_cross_entropy_of_one_sample() -> None:
    y = np.array([0.1, 0.05, 0.6, 0.25])
    for t in (2, [2], [0, 0, 1, 0]):
        assert float(cross_entropy_error(y, t)) == pytest.approx(-math.log(0.6))


def test_one_hot(backend: Backend) -> None:
    t = backend.asarray(np.array([2, 0, 1], "uint8"))
    found = one_hot(t)
    assert backend.owns(found)
    np.testing.assert_array_equal(fastnn.to_numpy(found), [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert one_hot(t, 5).shape == (3, 5)
    assert fastnn.to_numpy(one_hot(t, 5, dtype="int64")).dtype == np.int64


@pytest.mark.parametrize("label", [2**31 - 1, 2**28, 2**62, 1e18])
def test_one_hot_of_a_label_that_is_none_costs_no_memory(backend: Backend, label: float) -> None:
    for t in ([label], [3, label, 1]):
        with pytest.raises(
            ValueError, match=rf"label, {re.escape(str(label))} \(classes= .*at most 268"
        ):
            one_hot(t)
        with pytest.raises(ValueError, match=rf"label t\[{len(t) // 2}\] is .* from 0 to 9"):
            one_hot(t, 10)
    for labels in ([0], [1, 2, 3], []):
        with pytest.raises(ValueError, match=r"by classes=: .* of 1,000,000,000,000 classes would"):
            one_hot(np.array(labels, int), 10**12)
    with pytest.raises(ValueError, match="300,000 one-hot labels of 1,000 classes"):
        one_hot(np.zeros(300_000, "uint8"), 1000)


def test_numerical_gradient_of_known_functions(backend: Backend) -> None:
    x = backend.asarray(np.array([[1.0, -2.0], [0.5, 3.0]]))
    found = numerical_gradient(lambda a: backend.xp.sum(a**3), x)
    assert backend.owns(found)
    assert relative_error(found, 3 * backend.to_numpy(x) ** 2) < 1e-7


def test_numerical_gradient_reads_x_from_outside_too(backend: Backend) -> None:
    x = backend.asarray(np.arange(6.0).reshape(3, 2))
    found = numerical_gradient(lambda _: backend.xp.sum(x * x), x)
    assert relative_error(found, 2 * backend.to_numpy(x)) < 1e-9


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 2), (0,)])
def test_numerical_gradient_of_any_shape(backend: Backend, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape)
    x = backend.asarray(values)
    found = numerical_gradient(lambda a: backend.xp.sum(backend.xp.exp(a)), x)
    np.testing.assert_allclose(backend.to_numpy(found), np.exp(values), rtol=1e-7)
    np.testing.assert_array_equal(backend.to_numpy(x), values)


def test_numerical_gradient_of_any_layout() -> None:
    for x in (np.asfortranarray(np.ones((2, 3))), np.ones((4, 6))[::2, ::-2], np.ones(3, ">f8")):
        found = numerical_gradient(lambda a: float((a**2).sum()), x)
        np.testing.assert_allclose(found, 2 * np.ones(x.shape), rtol=1e-9)


def test_numerical_gradient_in_float32_divides_by_the_step_that_was_made() -> None:
    x = np.array([100.0, 3.0], "float32")  # 100 + 1e-4 is rounded to a multiple of 7.6e-6
    found = numerical_gradient(lambda a: float(a[0].astype("float64") * 2 + a[1]), x)
    assert found[0] == pytest.approx(2, rel=1e-9)


def bits(x: np.ndarray[Any, Any]) -> bytes:
    return struct.pack(f"{x.size}d", *x.ravel())


def test_numerical_gradient_restores_x_to_the_last_bit() -> None:
    x = np.array([0.1, -0.0, 1e-300, 123456.789, np.nan])
    before = x.tobytes()
    numerical_gradient(lambda a: float(np.nansum(a)), x)
    assert x.tobytes() == before


def test_numerical_gradient_restores_x_when_f_raises(backend: Backend) -> None:
    values = np.array([[0.1, -0.7], [1e-3, 2.0]])
    x = backend.asarray(values)
    calls = 0

    def f(_: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise ZeroDivisionError
        return 1.0

    with pytest.raises(ZeroDivisionError):
        numerical_gradient(f, x)
    assert backend.to_numpy(x).tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("x", "f", "error", "words"),
    [
        (np.array([1, 2]), np.sum, TypeError, "int64"),
        (np.ones(2, "float16"), np.sum, TypeError, "float16"),
        (np.ones(2, complex), np.sum, TypeError, "complex128"),
        ([1.0, 2.0], np.sum, TypeError, "must be an array"),
        (3.0, np.sum, TypeError, "must be an array"),
        (np.broadcast_to(1.0, (2,)), np.sum, ValueError, "read-only"),
        (np.ones(2), lambda x: x, ValueError, r"shape \(2,\)"),
        (np.ones(2), lambda x: "3", ValueError, "one real number"),
        (np.full(1, 1e30), np.sum, ValueError, "does not change"),
    ],
)
def test_numerical_gradient_refuses(x: Any, f: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        numerical_gradient(f, x)


@pytest.mark.parametrize("h", [0, -1e-4, math.nan, math.inf])
def test_numerical_gradient_refuses_a_step_that_is_none(h: float) -> None:
    x = np.ones(2)
    with pytest.raises(ValueError, match="h must be"):
        numerical_gradient(np.sum, x, h=h)
    np.testing.assert_array_equal(x, 1)


@pytest.mark.filterwarnings("ignore:the loss has not moved:fastnn.TrainingWarning")
def test_the_users_own_error_state_changes_nothing(backend: Backend, dtype: str) -> None:
    with np.errstate(all="raise"):
        y = fastnn.to_numpy(softmax(backend.asarray(np.array([[0.0, -2000.0]], dtype))))
        network = fastnn.TwoLayerNet(3, 4, 2, 500.0, dtype=dtype, seed=0)
        x, t = np.ones((5, 3)), np.array([0, 1, 0, 1, 0])
        network.loss(x, t), network.gradient(x, t)
        fastnn.fit(network, x, t, batch_size=2, progress=False)
    np.testing.assert_array_equal(y, [[1, 0]])


def error_by_hand(network: fastnn.Sequential, f: Any, name: str, x: Any, t: Any) -> float:
    twin = network.copy().astype("float64")
    return relative_error(numerical_gradient(f, network.params[name]), twin.gradient(x, t)[name])


@pytest.mark.parametrize("samples", [3, 100])
@pytest.mark.parametrize("std", [0.01, 0.1])
def test_a_gradient_check_by_hand_in_float32(backend: Backend, std: float, samples: int) -> None:
    """The book's check, of a network in the dtype that it has by default."""
    batch = Batch(samples, 20, 4, seed=2)
    network = fastnn.TwoLayerNet(20, 8, 4, std, seed=1)
    network.params["b1"] = np.ones(8)  # no unit is at the kink of ReLU
    for name in ("W2", "b2", "b1"):
        error = error_by_hand(
            network, lambda _: network.loss(batch.x, batch.t), name, batch.x, batch.t
        )
        assert error < 2e-3, name


def test_losses_in_float32_that_are_too_coarse_draw_a_warning(backend: Backend) -> None:
    batch = Batch(100, 20, 4, seed=2)
    network = fastnn.TwoLayerNet(20, 8, 4, 0.01, seed=1)

    def loss(_: Any) -> Any:
        return cross_entropy_error(softmax(network.predict(batch.x)), batch.t)

    with pytest.warns(RuntimeWarning, match=r"may be off by \de-0\d of its .*needs float64"):
        error = error_by_hand(network, loss, "W2", batch.x, batch.t)
    assert error > 1e-3
    network.astype("float64")
    assert error_by_hand(network, loss, "W2", batch.x, batch.t) < 1e-7


def test_a_function_below_the_digits_of_float32_draws_a_warning() -> None:
    x = np.ones(2, "float32")
    with pytest.warns(RuntimeWarning, match="off by all that it is"):
        numerical_gradient(lambda a: np.float32(1) + np.float32(1e-9) * a[0], x)


def test_a_kink_between_the_points_draws_a_warning_in_float32() -> None:
    x = np.array([5e-5, 1.0], "float32")
    with pytest.warns(RuntimeWarning, match="may be off"):
        numerical_gradient(lambda a: float(np.maximum(a.astype("float64"), 0).sum()), x)


def test_numerical_gradient_in_float32_of_results_in_float32() -> None:
    x = np.array([0.5, -2.0, 3.0], "float32")
    found = numerical_gradient(lambda a: np.sum(a * a, dtype="float32") / 8, x)
    np.testing.assert_allclose(found, x / 4, rtol=1e-3)


def test_the_loss_of_a_network_in_float32_has_the_digits_of_float64(backend: Backend) -> None:
    batch = Batch(100, 12, 4)
    network = fastnn.TwoLayerNet(12, 6, 4, 0.5, seed=1)
    scores = fastnn.to_numpy(network.predict(batch.x)).astype("float64")
    exact = cross_entropy_error(softmax(scores), batch.t)
    assert network.loss(batch.x, batch.t) == pytest.approx(float(exact), rel=1e-12)
    gradients = network.gradient(batch.x, batch.t)
    network.loss(batch.x, batch.t)
    dout = network.lastLayer.backward(1)
    assert network.lastLayer.y.dtype == dout.dtype == network.params["W1"].dtype
    for layer in reversed(list(network.layers.values())):
        dout = layer.backward(dout)
    assert relative_error(network.layers["Affine1"].dW, gradients["W1"]) < 1e-6
