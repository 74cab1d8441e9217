"""Products with few columns, for single calls: ``x @ W + b`` and ``x.T @ dout``.

A BLAS packs both factors into its own order before it multiplies; with 50 columns that costs as
much as it saves. Here only the narrow factor is copied, into a strip (`fastnn.kernels.cpu.dense`).
On one core of a Xeon "Sapphire Rapids", 100 x 784 x 50 in float32: 73 us with OpenBLAS, 58 so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import allocating_kernel, inline_kernel, inner_kernel
from fastnn.kernels.cpu.dense import ROWS, Left, Right, multiply_samples, store_tile
from fastnn.kernels.cpu.strips import narrow, wide, wide_tile
from fastnn.kernels.cpu.vector import lanes
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any


@allocating_kernel
def affine(x: Array, W: Array, b: Array, relu: bool, out: Array) -> None:
    """``out = x @ W + b``, through ReLU on request. x (N, D), W (D, M), M of 16 to a strip."""
    strip = lanes(wide(W))
    weights = np.empty(W.shape[0] * strip, W.dtype)
    _into_strip(W, strip, weights)
    result = np.empty(x.shape[0] * strip, W.dtype)
    _multiply(x.reshape(-1), x.shape[1], 1, weights, result, x.shape[0], x.shape[1], strip)
    flat, zero = out.reshape(-1), narrow(out)
    for n in range(out.shape[0]):
        copy_row(zero, result, n * strip, flat, n * W.shape[1], W.shape[1])
    for n in range(out.shape[0]):
        for m in range(out.shape[1]):
            value = out[n, m] + b[m]
            out[n, m] = 0 if relu and value <= 0 else value


@allocating_kernel
def transposed_product(x: Array, dout: Array, dW: Array) -> None:
    """``dW = x.T @ dout``. x (N, D), dout (N, M), M of 16 to a strip."""
    strip = lanes(wide(dout))
    gradient = np.empty(dout.shape[0] * strip, dout.dtype)
    _into_strip(dout, strip, gradient)
    result = np.empty(x.shape[1] * strip, dout.dtype)
    _multiply(x.reshape(-1), 1, x.shape[1], gradient, result, x.shape[1], x.shape[0], strip)
    flat = dW.reshape(-1)
    for d in range(dW.shape[0]):
        copy_row(narrow(dW), result, d * strip, flat, d * dW.shape[1], dW.shape[1])


@inner_kernel
def _into_strip(B: Array, strip: int, flat: Array) -> None:
    """Copy a matrix of few columns to rows as long as a strip, zeros behind its own."""
    zero, source = narrow(B), B.reshape(-1)
    for k in range(B.shape[0]):
        for m in range(0, strip, lanes(zero)):
            store(flat, k * strip + m, zero)
        copy_row(zero, source, k * B.shape[1], flat, k * strip, B.shape[1])


@inline_kernel
def copy_row(zero: Any, source: Array, start: int, target: Array, place: int, count: int) -> None:
    """Copy `count` numbers, at least as many as a vector has; the last vectors may overlap."""
    for m in range(0, count - lanes(zero), lanes(zero)):
        store(target, place + m, load(zero, source, start + m))
    m = count - lanes(zero)
    store(target, place + m, load(zero, source, start + m))


@inner_kernel
def _multiply(
    A: Array, row: int, step: int, B: Array, result: Array, rows: int, depth: int, strip: int
) -> None:
    """``result[r] = sum over k of A[r * row + k * step] * B[k]``, in tiles of four rows.

    Rows that are left over are computed four times, in the four rows of a tile.
    """
    zero = wide_tile(B)
    for column in range(0, strip, lanes(zero)):
        whole = rows // ROWS * ROWS
        for r in range(0, whole, ROWS):
            left, right = Left(A, r * row, row, step), Right(B, column, strip)
            tile = multiply_samples(zero, left, right, depth)
            store_tile(tile, result, r * strip + column, strip)
        for r in range(whole, rows):
            left, right = Left(A, r * row, 0, step), Right(B, column, strip)
            tile = multiply_samples(zero, left, right, depth)
            store_tile(tile, result, r * strip + column, 0)
