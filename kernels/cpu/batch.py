"""Gathering a mini-batch: rows copied and cast at once."""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.compiler import kernel

Array = Any


@kernel
def take_rows(x: Array, rows: Array, scale: float, out: Array) -> None:
    """``out = scale * x[rows]``, cast to the dtype of `out`. x (K, D), rows (N,), out (N, D).

    A row number out of range means the nearest row, as in ``numpy.take(..., mode="clip")``.
    """
    last, factor = x.shape[0] - 1, out.dtype.type(scale)
    for n in range(rows.shape[0]):
        row = min(max(rows[n], 0), last)
        for d in range(x.shape[1]):
            out[n, d] = x[row, d]
        if scale != 1:
            for d in range(x.shape[1]):
                out[n, d] *= factor
