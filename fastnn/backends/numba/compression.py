"""Data sets without their zeros, for the compiled step: of dense rows, and of compressed ones."""

from __future__ import annotations

import ctypes
from itertools import accumulate
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.numba.team import share_out
from fastnn.backends.sparse_rows import SparseRows
from fastnn.kernels.cpu import compressed
from fastnn.threads import get_num_threads

INPUTS_OF_A_THREAD = 1e6
"""Inputs of a data set for which a thread is worth waking to compress them; some 1 ms."""


def compress(
    x: Array | SparseRows, block_starts: Array, scale: np.floating[Any]
) -> compressed.Compressed:
    """Compress a data set (K, D), leaving out its zeros.

    Floats are scaled now, bytes when they are used.
    """
    parts = _of_rows if isinstance(x, SparseRows) else _of_dense
    starts, offsets, positions, values = parts(x, block_starts)
    most = max(float(values.max()), -float(values.min())) if values.size else 0.0
    later: np.floating[Any] | None = None
    if scale != 1 and values.dtype == scale.dtype:
        values = values * scale if isinstance(x, SparseRows) else np.multiply(values, scale, values)
    elif scale != 1:
        later = scale
    most *= abs(float(scale))
    return compressed.Compressed(starts, offsets.reshape(-1), positions, values, later, most)


def _of_dense(x: Array, block_starts: Array) -> tuple[Array, Array, Array, Array]:
    """Give starts, offsets, positions and values; each thread takes some of the samples."""
    samples, features = x.shape
    threads = max(1, min(get_num_threads(), samples, int(x.size / INPUTS_OF_A_THREAD)))
    shares = [(i * samples // threads, (i + 1) * samples // threads) for i in range(threads)]
    counts = [0] * threads

    def count(thread: int) -> None:
        first, last = shares[thread]
        counts[thread] = compressed.count_nonzero(x[first:last].reshape(-1))

    share_out(count, threads)
    ends = list(accumulate(counts, initial=0))
    small = np.uint16 if features < 1 << 16 else np.uint32
    starts = np.empty(samples, np.int64)
    offsets = np.empty((samples, len(block_starts)), small)
    positions, values = np.empty(ends[-1], small), np.empty(ends[-1], x.dtype)

    def fill(thread: int) -> None:
        first, last = shares[thread]
        begin, end = ends[thread], ends[thread + 1]
        into = compressed.Compressed(
            starts[first:last], offsets[first:last].reshape(-1), positions[begin:end],
            values[begin:end], None, 0.0,
        )  # fmt: skip
        found = compressed.compress(x[first:last].reshape(-1), block_starts, begin, into)
        if found != end - begin:
            raise RuntimeError("x was changed while fit read it: it must stay as it is meanwhile")

    share_out(fill, threads)
    return starts, offsets, positions, values


def _of_rows(x: SparseRows, block_starts: Array) -> tuple[Array, Array, Array, Array]:
    """Give the same of compressed rows, of which the values are used as they are."""
    matrix = x.matrix
    small = np.uint16 if x.shape[1] < 1 << 16 else np.uint32
    starts = for_a_kernel(matrix.indptr.astype(np.int64))
    positions = matrix.indices.astype(small)  # our own: nobody can change an index any more
    offsets = np.empty((len(x), len(block_starts)), small)
    compressed.find_blocks(starts, positions, block_starts, offsets.reshape(-1))
    return starts[:-1], offsets, positions, for_a_kernel(matrix.data)


def for_a_kernel(array: Array) -> Array:
    """Give an array contiguous, aligned and writable, though a kernel only reads it.

    Numba compiles a kernel anew for an array that may not be written or is not aligned, so a
    read-only one is wrapped rather than copied.
    """
    array = np.require(array, requirements=["C", "A"])
    if array.flags.writeable:
        return array
    memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    memory.owner = array  # kept alive as long as the wrapper is
    return np.frombuffer(memory, array.dtype).reshape(array.shape)
