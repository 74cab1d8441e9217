"""Layers: the book's attributes, shapes, and derivatives, called directly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import Batch, relative_error

import fastnn
from fastnn import Affine, Relu, SoftmaxWithLoss
from fastnn.backends import Backend

BOUNDS = {"float64": 1e-12, "float32": 2e-6}


def test_affine_keeps_what_the_book_keeps(
    backend: Backend, dtype: str, rng: np.random.Generator
) -> None:
    W, b = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal(4).astype(dtype)
    x, dout = rng.standard_normal((5, 6)).astype(dtype), rng.standard_normal((5, 4)).astype(dtype)
    layer = Affine(W, b)
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
    layer = Affine(W, b)
    out = layer.forward(backend.asarray(x))
    assert relative_error(out, x.reshape(5, 12) @ W + b) < 1e-12
    dout = rng.standard_normal((5, 4))
    dx = layer.backward(backend.asarray(dout))
    assert relative_error(dx, (dout @ W.T).reshape(5, 3, 2, 2)) < 1e-12
    assert layer.dW.shape == (12, 4)


def test_affine_shares_the_arrays_it_was_given_as_the_book_does() -> None:
    with fastnn.use_backend("numpy"):
        W, b = np.ones((2, 3)), np.zeros(3)
        layer = Affine(W, b)
        W -= 0.5
        assert layer.W is W
        np.testing.assert_array_equal(layer.forward(np.ones((1, 2))), [[1, 1, 1]])


@pytest.mark.parametrize(
    ("W", "b", "expected"),
    [
        ("float32", "float32", "float32"),
        ("float16", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("int64", "int64", "float64"),
        (">f4", ">f4", "float32"),
    ],
)
def test_affine_chooses_a_dtype(backend: Backend, W: str, b: str, expected: str) -> None:
    layer = Affine(np.ones((2, 3), W), np.ones(3, b))
    assert layer.W.dtype == layer.b.dtype == getattr(backend.xp, expected)


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
    layer = Affine(np.ones((12, 2)), np.zeros(2))
    with fastnn.use_backend("numpy"):
        out = layer.forward(backend.asarray(batch.x))
    assert backend.owns(out)
