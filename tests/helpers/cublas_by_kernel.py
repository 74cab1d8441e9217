"""cuBLAS for a device that has none which can be captured: its calls, as a kernel.

A simulated device may have a cuBLAS that computes at once, whatever its stream does. There this
stands in for it: it takes the calls that `fastnn.backends.cupy.cublas` makes, holds them to
cuBLAS's rules, and launches a kernel on the handle's stream, which can be captured and counted.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from fastnn.backends.cupy import cublas

INVALID_VALUE, ALLOCATION_FAILED = 7, 3
LEAST_WORKSPACE = 16 << 10
BITS_LOST = {68: 0, 77: 13, 75: 16, 70: 0}
"""By ``cublasComputeType_t``: of the 23 behind the point."""

SOURCE = """
template <typename T> __device__ T rounded(T x, int) { return x; }
template <> __device__ float rounded(float x, int lost) {  // ties to even
    unsigned bits = __float_as_uint(x), rest = (1u << lost) - 1;
    return lost ? __uint_as_float((bits + (rest >> 1) + (bits >> lost & 1)) & ~rest) : x;
}
template <typename T> __global__ void product(
    const T* A, int ta, int lda, const T* B, int tb, int ldb, T* C, int ldc, int m, int n, int k,
    int lost)
{
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (long long)m * n) return;
    long long i = at % m, j = at / m;
    T sum = 0;
    for (long long p = 0; p < k; p++)
        sum += rounded(A[ta ? i * lda + p : p * lda + i], lost)
             * rounded(B[tb ? p * ldb + j : j * ldb + p], lost);
    C[j * ldc + i] = sum;
}
"""


class Cublas:
    """The functions of cuBLAS that `cublas.product` calls.

    Attributes
    ----------
    refuse : int
        The product, counted from 1, that is refused; 0 for none.
    products : list of tuple
        Of each, m, n and k as cuBLAS counts them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.streams: list[int] = []
        self.workspaces: list[int] = []
        self.refuse = 0
        self.products: list[tuple[int, int, int]] = []

    def cublasCreate_v2(self, handle: Any) -> int:
        with self.lock:
            self.streams.append(0)
            self.workspaces.append(0)
            handle._obj.value = len(self.streams)
        return 0

    def cublasSetStream_v2(self, handle: Any, stream: int) -> int:
        self.streams[handle.value - 1] = stream
        self.workspaces[handle.value - 1] = 0
        return 0

    def cublasSetWorkspace_v2(self, handle: Any, pointer: int, size: int) -> int:
        if pointer % 256 or size < LEAST_WORKSPACE:
            return INVALID_VALUE
        self.workspaces[handle.value - 1] = pointer
        return 0

    def cublasGemmEx(
        self, handle: Any, ta: int, tb: int, m: int, n: int, k: int, alpha: Any,
        a: int, a_type: int, lda: int, b: int, b_type: int, ldb: int, beta: Any,
        c: int, c_type: int, ldc: int, compute: int, algorithm: int,
    ) -> int:  # fmt: skip
        import cupy

        self.products.append((m, n, k))
        if len(self.products) == self.refuse:
            return ALLOCATION_FAILED
        rows = (k if ta else m, n if tb else k, m)
        short = any(have < max(1, need) for have, need in zip((lda, ldb, ldc), rows, strict=True))
        if short or len({a_type, b_type, c_type}) > 1 or algorithm != -1:
            return INVALID_VALUE
        if not self.workspaces[handle.value - 1]:  # it would allocate: a node more in a graph
            return INVALID_VALUE
        assert (alpha._obj.value, beta._obj.value) == (1, 0)
        assert compute in {0: (68, 77, 75), 1: (70,)}[c_type]
        stream = self.streams[handle.value - 1]
        assert stream == cupy.cuda.get_current_stream().ptr
        sizes = [np.int32(size) for size in (m, n, k, BITS_LOST[compute])]
        arguments = [np.uintp(a), np.int32(ta), np.int32(lda), np.uintp(b), np.int32(tb)]
        arguments += [np.int32(ldb), np.uintp(c), np.int32(ldc)]
        kernel = _kernel("float" if c_type == 0 else "double")
        kernel((-(-m * n // 256),), (256,), (*arguments, *sizes))
        return 0


@functools.cache
def _kernel(number: str) -> Any:
    import cupy

    name = f"product<{number}>"
    module = cupy.RawModule(code=SOURCE, options=("-std=c++17",), name_expressions=(name,))
    return module.get_function(name)


def need_tf32(backend: Any) -> None:
    """Skip a test on a device without TF32."""
    if cublas.problem_with("high", backend.device):
        pytest.skip(cublas.problem_with("high", backend.device))


@contextmanager
def capturable_cublas() -> Iterator[Cublas | None]:
    """Have a cuBLAS that can be captured: the device's own if it has one, else a `Cublas`."""
    if not cublas.problem():
        yield None
        return
    library, stand_in = cublas.library, Cublas()
    cublas.library = lambda: stand_in  # type: ignore[assignment]
    try:
        yield stand_in
    finally:
        cublas.library = library
