"""Layers: the book's attributes, shapes, and derivatives, called directly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Relu, SoftmaxWithLoss
from fastnn.backends import Backend
from tests.helpers.problems import Batch, affine_of, relative_error

BOUNDS = {"float64": 1e-12, "float32": 2e-6}


def test_affine_keeps_what_the_book_keeps(
    backend: Backend, dtype: str, rng: np.random.Generator
) -> None:
    W, b = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal(4).astype(dtype)
    x, dout = rng.standard_normal((5, 6)).astype(dtype), rng.standard_normal((5, 4)).astype(dtype)
    layer = affine_of(W, b)
    assert layer.backend is backend
    assert all(backend.owns(a) for a in (layer.W, layer.b))
    out = layer.forward(backend.asarray(x))
    dx = layer.backward(backend.asarray(dout))
    wide = [a.astype("float64") for a in (x, W, b, dout)]
    assert relative_error(out, wide[0] @ wide[1] + wide[2]) <= BOUNDS[dtype]
    assert relative_error(dx, wide[3] @ wide[1].T) <= BOUNDS[dtype]
    assert relative_error(layer.dW, wide[0].T @ wide[3]) <= BOUNDS[dtype]
    assert relative_error(layer.db, wide[3].sum(axis=0)) <= BOUNDS[dtype]
    np.testing.assert_array_equal(backend.to_numpy(layer.x), x)


def test_affine_flattens_and_gives_back_the_shape(
    backend: Backend, rng: np.random.Generator
) -> None:
    W, b = rng.standard_normal((12, 4)), rng.standard_normal(4)
    x = rng.standard_normal((5, 3, 2, 2))
    layer = affine_of(W, b)
    out = layer.forward(backend.asarray(x))
    assert relative_error(out, x.reshape(5, 12) @ W + b) < 1e-12
    dout = rng.standard_normal((5, 4))
    dx = layer.backward(backend.asarray(dout))
    assert relative_error(dx, (dout @ W.T).reshape(5, 3, 2, 2)) < 1e-12
    assert layer.dW.shape == (12, 4)


def test_affine_computes_with_the_arrays_it_was_given_as_the_book_does() -> None:
    with fastnn.use_backend("numpy"):
        W, b = np.ones((2, 3)), np.zeros(3)
        layer = Affine(W, b)
        W -= 0.5
        assert layer.W is W
        np.testing.assert_array_equal(layer.forward(np.ones((1, 2))), [[1, 1, 1]])


LAYOUTS: dict[str, Any] = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: np.flip(np.flip(a).copy()),
    "not aligned": lambda a: shifted_by_a_byte(a),
}


def shifted_by_a_byte(array: Any) -> Any:
    room = np.ndarray(array.shape, array.dtype, bytearray(array.nbytes + 1), 1)
    room[...] = array
    return room


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kinds", ["f4 f4", "f8 f8", "f4 f8", "f8 f4"])
def test_arrays_of_floats_are_kept_and_trained(
    backend: Backend, kinds: str, layout: str, rng: np.random.Generator
) -> None:
    """Whatever their dtypes and layout, on the backend."""
    x, dout = rng.standard_normal((40, 300)), rng.standard_normal((40, 20))
    x *= rng.random(x.shape) < 0.3  # so that products that skip zeros are tried
    W64, b64 = rng.standard_normal((300, 20)), rng.standard_normal(20)
    params = {}
    for name, array, kind in zip("Wb", (W64, b64), kinds.split(), strict=True):
        given = LAYOUTS[layout](array.astype(kind))
        params[name] = given if backend.on_host else backend.asarray(given)
    layer = Affine(params["W"], params["b"])
    out = layer.forward(backend.asarray(x))
    dx = layer.backward(backend.asarray(dout))
    widest = backend.xp.float32 if kinds == "f4 f4" else backend.xp.float64
    assert (out.dtype, dx.dtype) == (widest, widest)
    bound = 1e-12 if kinds == "f8 f8" else 2e-6
    assert relative_error(out, x @ W64 + b64) <= bound
    assert relative_error(dx, dout @ W64.T) <= bound
    right = {"W": x.T @ dout, "b": dout.sum(axis=0)}
    for name, before in (("W", W64), ("b", b64)):
        gradient = getattr(layer, f"d{name}")
        assert getattr(layer, name) is params[name]
        assert gradient.dtype == params[name].dtype
        assert relative_error(gradient, right[name]) <= bound
        params[name] -= 0.1 * gradient
        assert relative_error(getattr(layer, name), before - 0.1 * right[name]) <= bound
    moved = backend.to_numpy(layer.W).astype("float64"), backend.to_numpy(layer.b).astype("float64")
    assert relative_error(layer.forward(backend.asarray(x)), x @ moved[0] + moved[1]) <= bound
    fastnn.SGD(0.1).update(params, {"W": layer.dW, "b": layer.db})
    assert layer.W is params["W"]


@pytest.mark.parametrize("wide", ["W", "b"])
def test_an_update_keeps_the_dtype_of_a_parameter(backend: Backend, wide: str) -> None:
    kinds = {"W": "float32", "b": "float32", wide: "float64"}
    params = {name: backend.asarray(np.ones(3), kind) for name, kind in kinds.items()}
    arrays = list(params.values())
    grads = {name: backend.asarray(np.ones(3), kinds["bW"[name == "b"]]) for name in kinds}
    fastnn.SGD(0.25).update(params, grads)
    for name, array in zip(kinds, arrays, strict=True):
        assert params[name] is array
        assert array.dtype == getattr(backend.xp, kinds[name])
        np.testing.assert_array_equal(backend.to_numpy(array), [0.75] * 3)


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


class OfAnotherLibrary:
    """An array that gives NumPy a copy each time."""

    shape = (2, 3)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.ones((2, 3), "float32")


@pytest.mark.parametrize(
    ("W", "expected", "words"),
    [
        (np.ones((2, 3), "float16"), "float32", r"array \(float16.*W.astype\('float32'\)"),
        (np.ones((2, 3), "int64"), "float64", r"array \(int64.*W.astype\('float64'\)"),
        (np.ones((2, 3), bool), "float64", r"array \(bool.*W.astype\('float64'\)"),
        (np.ones((2, 3), ">f4"), "float32", r"byte-swapped float32.*W.astype\('float32'\)"),
        (np.ones((2, 3), "longdouble"), "float64", r"W.astype\('float64'\)"),
        (read_only(np.ones((2, 3), "float32")), "float32", r"read-only array.*W.copy\(\)"),
        (np.broadcast_to(np.ones(3), (2, 3)), "float64", r"read-only array.*W.copy\(\)"),
        (OfAnotherLibrary(), "float32", r"OfAnotherLibrary.*fastnn.to_numpy\(W\)"),
    ],
)
def test_a_copy_that_cannot_be_avoided_is_said(
    backend: Backend, W: Any, expected: str, words: str
) -> None:
    if not backend.on_host:
        words = r"fastnn.get_backend\(\).asarray\(W"
    b = backend.asarray(np.zeros(3), expected)
    with pytest.warns(fastnn.ParameterCopyWarning, match=f"Affine: W is.*{words}") as caught:
        layer = Affine(W, b)
    assert [one.filename for one in caught] == [__file__]
    assert layer.b is b
    assert layer.W.dtype == getattr(backend.xp, expected)
    before = np.asarray(W).astype("float64")
    out = layer.forward(backend.asarray(np.eye(2)))
    np.testing.assert_array_equal(backend.to_numpy(out), before)
    layer.W -= layer.W
    np.testing.assert_array_equal(np.asarray(W).astype("float64"), before)


def test_arrays_of_the_host_are_copied_to_a_device_with_a_word(backend: Backend) -> None:
    if backend.on_host:
        pytest.skip("this backend's arrays are those of the host")
    W, b = np.ones((2, 3)), np.zeros(3)
    with pytest.warns(fastnn.ParameterCopyWarning) as caught:
        layer = Affine(W, b)
    assert len(caught) == 2
    assert backend.owns(layer.W)
    assert "b is an array (float64, shape (3,), in C order, on the host)" in str(caught[1].message)
    there = backend.asarray(W), backend.asarray(b)
    layer = Affine(*there)
    assert layer.W is there[0]
    with fastnn.use_backend("numpy"), pytest.warns(fastnn.ParameterCopyWarning, match="to_numpy"):
        Affine(there[0], b)


def test_what_is_no_array_is_silent(backend: Backend) -> None:
    for W, b in (
        ([[1, 2, 3]], [1, 2, 3]),
        (((1.5, 2),), range(2)),
        ([np.ones(3), np.ones(3)], [np.float32(1)] * 3),
    ):
        layer = Affine(W, b)
        assert layer.W.dtype == backend.xp.float64
        layer.W -= layer.W  # writable


def test_subclasses_of_arrays_share_their_memory(tmp_path: Any) -> None:
    with fastnn.use_backend("numpy"):
        W = np.memmap(tmp_path / "W", "float32", "w+", shape=(2, 3))
        W[...] = 1
        layer = Affine(W, np.zeros(3, "float32"))
        W -= 0.5
        assert type(layer.forward(np.ones((1, 2)))) is np.ndarray
        np.testing.assert_array_equal(layer.forward(np.ones((1, 2))), [[1, 1, 1]])


def test_relu_forward_backward_and_mask(backend: Backend, dtype: str) -> None:
    x = np.array([[1.0, -0.5, 0.0], [-2.0, 3.0, -0.0]], dtype)
    layer = Relu()
    out = layer.forward(backend.asarray(x))
    np.testing.assert_array_equal(backend.to_numpy(out), np.maximum(x, 0))
    np.testing.assert_array_equal(backend.to_numpy(layer.mask), x <= 0)
    out *= 0  # what the caller does with the output does not reach the gradient
    dx = layer.backward(backend.asarray(np.full((2, 3), 7, dtype)))
    np.testing.assert_array_equal(backend.to_numpy(dx), [[7, 0, 0], [0, 7, 0]])


def test_relu_of_any_shape(backend: Backend, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 5))
    layer = Relu()
    np.testing.assert_array_equal(
        backend.to_numpy(layer.forward(backend.asarray(x))), np.maximum(x, 0)
    )
    assert layer.backward(backend.asarray(x)).shape == x.shape


def test_softmax_with_loss_takes_both_kinds_of_labels(
    backend: Backend, dtype: str, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((6, 4)).astype(dtype)
    t = rng.integers(0, 4, 6)
    wide = x.astype("float64")
    y = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    for labels in (t, np.eye(4)[t]):
        layer = SoftmaxWithLoss()
        loss = layer.forward(backend.asarray(x), backend.asarray(labels))
        assert float(loss) == pytest.approx(-np.log(y[np.arange(6), t]).mean(), rel=1e-6)
        assert layer.loss is loss
        assert relative_error(layer.y, y) <= BOUNDS[dtype]
        np.testing.assert_array_equal(backend.to_numpy(layer.t), t)
        assert relative_error(layer.backward(), (y - np.eye(4)[t]) / 6) <= BOUNDS[dtype]
        assert relative_error(layer.backward(3), 3 * (y - np.eye(4)[t]) / 6) <= BOUNDS[dtype]


def test_a_sure_wrong_answer_has_an_exact_and_finite_loss(backend: Backend, dtype: str) -> None:
    layer = SoftmaxWithLoss()
    x = np.array([[1000.0, 0.0], [0.0, 1000.0]], dtype)
    assert float(layer.forward(backend.asarray(x), backend.asarray(np.array([1, 1])))) == 500
    largest = float(np.finfo(dtype).max)
    x = np.array([[largest, -largest]] * 3, dtype)
    t = backend.asarray(np.array([1, 1, 1]))
    assert math.isfinite(float(layer.forward(backend.asarray(x), t)))


@pytest.mark.parametrize("layer", [Affine(np.ones((2, 2)), np.ones(2)), Relu(), SoftmaxWithLoss()])
def test_backward_before_forward(layer: Any) -> None:
    with pytest.raises(RuntimeError, match="forward before backward"):
        layer.backward(np.ones((1, 2)))


def test_a_layer_stays_on_the_backend_it_was_made_on(backend: Backend, batch: Batch) -> None:
    layer = affine_of(np.ones((12, 2)), np.zeros(2))
    with fastnn.use_backend("numpy"):
        out = layer.forward(backend.asarray(batch.x))
    assert backend.owns(out)
