"""Every primitive of every backend against the formulas of `fastnn.backends.base` in float64.

The primitives are found by looking: whatever public method `Backend` or a subclass defines, that is
not about moving arrays, has to have cases here. A new kernel cannot escape.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.backends import Backend
from fastnn.backends.numba.backend import NumbaBackend
from fastnn.backends.numpy import NumpyBackend
from fastnn.checks import dtype_name
from tests.helpers.primitives import (
    CASES,
    IN_PLACE,
    Case,
    Specification,
    as_tuple,
    bring,
    dtype_of,
    error_of,
    floats,
    results,
    run,
)
from tests.helpers.problems import relative_error

BOUNDS = {"float64": 1e-12, "float32": 2e-6}
NOT_PRIMITIVES = {
    "adopt", "asarray", "astype", "compile", "copy", "current", "device_problem", "empty",
    "explain", "feed", "holds", "info", "library_version", "owns", "seconds_compiling",
    "share_memory", "synchronize", "to_numpy", "unavailable_reason", "use",
}  # fmt: skip
SIZES = [1, 2, 3, 7, 8, 9, 15, 49, 50, 51, 63, 65]


def primitives(cls: type[Backend]) -> set[str]:
    methods = inspect.getmembers(cls, inspect.isfunction)
    return {name for name, _ in methods if not name.startswith("_")} - NOT_PRIMITIVES


WITHOUT_OUT = {*IN_PLACE, "count_correct", "count_exact", "label_indices"}


def test_every_primitive_has_cases(backend: Backend) -> None:
    assert primitives(type(backend)) == set(CASES)
    assert primitives(Backend) == set(CASES)


def test_the_test_finds_overrides() -> None:
    overridden = {n for n in CASES if getattr(NumbaBackend, n) is not getattr(NumpyBackend, n)}
    assert {"affine", "relu", "softmax_cross_entropy", "take_rows", "sgd_update"} <= overridden


@pytest.mark.parametrize("primitive", sorted(CASES))
@pytest.mark.parametrize("n", [1, 3, 8, 50, 65])
def test_primitive_agrees_with_the_specification(
    backend: Backend, dtype: str, primitive: str, n: int, rng: np.random.Generator
) -> None:
    for d, m in [(1, 1), (7, 2), (49, 10), (784, 50), (15, 1), (9, 63)]:
        for case in CASES[primitive](rng, n, d, m):
            expected = run(Specification(), primitive, case, "float64")
            found = run(backend, primitive, case, dtype)
            for one, right in zip(found, expected, strict=True):
                if right is None:
                    assert one is None
                    continue
                assert backend.owns(one)
                assert dtype_name(one) == dtype_of(right, dtype)
                error = error_of(primitive, one, right)
                assert error <= BOUNDS[dtype], (n, d, m, case[1])


@pytest.mark.parametrize("primitive", sorted(set(CASES) - WITHOUT_OUT))
def test_out_is_filled_and_returned(
    backend: Backend, dtype: str, primitive: str, rng: np.random.Generator
) -> None:
    for case in CASES[primitive](rng, 9, 12, 5):
        expected = run(Specification(), primitive, case, "float64")
        out = [None if e is None else backend.empty(e.shape, dtype_of(e, dtype)) for e in expected]
        arguments = [bring(backend, value, dtype) for value in case[0]]
        options = {name: bring(backend, value, dtype) for name, value in case[1].items()}
        given = tuple(out) if len(out) > 1 else out[0]
        result = as_tuple(getattr(backend, primitive)(*arguments, **options, out=given))
        for one, buffer, right in zip(result, out, expected, strict=True):
            if right is None:
                assert one is None
                continue
            assert relative_error(one, right) <= BOUNDS[dtype]
            np.testing.assert_array_equal(backend.to_numpy(buffer), backend.to_numpy(one))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "leaky_relu", "gelu"])
def test_out_may_be_the_first_argument_of_an_activation(
    backend: Backend, dtype: str, activation: str, rng: np.random.Generator
) -> None:
    for primitive in (activation, f"{activation}_backward"):
        for case in CASES[primitive](rng, 9, 12, 5):
            (expected,) = run(backend, primitive, case, dtype)
            arguments = [bring(backend, value, dtype) for value in case[0]]
            found = getattr(backend, primitive)(*arguments, **case[1], out=arguments[0])
            assert found is arguments[0]
            np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(expected))


@pytest.mark.parametrize("shape", [(), (0, 3), (1, 1, 1)])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "leaky_relu", "gelu"])
def test_activations_of_any_shape(
    backend: Backend, dtype: str, activation: str, shape: tuple[int, ...]
) -> None:
    x = np.full(shape, -0.5, dtype)
    options = {"slope": 0.1} if activation == "leaky_relu" else {}
    for primitive, arguments in ((activation, (x,)), (f"{activation}_backward", (x, x))):
        found = getattr(backend, primitive)(*map(backend.asarray, arguments), **options)
        assert tuple(found.shape) == shape
        right = getattr(Specification(), primitive)(*arguments, **options)
        np.testing.assert_allclose(backend.to_numpy(found), right, rtol=1e-6)


LAYOUTS: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("engine", [NumpyBackend, NumbaBackend])
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("primitive", sorted(CASES))
def test_any_memory_layout(
    engine: type[NumpyBackend], primitive: str, layout: str, rng: np.random.Generator
) -> None:
    if engine.unavailable_reason() is not None:
        pytest.skip(str(engine.unavailable_reason()))
    if primitive in IN_PLACE and layout == "read-only":
        pytest.skip("a parameter that is updated in place is writable")
    backend = engine()
    for case in CASES[primitive](rng, 7, 9, 5):
        expected = run(Specification(), primitive, case, "float64")
        arguments = [
            LAYOUTS[layout](value.copy()) if np.ndim(value) else value for value in case[0]
        ]
        options = {k: "float64" if v == "DTYPE" else v for k, v in case[1].items()}
        found = results(backend, primitive, arguments, options)
        for one, right in zip(found, expected, strict=True):
            assert (one is None) == (right is None)
            if right is not None:
                assert relative_error(one, right) <= BOUNDS["float64"]


@pytest.mark.parametrize("engine", [NumpyBackend, NumbaBackend])
@pytest.mark.parametrize("primitive", sorted(CASES))
def test_one_array_of_another_dtype(
    engine: type[NumpyBackend], primitive: str, rng: np.random.Generator
) -> None:
    """No kernel takes the bytes of a number for those of another kind."""
    if engine.unavailable_reason() is not None:
        pytest.skip(str(engine.unavailable_reason()))
    backend = engine()
    for arguments, options in CASES[primitive](rng, 40, 200, 50):
        of_floats = [i for i, a in enumerate(arguments) if getattr(a, "dtype", None) == "float64"]
        options = {k: "float64" if v == "DTYPE" else v for k, v in options.items()}
        for odd, dtype in itertools.product(of_floats, ("float32", "float64")):
            other = {"float32": "float64", "float64": "float32"}[dtype]
            some = [
                argument.astype(other if i == odd else dtype) if i in of_floats else argument
                for i, argument in enumerate(arguments)
            ]
            expected = run(Specification(), primitive, (arguments, options), "float64")
            found = results(backend, primitive, some, options)
            for one, right in zip(found, expected, strict=True):
                if right is not None:
                    assert relative_error(one, right) <= BOUNDS["float32"], (odd, dtype)


@pytest.mark.parametrize("engine", [NumpyBackend, NumbaBackend])
def test_mostly_zeros_and_arrays_of_two_dtypes(
    engine: type[NumpyBackend], rng: np.random.Generator
) -> None:
    if engine.unavailable_reason() is not None:
        pytest.skip(str(engine.unavailable_reason()))
    backend = engine()
    x, W, b = floats(rng, 40, 200), floats(rng, 200, 50), floats(rng, 50)
    dout = floats(rng, 40, 50)
    x[rng.random(x.shape) < 0.9] = 0
    x32, W32, b32, dout32 = (array.astype("float32") for array in (x, W, b, dout))
    for some in ((x32, W32, b), (x, W, b32), (x32, W, b32), (x, W32, b)):
        assert relative_error(backend.affine(*some), x @ W + b) <= BOUNDS["float32"]
    into = np.empty((40, 50))
    assert backend.affine(x32, W32, b32, out=into) is into
    assert relative_error(into, x @ W + b) <= BOUNDS["float32"]
    gradients = np.empty((40, 200)), np.empty((200, 50)), np.empty(50)
    backend.affine_backward(dout32, x32, W32, out=gradients)
    for found, right in zip(gradients, (dout @ W.T, x.T @ dout, dout.sum(axis=0)), strict=True):
        assert relative_error(found, right) <= BOUNDS["float32"]
    backend.relu_backward(dout32, dout <= 0, out=into)
    np.testing.assert_array_equal(into, np.maximum(dout, 0))


@pytest.mark.parametrize("engine", [NumpyBackend, NumbaBackend])
@pytest.mark.parametrize("columns", [20, 50, 100])
def test_a_bias_of_another_length_is_refused(
    engine: type[NumpyBackend], columns: int, rng: np.random.Generator
) -> None:
    if engine.unavailable_reason() is not None:
        pytest.skip(str(engine.unavailable_reason()))
    x, W = np.eye(100, 784), np.ones((784, columns))
    for b in (np.ones(columns - 1), np.ones(columns + 1)):
        with pytest.raises(ValueError, match=str(len(b))):
            engine().affine(x, W, b)


def test_numbers_wider_than_a_word() -> None:
    x = np.array([[1, -2, 3]], np.longdouble)
    found = NumpyBackend().relu_backward(x, x <= 0)
    assert found.dtype == np.longdouble
    assert found.tolist() == [[1, 0, 3]]


def test_labels_of_any_integer(rng: np.random.Generator) -> None:
    backend, x = NumpyBackend(), floats(rng, 4, 3)
    t = np.array([0, 2, 1, 2], np.uint64)
    for one, other in zip(
        backend.softmax_cross_entropy(x, t),
        backend.softmax_cross_entropy(x, t.astype("int64")),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        backend.softmax_cross_entropy_backward(x, t),
        backend.softmax_cross_entropy_backward(x, t.astype("int64")),
    )


EXTREMES: dict[str, list[Any]] = {
    "sigmoid": [1, 0, 0.5, 0.5, 0.5],
    "tanh": [1, -1, 0, 0, "tiny"],
    "leaky_relu": ["largest", "-largest / 4", 0, 0, "tiny"],
    "gelu": ["largest", 0, 0, 0, "tiny / 2"],
}


@pytest.mark.parametrize("primitive", sorted(EXTREMES))
def test_activations_of_the_largest_and_smallest_numbers(
    backend: Backend, dtype: str, primitive: str
) -> None:
    largest, tiny = float(np.finfo(dtype).max), float(np.finfo(dtype).tiny) * 8
    names = {"largest": largest, "tiny": tiny}
    expected = [eval(str(value), {}, names) for value in EXTREMES[primitive]]
    x = np.array([largest, -largest, 0, -0.0, tiny], dtype)
    options = {"slope": 0.25} if primitive == "leaky_relu" else {}
    with np.errstate(all="raise"):
        found = getattr(backend, primitive)(backend.asarray(x), **options)
        y, back = backend.asarray(np.array([1, 0, 0.5, 0.5, 0.5], dtype)), backend.asarray(x)
        if primitive in ("sigmoid", "tanh"):
            dx = getattr(backend, f"{primitive}_backward")(back, y)
            assert float(dx[0]) == 0
        if primitive == "gelu":
            one = backend.asarray(np.ones(5, dtype))
            dx = backend.to_numpy(backend.gelu_backward(one, back))
            np.testing.assert_array_equal(dx, [1, 0, 0.5, 0.5, 0.5])
    found = backend.to_numpy(found)
    np.testing.assert_array_equal(found, np.array(expected, dtype))
    if primitive != "sigmoid":
        assert np.signbit(found).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_spread_as_in_numpy(
    backend: Backend, dtype: str, bad: float, rng: np.random.Generator
) -> None:
    x, W, b = floats(rng, 5, 6), floats(rng, 6, 4), floats(rng, 4)
    x[1, 2] = bad
    t = np.array([0, 1, 2, 3, 0])
    scores = floats(rng, 5, 4)
    scores[2, 1] = bad
    bits = (floats(rng, 5, 4) > 0).astype("float64")
    dout = floats(rng, 5, 4)
    dout[3, 0] = bad
    cases: dict[str, list[Case]] = {
        "affine": [((x, W, b), {}), ((x, W, b), {"relu": True})],
        "affine_backward": [((dout, x, W), {}), ((dout, x, W), {"relu": True})],
        "relu": [((scores,), {})],
        "relu_backward": [((dout, floats(rng, 5, 4) <= 0), {})],
        "sigmoid": [((scores,), {})],
        "sigmoid_backward": [((dout, np.abs(floats(rng, 5, 4)) % 1), {})],
        "tanh": [((scores,), {})],
        "tanh_backward": [((dout, np.abs(floats(rng, 5, 4)) % 1), {})],
        "leaky_relu": [((scores,), {"slope": slope}) for slope in (0.0, 0.01, 3.0)],
        "leaky_relu_backward": [((dout, floats(rng, 5, 4)), {"slope": 0.0})],
        "gelu": [((scores,), {})],
        "gelu_backward": [((dout, scores), {})],
        "softmax": [((scores,), {})],
        "softmax_cross_entropy": [((scores, t), {})],
        "count_correct": [((scores, t), {})],
        "count_exact": [((scores, bits), {})],
        "sigmoid_cross_entropy": [((scores, bits), {}), ((scores, 1 - bits), {})],
        "sigmoid_cross_entropy_backward": [((scores, bits), {})],
        "squared_error": [((scores, bits), {})],
        "squared_error_backward": [((scores, bits), {})],
        "poisson_deviance": [((scores, bits), {}), ((scores, 1 - bits), {})],
        "poisson_deviance_backward": [((scores, bits), {})],
        "mean": [((scores[:, 1],), {})],
        "sgd_update": [((dout, scores), {"lr": 0.1})],
    }
    with np.errstate(all="ignore"):
        for primitive, some in cases.items():
            for case in some:
                expected = run(Specification(), primitive, case, dtype)
                found = run(backend, primitive, case, dtype)
                for one, right in zip(found, expected, strict=True):
                    assert relative_error(one, right) <= BOUNDS[dtype], primitive
