"""Launchers of ``normalization.cu``: batch normalisation, and averages that follow batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import BY_COLUMN, ENTRY_THREADS, WARP, blocks_of

Array = Any


def _columns(count: int) -> tuple[tuple[int], tuple[int]]:
    """Give grid and block where one block does a warp's width of columns."""
    return (blocks_of(count, WARP),), (BY_COLUMN["COLUMN_WARPS"] * WARP,)


def _entries(count: int) -> tuple[tuple[int], tuple[int]]:
    """Give grid and block where one thread does one entry."""
    return (blocks_of(count, ENTRY_THREADS),), (ENTRY_THREADS,)


def batch_norm(
    *, x: Array, gamma: Array, beta: Array, epsilon: float, y: Array, xn: Array, std: Array,
    mean: Array, var: Array,
) -> None:  # fmt: skip
    """``y = gamma * xn + beta``, ``xn = (x - mean) / std``; x, y, xn (N, D), the others (D,)."""
    N, D = x.shape
    small = x.dtype.type(epsilon)
    launch = kernel("normalization", "batch_norm", x.dtype.name)
    launch(*_columns(D), (x, gamma, beta, small, y, xn, std, mean, var, np.int64(N), np.int64(D)))


def batch_norm_backward(
    *, dout: Array, gamma: Array, xn: Array, std: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    """Gradients of `batch_norm`; dout, xn, dx (N, D), the others (D,)."""
    N, D = dout.shape
    launch = kernel("normalization", "batch_norm_backward", dout.dtype.name)
    launch(*_columns(D), (dout, gamma, xn, std, dx, dgamma, dbeta, np.int64(N), np.int64(D)))


def batch_norm_evaluation(
    *, x: Array, gamma: Array, beta: Array, mean: Array, var: Array, epsilon: float, y: Array
) -> None:
    """``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``; x, y (N, D), the others (D,)."""
    small, sizes = x.dtype.type(epsilon), (np.int64(x.size), np.int64(x.shape[1]))
    launch = kernel("normalization", "batch_norm_evaluation", x.dtype.name)
    launch(*_entries(x.size), (x, gamma, beta, mean, var, small, y, *sizes))


def moving_average(*, average: Array, value: Array, momentum: float) -> None:
    """``average = momentum * average + (1 - momentum) * value`` in place, of any shape."""
    weights = [average.dtype.type(weight) for weight in (momentum, 1 - momentum)]
    launch = kernel("normalization", "moving_average", average.dtype.name)
    launch(*_entries(average.size), (average, value, *weights, np.int64(average.size)))
