"""Matrix products by cuBLAS, called directly, so that they can be captured in a graph.

CuPy refuses every call of cuBLAS while its stream is captured, by a check of its own. cuBLAS itself
takes part in a capture (https://docs.nvidia.com/cuda/cublas/, "CUDA Graphs Support"): numbers that
are read from the host, as the factors of a product, are kept in the graph, and with a workspace
that is handed over it allocates nothing. A workspace for each call, in the order of its stream,
also makes the same product give the same bits, whatever other streams do ("Results
reproducibility"). So these are handles of our own, to the very library that CuPy has loaded.

cuBLAS knows columns first: a row-major (m, n) array is its (n, m). ``out = a @ b`` is therefore
computed as ``out.T = b.T @ a.T``, which transposes nothing in memory.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.precision import HIGH, HIGHEST, MEDIUM

WORKSPACE = 4 << 20
WORKSPACE_SINCE_HOPPER = 32 << 20
"""Bytes that NVIDIA recommends, at `cublasSetWorkspace`."""
AMPERE, HOPPER = 80, 90
"""Compute capabilities, as in sm_80."""

NORMAL, TRANSPOSED = 0, 1
DEFAULT_ALGORITHM = -1
TYPES = {"float32": (0, ctypes.c_float), "float64": (1, ctypes.c_double)}
"""The number in ``cudaDataType``, and what the factors are for the host."""
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_32F_FAST_16BF, COMPUTE_64F = 68, 77, 75, 70
COMPUTE = {HIGHEST: COMPUTE_32F, HIGH: COMPUTE_32F_FAST_TF32, MEDIUM: COMPUTE_32F_FAST_16BF}
"""``cublasComputeType_t`` of float32: what is rounded, and how."""
ROUNDED_TO = {HIGH: "TF32", MEDIUM: "bfloat16"}
"""What factors of float32 are rounded to."""
ALLOCATION_FAILED = 3
"""``CUBLAS_STATUS_ALLOC_FAILED``."""

POINTER, INT = ctypes.c_void_p, ctypes.c_int
OPERAND = [POINTER, INT, INT]  # array, type, leading dimension
SIGNATURES = {
    "cublasCreate_v2": [POINTER],
    "cublasSetStream_v2": [POINTER, POINTER],
    "cublasSetWorkspace_v2": [POINTER, POINTER, ctypes.c_size_t],
    "cublasGemmEx": [
        *[POINTER, *[INT] * 5, POINTER], *OPERAND, *OPERAND, POINTER, *OPERAND, INT, INT
    ],
}  # fmt: skip


@functools.cache
def library() -> Any:
    """Give the functions of the cuBLAS that CuPy has loaded.

    Raises
    ------
    RuntimeError
        If they are not to be had; it says why.
    """
    import cupy

    try:
        functions = ctypes.CDLL(_file(cupy))
        for name, arguments in SIGNATURES.items():
            getattr(functions, name).argtypes = arguments
    except (ImportError, OSError, AttributeError) as error:
        raise RuntimeError(
            f"the cuBLAS that CuPy uses cannot be called directly ({error}); CuPy from pip with "
            "CUDA's own libraries, 'cupy-cuda13x[ctk]', has one that can"
        ) from error
    return functions


def _file(cupy: Any) -> str:
    """Name what ``dlopen`` finds the functions through.

    CuPy's extension module is linked to cuBLAS, and what is looked up in a module is looked up in
    the libraries that it is linked to as well; not so on Windows, where the library has a name.
    """
    module = cupy.cuda.cublas
    if sys.platform == "win32":
        return f"cublas64_{cupy.cuda.runtime.runtimeGetVersion() // 1000}.dll"
    return str(module.__file__)


def problem() -> str:
    """Say why cuBLAS cannot be called directly; empty if it can."""
    try:
        library()
    except RuntimeError as error:
        return str(error)
    return ""


def problem_with(precision: str, device: Any) -> str:
    """Say why a device does not multiply in a precision; empty if it does."""
    if precision == HIGHEST:
        return ""
    capability = int(device.compute_capability)
    if capability < AMPERE:
        return (
            f"{ROUNDED_TO[precision]} is of devices from compute capability 8.0 (Ampere) on, and "
            f"device {device.id} has {capability // 10}.{capability % 10}"
        )
    return problem()


def product(
    a: Array,
    b: Array,
    out: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: str = HIGHEST,
) -> None:
    """``out = a @ b`` on the current stream, either of them transposed on request.

    Parameters
    ----------
    a, b, out : array (m, k), (k, n), (m, n)
        All of float32 or all of float64, in C order; (k, m), (n, k) where they are transposed.
    precision : {"highest", "high", "medium"}
        With "high" factors of float32 are rounded to TF32, 10 bits behind the point; with "medium"
        to bfloat16, 7 bits.

    Raises
    ------
    MemoryError, RuntimeError
        If there is no memory for it, or cuBLAS refuses; with its words.
    """
    import cupy

    m, n = out.shape
    k = a.shape[0 if transpose_a else 1]
    if not out.size:
        return
    dtype = out.dtype.name
    kind, number = TYPES[dtype]
    one, zero = number(1), number(0)
    compute = COMPUTE[precision] if dtype == "float32" else COMPUTE_64F
    operations = [TRANSPOSED if transposed else NORMAL for transposed in (transpose_b, transpose_a)]
    operands = [(x.data.ptr, kind, max(1, x.shape[1])) for x in (b, a)]
    size = _workspace_size(cupy.cuda.runtime.getDevice())
    workspace = cupy.cuda.alloc(size)
    functions = library()
    with _handle(functions) as handle:
        # In this order: a new stream takes the workspace away.
        _check(functions.cublasSetStream_v2(handle, cupy.cuda.get_current_stream().ptr))
        _check(functions.cublasSetWorkspace_v2(handle, workspace.ptr, size))
        status = functions.cublasGemmEx(
            handle, *operations, n, m, k, ctypes.byref(one), *operands[0], *operands[1],
            ctypes.byref(zero), out.data.ptr, kind, n, compute, DEFAULT_ALGORITHM,
        )  # fmt: skip
    _check(status, f"the product of ({m}, {k}) and ({k}, {n}) in {dtype}")


@functools.cache
def _workspace_size(device: int) -> int:
    import cupy

    capability = int(cupy.cuda.Device(device).compute_capability)
    return WORKSPACE_SINCE_HOPPER if capability >= HOPPER else WORKSPACE


_idle: dict[tuple[Any, int], list[ctypes.c_void_p]] = {}
"""Handles that nobody uses now, by library and device. None is ever destroyed: that waits for the
whole device, which another thread's capture forbids."""


@contextmanager
def _handle(functions: Any) -> Iterator[ctypes.c_void_p]:
    """Lend a handle of the current device, to one thread at a time: it holds stream and memory."""
    import cupy

    idle = _idle.setdefault((functions, cupy.cuda.runtime.getDevice()), [])
    try:
        handle = idle.pop()
    except IndexError:
        handle = ctypes.c_void_p()
        _check(functions.cublasCreate_v2(ctypes.byref(handle)), "a handle")
    try:
        yield handle
    finally:
        idle.append(handle)


def _check(status: int, what: str = "its settings") -> None:
    if status:
        import cupy

        said = f"cuBLAS refuses {what}: {cupy.cuda.cublas.CUBLASError(status)}"
        raise MemoryError(said) if status == ALLOCATION_FAILED else RuntimeError(said)
