"""The vocabulary of vectors, word by word, and exp over its whole range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from fastnn.kernels.cpu.exponential import exp  # noqa: E402
from fastnn.kernels.cpu.vector import (  # noqa: E402
    add,
    fma,
    lanes,
    largest,
    leading_lanes,
    magnitude,
    multiply,
    relu,
    splat,
    zero_behind_relu,
    zeros,
)  # fmt: skip
from fastnn.kernels.cpu.vector_lanes import largest_lane, sum_of_lanes  # noqa: E402
from fastnn.kernels.cpu.vector_memory import at, load, load_cast, store, store_transposed  # noqa: E402

WORDS = 72 + 5 * 8
"""Numbers that `every_word` writes to `out`."""


@numba.njit  # type: ignore[untyped-decorator]
def every_word(a: Any, b: Any, c: Any, out: Any) -> Any:
    zero = zeros(a, 8)
    x, y, z = load(zero, a, 1), load(zero, b, 1), load(zero, c, 1)
    store(out, 0, add(x, y))
    store(out, 8, multiply(x, y))
    store(out, 16, fma(x, y, z))
    store(out, 24, largest(x, y))
    store(out, 32, magnitude(x))
    store(out, 40, relu(x))
    store(out, 48, zero_behind_relu(x, y))
    store(out, 56, leading_lanes(x, 3, at(b, 1)))
    store(out, 64, splat(zero, at(a, 3)))
    store_transposed(out, 72, 5, x, y, z, zero)
    return sum_of_lanes(x), largest_lane(x), lanes(x)


@numba.njit  # type: ignore[untyped-decorator]
def cast(source: Any, out: Any) -> None:
    store(out, 0, load_cast(zeros(out, 8), source, 1))


@numba.njit  # type: ignore[untyped-decorator]
def exponentials(x: Any, out: Any) -> None:
    zero = zeros(x, 16)
    for place in range(0, x.size, 16):
        store(out, place, exp(load(zero, x, place)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_word_says_what_numpy_says(dtype: str, rng: np.random.Generator) -> None:
    a, b, c = rng.standard_normal((3, 9)).astype(dtype)
    out = np.full(WORDS, 7, dtype)
    found = every_word(a, b, c, out)
    x, y, z = a[1:], b[1:], c[1:]
    one, two, three = x.astype("longdouble"), y.astype("longdouble"), z.astype("longdouble")
    expected = [
        x + y, x * y, (one * two + three).astype(dtype), np.maximum(x, y), np.abs(x),
        np.maximum(x, 0), np.where(y <= 0, 0, x), np.where(np.arange(8) < 3, x, b[1]),
        np.full(8, a[3]),
    ]  # fmt: skip
    right, bound = np.concatenate(expected), 2 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(out[:72], right, rtol=bound)
    columns = np.stack([x, y, z, 0 * x, np.full(8, 7, dtype)], axis=1)
    np.testing.assert_array_equal(out[72:].reshape(8, 5), columns)
    assert found[0] == pytest.approx(x.sum(), rel=1e-5)
    assert found[1:] == (x.max(), 8)


@pytest.mark.parametrize("position", [0, 3, 7])
def test_nan_is_never_lost(position: int) -> None:
    x, y = np.arange(9, dtype="float32"), np.ones(9, "float32")
    x[1 + position] = np.nan
    for a, b in ((x, y), (y, x)):
        out = np.empty(WORDS, "float32")
        found = every_word(a, b, y, out)
        out = out[:72]
        assert np.isnan(out.reshape(9, 8)[[0, 1, 2, 3], position]).all()
        if a is x:
            assert np.isnan(found[:2]).all()
            assert np.isnan(out.reshape(9, 8)[[4, 5], position]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["uint8", "int8", "uint16", "int64", "float32", "float64"])
def test_cast(source: str, dtype: str) -> None:
    values = np.array([9, 0, 1, 127, 3, 5, 100, 2, 77]).astype(source)
    if source[0] != "u":
        values[2] = -5
    if source == "uint8":
        values[3] = 255
    out = np.empty(8, dtype)
    cast(values, out)
    np.testing.assert_array_equal(out, values[1:].astype(dtype))


def test_exp_is_exact_to_two_ulp_over_the_whole_range() -> None:
    x = np.linspace(-110, 92, 1 << 21).astype("float32")
    y = np.empty_like(x)
    exponentials(x, y)
    with np.errstate(over="ignore", under="ignore"):
        right = np.exp(x.astype("float64"))
        finite = right.astype("float32") < np.inf
    np.testing.assert_array_equal(np.isfinite(y), finite)
    ulp = np.spacing(right[finite].astype("float32")).astype("float64")
    assert np.max(np.abs(y[finite] - right[finite]) / ulp) < 2


@pytest.mark.skipif(np.finfo("longdouble").nmant < 60, reason="needs a dtype to compare with")
def test_exp_in_float64_is_exact_to_two_ulp_over_the_whole_range() -> None:
    x = np.linspace(-750, 712, 1 << 20)
    y = np.empty_like(x)
    exponentials(x, y)
    with np.errstate(over="ignore", under="ignore"):
        right = np.exp(x.astype("longdouble"))
        finite = right <= np.finfo("float64").max
    np.testing.assert_array_equal(np.isfinite(y), finite)
    ulp = np.spacing(right[finite].astype("float64"))
    assert np.max(np.abs(y[finite] - right[finite]) / ulp) < 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exp_where_there_is_no_error(dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, -1e30, 1e30, 0] * 2, dtype)
    y = np.empty_like(x)
    exponentials(x, y)
    np.testing.assert_array_equal(y[:8], [np.nan, np.inf, 0, 1, 1, 0, np.inf, 1])
