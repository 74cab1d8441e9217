"""Launchers of ``product.cu``: the forward product of a layer, split over its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.between import Between, activation_type
from fastnn.kernels.cuda.loading import kernel, or_null
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, PRODUCT, blocks_of

Array = Any


def _grid(N: int, M: int, splits: int) -> tuple[int, int, int]:
    return blocks_of(M, PRODUCT["COLUMNS"]), blocks_of(N, PRODUCT["ROWS"]), splits


def _sizes(N: int, D: int, M: int, depth: int) -> tuple[np.int32, ...]:
    return np.int32(N), np.int32(D), np.int32(M), np.int32(depth)


class GatherProduct:
    """``parts[s] = scale * data[rows] @ W`` for a slice of the features each.

    And the mean of the weights of the batch, if samples have any.

    `rows` says how rows of the data set are read: their `row_type`.
    """

    def __init__(self, dtype: str, rows: str) -> None:
        self._kernel = kernel("product", "gather_product", dtype, rows)

    def __call__(
        self, *, control: Array, data: Array, scale: float, W: Array, parts: Array, N: int,
        depth: int, weights: Array | None = None, mean_weight: Array | None = None,
    ) -> None:  # fmt: skip
        """Launch it for N samples; parts (splits, N or more, M), `depth` features a slice."""
        D, M = W.shape
        samples, factor = np.int64(len(data)), W.dtype.type(scale)
        of_samples = (samples, factor, or_null(weights), or_null(mean_weight))
        arguments = (control, data, *of_samples, W, parts, *_sizes(N, D, M, depth))
        self._kernel(_grid(N, M, len(parts)), (PRODUCT["THREADS"],), arguments)


class HiddenProduct:
    """``h``, of sum of before + b through what is between, and ``parts[s] = h @ W`` by slices."""

    def __init__(self, dtype: str, between: Between) -> None:
        self._kernel = kernel("product", "hidden_product", dtype, between.type(dtype))
        self._between = between.record(dtype)

    def __call__(
        self, *, before: Array, b: Array, h: Array, kept: Array, W: Array, parts: Array, N: int,
        depth: int,
    ) -> None:  # fmt: skip
        """Launch it for N samples; before (splits, N or more, D), h and kept (N or more, D).

        `kept` is what the activation's way back reads, and h itself unless that is its input.
        """
        D, M = W.shape
        sums = (before, np.int32(len(before)), b, self._between, h, kept)
        arguments = (*sums, W, parts, *_sizes(N, D, M, depth))
        self._kernel(_grid(N, M, len(parts)), (PRODUCT["THREADS"],), arguments)


class MatrixProduct:
    """``parts[s] = x @ W`` for a slice of the features each, x being an array."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("product", "matrix_product", dtype)

    def __call__(self, *, x: Array, W: Array, parts: Array, splits: int, depth: int) -> None:
        """Launch it; x (N, D), W (D, M), parts (splits, N, M)."""
        (N, D), M = x.shape, W.shape[1]
        arguments = (x, W, parts, *_sizes(N, D, M, depth))
        self._kernel(_grid(N, M, splits), (PRODUCT["THREADS"],), arguments)


class Finish:
    """``out = sum of parts + b``, through ReLU on request."""

    def __init__(self, dtype: str, *, relu: bool) -> None:
        behind = activation_type("relu" if relu else None, dtype)
        self._kernel = kernel("product", "finish", dtype, behind)

    def __call__(self, *, parts: Array, splits: int, b: Array, out: Array) -> None:
        """Launch it; parts (splits, N, M), which may be `out` (N, M) where there is one."""
        sums = (parts, np.int32(splits), b, out)
        blocks = blocks_of(out.size, ENTRY_THREADS)
        arguments = (*sums, np.int64(out.size), np.int32(out.shape[1]))
        self._kernel((blocks,), (ENTRY_THREADS,), arguments)
