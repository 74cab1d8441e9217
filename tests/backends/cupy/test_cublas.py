"""Products of cuBLAS by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.backends.cupy import cublas
from tests.helpers.cublas_by_kernel import Cublas, capturable_cublas, need_tf32
from tests.helpers.gpu import cupy_backend
from tests.helpers.problems import relative_error

pytestmark = pytest.mark.gpu

LIBRARY = cublas.library
ROUNDINGS = {"float32": 1e-6, "float64": 1e-15}


@pytest.fixture(autouse=True)
def cuda() -> Iterator[Any]:
    with fastnn.use_backend(cupy_backend()) as backend, capturable_cublas():
        yield backend


def operands(cuda: Any, dtype: str, shapes: Any) -> list[tuple[Any, Any]]:
    """Random arrays on the device, and the same numbers here in float64."""
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape).astype(dtype) for shape in shapes]
    return [(cuda.asarray(array), array.astype("float64")) for array in arrays]


def test_products_of_any_shape_transposed_or_not(cuda: Any, dtype: str) -> None:
    sizes = [(1, 1, 1), (3, 5, 2), (33, 7, 65), (64, 128, 32), (1, 40, 1), (0, 3, 4)]
    for (m, k, n), ta, tb in product(sizes, (False, True), (False, True)):
        shapes = [(k, m) if ta else (m, k), (n, k) if tb else (k, n)]
        (a, A), (b, B) = operands(cuda, dtype, shapes)
        out = cuda.empty((m, n), dtype)
        cublas.product(a, b, out, transpose_a=ta, transpose_b=tb)
        right = (A.T if ta else A) @ (B.T if tb else B)
        if m:
            error = relative_error(cuda.to_numpy(out), right)
            assert error <= k * ROUNDINGS[dtype], (m, k, n, ta, tb)


def test_precision_rounds_float32_and_float64_not_at_all(cuda: Any) -> None:
    need_tf32(cuda)
    for dtype in ("float32", "float64"):
        (a, A), (b, B) = operands(cuda, dtype, [(20, 30), (30, 10)])
        results = []
        for precision in ("highest", "high", "medium"):
            out = cuda.empty((20, 10), dtype)
            cublas.product(a, b, out, precision=precision)
            results.append(cuda.to_numpy(out))
        errors = [relative_error(result, A @ B) for result in results]
        if dtype == "float64":
            assert np.array_equal(results[0], results[1])
            assert np.array_equal(results[0], results[2])
        else:
            assert errors[0] < errors[1] <= 2**-9
            assert errors[1] < errors[2] <= 2**-6


def test_a_product_is_queued_on_the_stream_that_is_current(cuda: Any) -> None:
    import cupy

    (a, A), (b, B) = operands(cuda, "float64", [(20, 30), (30, 10)])
    cuda.synchronize()
    out = cuda.empty((20, 10), "float64")
    with cupy.cuda.Stream(non_blocking=True) as stream:
        cublas.product(a, b, out)
        twice = 2 * out
        stream.synchronize()
    assert relative_error(cuda.to_numpy(twice), 2 * A @ B) <= 1e-13


def test_a_refusal_is_an_error_with_the_words_of_cublas(
    cuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = Cublas()
    monkeypatch.setattr(cublas, "library", lambda: stand_in)
    (a, _), (b, _) = operands(cuda, "float32", [(2, 3), (3, 4)])
    stand_in.refuse = 1
    with pytest.raises(MemoryError, match=r"\(2, 3\) and \(3, 4\) in float32: .*ALLOC_FAILED"):
        cublas.product(a, b, cuda.empty((2, 4), "float32"))
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        cublas.product(a, cuda.empty((3, 2), "float64"), cuda.empty((2, 4), "float32"))
    assert len(stand_in.streams) == 1  # the handle went back


def test_a_library_that_cannot_be_had_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cublas, "_file", lambda _: "/there/is/no/such/library.so")
    monkeypatch.setattr(cublas, "library", LIBRARY.__wrapped__)
    assert "library.so" in cublas.problem()
    assert "cupy-cuda13x[ctk]" in cublas.problem()
