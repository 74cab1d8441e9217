"""Every optimizer: the book's formulas, on dictionaries and in training, on every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Sequential, fit
from fastnn.backends import Backend
from tests.helpers.book_optimizers import BOOK, ByFormula
from tests.helpers.layers import AnyScale
from tests.helpers.networks import parameters
from tests.helpers.problems import Batch, affine_of, relative_error

STEPS = 200
BOUNDS = {"float32": 2e-6, "float64": 1e-12}
OF_LOSSES = {"float32": 1e-4, "float64": 1e-9}

rule = pytest.mark.parametrize("rule", BOOK)


def decaying(step: int) -> float:
    return 0.05 / (1 + step / 7)


@rule
@pytest.mark.parametrize("lr", ["number", "schedule"])
def test_numbers_in_a_dictionary(backend: Backend, rule: str, lr: str) -> None:
    """The book's comparison of optimizers, chapter 6.1."""
    optimizer_of, _, rate = BOOK[rule]
    lr_of: Any = rate if lr == "number" else decaying
    decay: Any = {"weight_decay": 0.01, "decayed": ["x", "y"]} if rule == "AdamW" else {}
    optimizer, by_formula = optimizer_of(lr=lr_of), ByFormula(rule, lr_of, **decay)
    params, expected = {"x": -7.0, "y": 2.0}, {"x": -7.0, "y": 2.0}
    for _ in range(STEPS):
        optimizer.update(params, {"x": params["x"] / 10.0, "y": 2.0 * params["y"]})
        by_formula.update(expected, {"x": expected["x"] / 10.0, "y": 2.0 * expected["y"]})
    assert type(params["x"]) is float
    assert params == pytest.approx(expected, rel=1e-11, abs=1e-13)
    assert optimizer.iter == STEPS
    for name, by_parameter in optimizer.state.items():
        for parameter, value in by_parameter.items():
            right = by_formula.state[parameter][name]
            assert float(value) == pytest.approx(right, rel=1e-9, abs=1e-12)


def curved(W: Any, step: int) -> Any:
    """A gradient that turns now and then, computed in float64."""
    return np.sin(3 * W + step / 5) + 0.3 * W


@rule
def test_arrays_in_a_dictionary(backend: Backend, dtype: str, rule: str) -> None:
    optimizer_of, _, lr = BOOK[rule]
    rng = np.random.default_rng(3)
    layout: Any = "F" if dtype == "float64" else "C"
    start = {"W": rng.standard_normal((17, 9)), "b": rng.standard_normal(9), "s": np.array(0.5)}
    params = {
        name: backend.asarray(np.array(array, dtype, order=layout)) for name, array in start.items()
    }
    expected, arrays = dict(start), dict(params)
    decay: Any = {"weight_decay": 0.01, "decayed": ["W", "s"]} if rule == "AdamW" else {}
    optimizer, by_formula = optimizer_of(lr=lr), ByFormula(rule, lr, **decay)
    for step in range(STEPS):
        grads = {name: curved(array, step) for name, array in expected.items()}
        by_formula.update(expected, grads)
        optimizer.update(params, {name: backend.asarray(g, dtype) for name, g in grads.items()})
    for name, array in params.items():
        assert array is arrays[name]
        assert relative_error(array, expected[name]) <= 20 * BOUNDS[dtype]
        for state, by_name in optimizer.state.items():
            assert backend.owns(by_name[name])
            right = by_formula.state[name][state]
            assert relative_error(by_name[name], right) <= 20 * BOUNDS[dtype]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "schedule": {"lr": fastnn.Warmup(10, then=fastnn.Cosine(0.02, steps=50, final=0.001))},
    "weight_decay": {"weight_decay": 0.1},
    "decay_all": {"weight_decay": 0.1, "decay_all": True},
    "clip_norm": {"clip_norm": 0.3},
    "all": {"lr": decaying, "weight_decay": 0.05, "clip_norm": 0.5},
}
WEIGHTS, ALL = ("W1", "W2", "W3"), ("W1", "b1", "gamma1", "W2", "b2", "W3", "b3")


def network_of(dtype: str, *, own_layer: bool) -> Sequential:
    """Three Affine layers, with a layer of the user's own in between or not."""
    rng = np.random.default_rng(5)

    def affine(D: int, M: int) -> fastnn.Affine:
        W, b = rng.standard_normal((D, M)) / np.sqrt(D), 0.1 * rng.standard_normal(M)
        return affine_of(W.astype(dtype), b.astype(dtype))

    layers: list[Any] = [affine(12, 7), fastnn.Relu(), affine(7, 6), fastnn.Relu(), affine(6, 4)]
    if own_layer:
        gamma = fastnn.get_backend().asarray(np.linspace(0.8, 1.2, 7, dtype=dtype))
        layers.insert(1, AnyScale(gamma))
    return Sequential(layers)


def trained_by_formula(
    network: Sequential, update: ByFormula, data: Batch, *, epochs: int, batch_size: int, seed: int
) -> list[float]:
    """What `fit` stands for, in float64 on NumPy."""
    order, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        rows = order.permutation(len(data.x))
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            losses.append(float(network.loss(data.x[some], data.t[some])))
            params = dict(network.params)
            update.update(params, dict(network.gradient(data.x[some], data.t[some])))
            network.params = params
    return losses


def compare_with_formula(rule: str, options: dict[str, Any], *, own_layer: bool) -> None:
    given = {"lr": BOOK[rule][2], **options}
    optimizer = BOOK[rule][0](**given)
    decayed = ALL if given.pop("decay_all", False) else WEIGHTS
    if rule == "AdamW":
        given.setdefault("weight_decay", 0.01)
    data = Batch(53, 12, 4)
    by_formula = ByFormula(rule, decayed=decayed, **given)
    with fastnn.use_backend("numpy"):
        reference = network_of("float64", own_layer=own_layer)
        expected = trained_by_formula(reference, by_formula, data, epochs=4, batch_size=10, seed=2)
    network = network_of("float64", own_layer=own_layer)
    history = fit(
        network, data.x, data.t, optimizer=optimizer, epochs=4, batch_size=10, seed=2,
        progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(history.losses, expected, rtol=1e-9)
    for name, array in parameters(network).items():
        assert relative_error(array, reference.params[name]) < 1e-9, name
        for state, by_name in optimizer.state.items():
            assert relative_error(by_name[name], by_formula.state[name][state]) < 1e-9
    assert optimizer.iter == len(expected)


@rule
@pytest.mark.parametrize("options", OPTIONS)
def test_fit_of_layers_one_by_one(backend: Backend, rule: str, options: str) -> None:
    compare_with_formula(rule, OPTIONS[options], own_layer=True)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("Adam", "schedule"),
        ("AdamW", "all"),
        *[
            pytest.param(*case, marks=pytest.mark.exhaustive)
            for case in (
                ("SGD", "schedule"), ("SGD", "all"), ("Adam", "all"), ("AdamW", "schedule"),
            )
        ],
    ],
)  # fmt: skip
def test_fit_of_what_compiles(backend: Backend, rule: str, options: str) -> None:
    compare_with_formula(rule, OPTIONS[options], own_layer=False)
