"""Launchers of ``primitives.cu``: primitives that CuPy would make of several kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel, or_null
from fastnn.kernels.cuda.losses import loss_type
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, ROW_BY_ROW, WARP, blocks_of

Array = Any


def _entries(count: int) -> tuple[tuple[int], tuple[int]]:
    """Give grid and block where one thread does one entry."""
    return (blocks_of(count, ENTRY_THREADS),), (ENTRY_THREADS,)


def _rows(count: int) -> tuple[tuple[int], tuple[int]]:
    """Give grid and block where one warp does one row."""
    warps = ROW_BY_ROW["WARPS"]
    return (blocks_of(count, warps),), (warps * WARP,)


def softmax_cross_entropy(*, x: Array, t: Array, losses: Array, y: Array) -> None:
    """``losses = -log(y[t])`` and ``y = softmax(x)``; x, y (N, C), t and losses (N,)."""
    N, C = x.shape
    launch = kernel("primitives", "softmax_cross_entropy", x.dtype.name)
    launch(*_rows(N), (x, t, losses, y, np.int64(N), np.int32(C)))


def softmax_cross_entropy_backward(*, y: Array, t: Array, dx: Array) -> None:
    """``dx = (y - one_hot(t)) / N``; y, dx (N, C), t (N,)."""
    N, C = y.shape
    launch = kernel("primitives", "softmax_cross_entropy_backward", y.dtype.name)
    launch(*_entries(N * C), (y, t, dx, np.int64(N), np.int32(C)))


def loss_of_outputs(
    primitive: str, *, x: Array, t: Array, losses: Array, y: Array | None = None
) -> None:
    """Do what the primitive of a loss does that is a sum over outputs; x, t, y (N, C)."""
    N, C = x.shape
    dtype = x.dtype.name
    launch = kernel("primitives", "loss_of_outputs", dtype, loss_type(primitive, dtype))
    launch(*_rows(N), (x, t, losses, or_null(y), np.int64(N), np.int32(C)))


def difference_over_samples(*, y: Array, t: Array, dx: Array) -> None:
    """``dx = (y - t) / N``, the gradient of those losses; y, t, dx (N, C)."""
    launch = kernel("primitives", "difference_over_samples", y.dtype.name)
    launch(*_entries(y.size), (y, t, dx, np.int64(y.shape[0]), np.int64(y.size)))


def mean(*, losses: Array, mean: Array) -> None:
    """``mean = sum(losses / N)``; losses (N,), mean ()."""
    launch = kernel("primitives", "mean", losses.dtype.name)
    launch((1,), (WARP,), (losses, mean, np.int32(len(losses))))


def count_correct(*, scores: Array, t: Array, correct: Array) -> None:
    """Add to `correct`, () int64, of how many scores (N, C) the largest is that of t (N,)."""
    N, C = scores.shape
    launch = kernel("primitives", "count_correct", scores.dtype.name)
    launch(*_rows(N), (scores, t, correct, np.int64(N), np.int32(C)))


def take_rows(*, x: Array, rows: Array, scale: float, out: Array) -> None:
    """``out = scale * x[rows]``, cast; x (K, ...), rows (N,), out (N, ...)."""
    launch = kernel("primitives", "take_rows", out.dtype.name, x.dtype.name)
    width = math.prod(x.shape[1:])
    sizes = (np.int64(len(x)), np.int64(out.size), np.int64(width))
    launch(*_entries(out.size), (x, rows, out.dtype.type(scale), out, *sizes))
