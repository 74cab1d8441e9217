"""Networks of any shape, on inputs of any shape, dtype and layout, against float64 by hand."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import SGD, Relu, Sequential
from fastnn.backends import Backend
from tests.helpers.problems import affine_of, relative_error

Array = np.ndarray[Any, Any]

DTYPES = ["float16", "float32", "float64", ">f4", ">f8", "uint8", "int16", ">i4", "uint64", "bool"]
LAYOUTS = ["C", "F", "strided", "reversed", "offset", "read-only", "lists"]
BOUNDS = {"float64": 1e-12, "float32": 1e-5}
EVERY_BACKEND = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass
class Problem:
    """A network, as a list of parameters and "relu", and a batch for it."""

    layers: list[Any]
    dtype: str
    x: Any
    plain_x: Array
    t: Any
    indices: Array
    lr: float

    def network(self) -> Sequential:
        made = [Relu() if layer == "relu" else affine_of(*layer) for layer in self.layers]
        return Sequential(made).astype(self.dtype)


def laid_out(array: Array, layout: str) -> Any:
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        return np.repeat(array, 3, axis=-1)[..., 1::3]
    if layout == "reversed":
        return np.flip(np.flip(array).copy())
    if layout == "offset":
        return np.pad(array, [(1, 2)] * array.ndim)[(slice(1, -2),) * array.ndim]
    if layout == "read-only":
        array = array.copy()
        array.setflags(write=False)
    return array.tolist() if layout == "lists" else array


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=4))
    layers: list[Any] = ["relu"] * draw(st.integers(0, 1))
    for inputs, outputs in itertools.pairwise(sizes):
        W = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        layers += [(W.astype("float32"), rng.standard_normal(outputs).astype("float32"))]
        layers += ["relu"] * draw(st.integers(0, 2))
    samples = draw(st.integers(1, 9))
    divisors = [n for n in range(1, sizes[0] + 1) if sizes[0] % n == 0]
    first = draw(st.sampled_from(divisors))
    shape = (samples, sizes[0]) if first == 1 else (samples, first, sizes[0] // first)
    x = rng.integers(-4, 5, shape) if draw(st.booleans()) else 2 * rng.standard_normal(shape)
    kind = np.dtype(draw(st.sampled_from(DTYPES)))
    given = (np.abs(x) if kind.kind == "u" else x).astype(kind)
    indices = rng.integers(0, sizes[-1], samples)
    t = np.eye(sizes[-1])[indices] if draw(st.booleans()) else indices
    label_kind = draw(st.sampled_from(["int64", "uint8", "float32", ">f8", ">i2"]))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return Problem(
        layers=layers,
        dtype=dtype,
        x=laid_out(given, draw(st.sampled_from(LAYOUTS))),
        plain_x=given.astype(dtype).astype("float64").reshape(samples, -1),
        t=laid_out(t.astype(label_kind), draw(st.sampled_from(LAYOUTS))),
        indices=indices,
        lr=draw(st.sampled_from([0.0, 0.1, 1.0])),
    )


def reference(problem: Problem) -> tuple[Array, float, list[tuple[Array, Array]]]:
    """Scores, loss and gradients, in float64, as the book derives them."""
    x, kept = problem.plain_x, []
    for layer in problem.layers:
        kept.append(x)
        if layer == "relu":
            x = np.where(x > 0, x, 0)
        else:
            x = x @ layer[0].astype("float64") + layer[1].astype("float64")
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    y = powers / powers.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = float(np.mean(-np.log(y[rows, problem.indices])))
    dout = y.copy()
    dout[rows, problem.indices] -= 1
    dout /= len(x)
    gradients: list[tuple[Array, Array]] = []
    for layer, given_x in zip(reversed(problem.layers), reversed(kept), strict=True):
        if layer == "relu":
            dout = np.where(given_x > 0, dout, 0)
        else:
            gradients.insert(0, (given_x.T @ dout, dout.sum(axis=0)))
            dout = dout @ layer[0].astype("float64").T
    return x, loss, gradients


def close(found: Any, expected: Array, dtype: str, size: float = 1.0) -> None:
    """Errors count relative to the largest entry, or to the numbers that cancelled in it."""
    scale = max(size, float(np.max(np.abs(expected), initial=0.0)))
    difference = np.abs(fastnn.to_numpy(found).astype("float64") - expected)
    assert fastnn.to_numpy(found).shape == expected.shape
    assert np.max(difference, initial=0.0) <= BOUNDS[dtype] * scale


def not_at_a_kink(problem: Problem) -> bool:
    """Whether rounding to float32 cannot decide on which side of a ReLU an activation is."""
    x = problem.plain_x
    for layer in problem.layers:
        if layer == "relu":
            if np.any((np.abs(x) < 1e-5 * max(1.0, np.abs(x).max())) & (x != 0)):
                return False
            x = np.where(x > 0, x, 0)
        else:
            x = x @ layer[0].astype("float64") + layer[1].astype("float64")
    return True


@given(problem=problems())
@EVERY_BACKEND
def test_any_network_on_any_input(backend: Backend, problem: Problem) -> None:
    if not not_at_a_kink(problem):
        return
    scores, loss, gradients = reference(problem)
    size = max(1.0, float(np.abs(problem.plain_x).max()))
    for part in problem.layers:
        if part != "relu":
            size *= max(1.0, float(np.abs(part[0]).sum(axis=0).max()))
    network = problem.network()
    close(network.predict(problem.x), scores, problem.dtype, size)
    assert abs(network.loss(problem.x, problem.t) - loss) <= BOUNDS[problem.dtype] * size
    found = list(network.gradient(problem.x, problem.t).values())
    for n, (dW, db) in enumerate(gradients):
        close(found[2 * n], dW, problem.dtype, size**2)
        close(found[2 * n + 1], db, problem.dtype, size**2)
    best = scores.max(axis=1, keepdims=True)
    if np.all(np.sort(best - scores, axis=1)[:, 1:] > 1e-4 * size):
        correct = np.mean(scores.argmax(axis=1) == problem.indices)
        assert network.accuracy(problem.x, problem.t) == correct


@given(problem=problems())
@EVERY_BACKEND
def test_a_step_of_fit_is_a_step_of_the_book(backend: Backend, problem: Problem) -> None:
    one, other = problem.network(), problem.network()
    history = fastnn.fit(
        one, problem.x, problem.t,
        batch_size=len(problem.indices), optimizer=SGD(problem.lr), seed=0, progress=False,
    )  # fmt: skip
    # `fit` takes the samples in an order of its own.
    order = np.random.default_rng(0).permutation(len(problem.indices))
    x, t = np.asarray(problem.x)[order], np.asarray(problem.t)[order]
    gradients = other.gradient(x, t)
    loss = other.loss(x, t)
    SGD(problem.lr).update(other.params, gradients)
    assert abs(history.losses[0] - loss) <= BOUNDS[problem.dtype] * max(1.0, loss)
    for key, array in one.params.items():
        size = float(np.abs(fastnn.to_numpy(other.params[key])).max())
        assert relative_error(array, other.params[key]) <= BOUNDS[problem.dtype] or size < 1e-6
