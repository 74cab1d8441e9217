"""Products that skip zeros: exact, in bounds, and not taken where nothing is to be gained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.backends.numba.backend import NumbaBackend
from tests.helpers import skipped_products
from tests.helpers.kernel_script import HAS_AVX2, NARROWER, run_script
from tests.helpers.problems import relative_error
from tests.helpers.skipped_products import (
    BOUNDS,
    awkward_shapes,
    backward,
    forward,
    mostly_zero,
    see_that_they_agree,
)

SCRIPT = Path(skipped_products.__file__)


def problem(rng: np.random.Generator, dtype: str, n: int = 40, d: int = 200, m: int = 50) -> Any:
    """``x, W, b, dout`` with an x that is mostly zero."""
    return (
        mostly_zero(rng, n, d, dtype=dtype),
        rng.standard_normal((d, m)).astype(dtype),
        rng.standard_normal(m).astype(dtype),
        rng.standard_normal((n, m)).astype(dtype),
    )


@pytest.mark.parametrize("shape", sorted(set(awkward_shapes())))
def test_any_shape(shape: tuple[int, int, int], dtype: str) -> None:
    see_that_they_agree(*shape, dtype, lambda array: array)


def test_more_features_than_uint16_counts(dtype: str, rng: np.random.Generator) -> None:
    x, W, b, dout = problem(rng, dtype, 9, 70_001, 17)
    x[:, 65_536:] = 1
    assert relative_error(forward(x, W, b), x.astype("float64") @ W + b) <= 10 * BOUNDS[dtype]
    assert relative_error(backward(x, dout), x.T.astype("float64") @ dout) <= BOUNDS[dtype]


def test_rows_and_columns_of_zeros(dtype: str, rng: np.random.Generator) -> None:
    x, W, b, dout = problem(rng, dtype)
    x[3:11], x[:, 5:21] = 0, 0
    found = forward(x, W, b)
    np.testing.assert_array_equal(found[3:11], np.broadcast_to(b, (8, 50)))
    np.testing.assert_array_equal(backward(x, dout)[5:21], 0)
    nothing, least = np.zeros_like(x), -np.zeros_like(b)
    assert not np.signbit(forward(nothing, W, least)).any()  # 0 + -0 is 0, as in NumPy
    assert not np.signbit(backward(-nothing, -dout)).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_x_is_multiplied(
    bad: float, dtype: str, rng: np.random.Generator
) -> None:
    x, W, b, dout = problem(rng, dtype)
    x[7, 100] = bad
    W[100, 3], dout[7, 4] = 0, 0
    with np.errstate(invalid="ignore"):
        assert relative_error(forward(x, W, b), x.astype("float64") @ W + b) <= BOUNDS[dtype]
        assert relative_error(backward(x, dout), x.T.astype("float64") @ dout) <= BOUNDS[dtype]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 15, 48, 49])
def test_nothing_is_skipped_where_zero_times_it_is_nan(
    bad: float, column: int, dtype: str, rng: np.random.Generator
) -> None:
    x, W, b, dout = problem(rng, dtype)
    W[150, column], dout[30, column] = bad, bad
    assert forward(x, W, b) is None
    assert backward(x, dout) is None
    backend = NumbaBackend()
    with np.errstate(invalid="ignore"):
        expected = (x.astype("float64") @ W + b, x.T.astype("float64") @ dout)
        assert relative_error(backend.affine(x, W, b), expected[0]) <= BOUNDS[dtype]
        _, dW, _ = backend.affine_backward(dout, x, W, input_gradient=False)
        assert relative_error(dW, expected[1]) <= BOUNDS[dtype]


def test_an_infinite_bias_and_numbers_of_any_size(dtype: str, rng: np.random.Generator) -> None:
    x, W, b, dout = problem(rng, dtype)
    b[2] = np.inf
    x[0, x[0] != 0] = np.finfo(dtype).smallest_subnormal
    W[:, 5] = np.finfo(dtype).smallest_subnormal
    x[4, 9], W[9, 6], dout[4, 6] = [np.finfo(dtype).max] * 3
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(forward(x, W, b), x @ W + b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(backward(x, dout), x.T @ dout, rtol=1e-4, atol=1e-4)
    tiny = np.finfo(dtype).smallest_subnormal
    one = np.zeros((4, 64), dtype)
    one[0, 0] = tiny
    assert forward(one, np.ones((64, 16), dtype), np.zeros(16, dtype))[0, 0] == tiny


def test_dense_data_is_left_to_others(dtype: str, rng: np.random.Generator) -> None:
    _, W, b, dout = problem(rng, dtype)
    for density in (0.5, 1.0):
        x = np.where(rng.random((40, 200)) < density, 1, 0).astype(dtype)
        assert forward(x, W, b) is None
        assert backward(x, dout) is None
    # Only what is looked at first is zero.
    x = np.ones((320, 256), dtype)
    x[::32], x[1::32], x[2::32], x[3::32] = 0, 0, 0, 0
    assert forward(x, np.ones((256, 50), dtype), b) is None


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("columns", [16, 50, 128])
def test_the_backend_takes_them_by_itself(
    dtype: str, relu: bool, columns: int, rng: np.random.Generator, monkeypatch: Any
) -> None:
    x, W, b, dout = problem(rng, dtype, 100, 784, columns)
    backend, taken = NumbaBackend(), []
    for name in ("affine_skipping_zeros", "transposed_product_skipping_zeros"):
        kernel = getattr(backend._kernels, name)

        def spy(*arguments: Any, kernel: Any = kernel) -> bool:
            taken.append(kernel(*arguments))
            return bool(taken[-1])

        monkeypatch.setattr(backend._kernels, name, spy)
    expected = x.astype("float64") @ W + b
    expected = np.maximum(expected, 0) if relu else expected
    x.flags.writeable = False
    out, dW = np.empty((100, columns), dtype), np.empty((784, columns), dtype)
    for given in (None, out):
        found = backend.affine(x, W, b, relu=relu, out=given)
        assert given is None or found is out
        assert relative_error(found, expected) <= BOUNDS[dtype]
        into = None if given is None else (None, dW, np.empty(columns, dtype))
        _, found, _ = backend.affine_backward(dout, x, W, input_gradient=False, out=into)
        assert given is None or found is dW
        assert relative_error(found, x.T.astype("float64") @ dout) <= BOUNDS[dtype]
    assert taken == [True] * 4


def test_the_same_bits_twice(dtype: str, rng: np.random.Generator) -> None:
    x, W, b, dout = problem(rng, dtype)
    np.testing.assert_array_equal(forward(x, W, b), forward(x, W, b))
    np.testing.assert_array_equal(backward(x, dout), backward(x, dout))


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect here")
@pytest.mark.exhaustive
@pytest.mark.parametrize("mode", ["begin", "end"])
def test_no_page_beside_an_array_is_touched(mode: str) -> None:
    run_script(SCRIPT, mode)


@pytest.mark.exhaustive
def test_every_access_is_in_bounds() -> None:
    run_script(SCRIPT, "checked", NUMBA_BOUNDSCHECK="1")


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect here")
@pytest.mark.skipif(not HAS_AVX2, reason="this processor has no AVX2")
@pytest.mark.exhaustive
def test_narrower_registers_than_these() -> None:
    run_script(SCRIPT, "narrower", **NARROWER)
