"""Bias and ReLU, in place on the result of a matrix product while it is still in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import allocating_kernel, kernel
from fastnn.kernels.cpu.sums import RUN

Array = Any


@kernel
def add_bias(a: Array, b: Array) -> None:
    """``a += b``. a (N, M), b (M,)."""
    for n in range(a.shape[0]):
        for m in range(a.shape[1]):
            a[n, m] += b[m]


@kernel
def add_bias_relu(a: Array, b: Array) -> None:
    """``a = relu(a + b)``, NaN staying NaN. a (N, M), b (M,)."""
    zero = a.dtype.type(0)
    for n in range(a.shape[0]):
        for m in range(a.shape[1]):
            value = a[n, m] + b[m]
            a[n, m] = zero if value <= zero else value


@allocating_kernel
def sum_of_rows(dout: Array, db: Array) -> None:
    """``db = sum(dout, axis=0)``, the gradient by the bias. dout (N, M), db (M,)."""
    db[:] = 0
    section = np.empty_like(db)
    for begin in range(0, dout.shape[0], RUN):
        section[:] = 0
        for n in range(begin, min(begin + RUN, dout.shape[0])):
            for m in range(db.shape[0]):
                section[m] += dout[n, m]
        for m in range(db.shape[0]):
            db[m] += section[m]


@kernel
def relu(x: Array, out: Array) -> None:
    """``out = relu(x)``, NaN staying NaN. x, out (K,)."""
    zero = x.dtype.type(0)
    for k in range(x.shape[0]):
        value = x[k]
        out[k] = zero if value <= zero else value


@kernel
def zero_where(dout: Array, mask: Array, out: Array) -> None:
    """``out = 0`` where the boolean mask holds, else ``dout``. All (K,); `out` may be `dout`."""
    zero = dout.dtype.type(0)
    for k in range(dout.shape[0]):
        out[k] = zero if mask[k] else dout[k]


@kernel
def zero_behind_relu(dx: Array, x: Array) -> None:
    """``dx = 0`` where ``x <= 0``, `x` being what the ReLU gave. Both (K,)."""
    zero = dx.dtype.type(0)
    for k in range(dx.shape[0]):
        dx[k] = zero if x[k] <= 0 else dx[k]
