"""Activations as layers; `tests.nn.test_layers` has ReLU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Gelu, LeakyRelu, Sequential, Sigmoid, Tanh
from fastnn.backends import Backend
from fastnn.backends.plan import Activation
from fastnn.nn.activations import BY_PRIMITIVE
from fastnn.training.planner import make_plan
from tests.helpers.problems import relative_error

FORMULAS: dict[Any, Any] = {
    Sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    Tanh: np.tanh,
    LeakyRelu: lambda x: np.where(x <= 0, 0.01 * x, x),
    Gelu: np.vectorize(lambda x: x * ((1 + math.erf(x / math.sqrt(2))) / 2), otypes=[float]),
}


def test_each_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(BY_PRIMITIVE)


@pytest.mark.parametrize("cls", FORMULAS)
def test_forward_and_backward(cls: Any, backend: Backend, dtype: str) -> None:
    """The formula in float64, and its difference quotient; arrays of any shape."""
    rng = np.random.default_rng(7)
    bound = {"float32": 2e-6, "float64": 1e-12}[dtype]
    for shape in ((9,), (7, 5), (3, 4, 5)):
        x = rng.standard_normal(shape).astype("float32").astype("float64") * 3
        dout = rng.standard_normal(shape).astype("float32").astype("float64")
        layer = cls()
        out = layer.forward(backend.asarray(x, dtype))
        dx = layer.backward(backend.asarray(dout, dtype))
        assert backend.to_numpy(out).dtype == backend.to_numpy(dx).dtype == dtype
        assert relative_error(backend.to_numpy(out), FORMULAS[cls](x)) <= bound
        h = 1e-6
        slope = (FORMULAS[cls](x + h) - FORMULAS[cls](x - h)) / (2 * h)
        assert relative_error(backend.to_numpy(dx), dout * slope) <= max(bound, 1e-8)


@pytest.mark.parametrize("cls", FORMULAS)
def test_every_finite_input_and_those_that_are_not(cls: Any, backend: Backend, dtype: str) -> None:
    most = float(np.finfo(dtype).max)
    x = np.array([-np.inf, -most, -1e4, -0.0, 0.0, 1e4, most, np.inf, np.nan])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = FORMULAS[cls](x).astype(dtype)
    found = backend.to_numpy(cls().forward(backend.asarray(x, dtype)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("cls", FORMULAS)
def test_what_is_kept(cls: Any, backend: Backend) -> None:
    layer, x = cls(), backend.asarray([[1.0, -2.0]], "float32")
    with pytest.raises(RuntimeError, match=f"{cls.__name__}: call forward before backward"):
        layer.backward(x)
    layer.forward(x, for_backward=False)
    assert getattr(layer, cls.kept) is None
    out = layer.forward(x)
    kept = {"out": out, "x": x}[cls.kept]
    np.testing.assert_array_equal(
        backend.to_numpy(getattr(layer, cls.kept)), backend.to_numpy(kept)
    )
    with pytest.raises(ValueError, match=r"dout has shape \(1, 3\), the output had \(1, 2\)"):
        layer.backward(backend.asarray([[1.0, 2.0, 3.0]], "float32"))
    layer.forget()
    assert getattr(layer, cls.kept) is None


@pytest.mark.parametrize(
    ("slope", "error"),
    [(-0.1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError)],
)
def test_slopes_that_are_refused(slope: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="slope"):
        LeakyRelu(slope)
    layer = LeakyRelu(0)
    with pytest.raises(error, match="slope"):
        layer.slope = slope
    assert layer.slope == 0
    assert repr(layer).startswith("LeakyRelu(slope 0.0, ")


def test_the_plan_says_what_a_layer_goes_through() -> None:
    rng = np.random.default_rng(0)
    layers: list[Any] = [Affine(rng.random((4, 4)), np.zeros(4)), LeakyRelu(0.2)]
    layers += [Affine(rng.random((4, 4)), np.zeros(4)), Tanh()]
    layers += [Affine(rng.random((4, 4)), np.zeros(4)), Gelu()]
    layers += [Affine(rng.random((4, 3)), np.zeros(3))]
    network = Sequential(layers)
    x, t = network.backend.asarray(rng.random((5, 4))), network.backend.asarray([0, 1, 2, 0, 1])
    plan = make_plan(network, x, t, fastnn.SGD(), 5)
    activations = [block.activation for block in plan.chain.blocks]
    assert activations == [
        Activation("leaky_relu", options={"slope": 0.2}), Activation("tanh"),
        Activation("gelu", "input"), None,
    ]  # fmt: skip
