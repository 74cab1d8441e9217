"""Launchers of ``weights.cu``: weight gradients, and the update of all layers at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import WEIGHTS, blocks_of

Array = Any

LAYER_UPDATE = np.dtype(
    [(name, "u8") for name in ("x", "dout", "W", "b")]
    + [(name, "i4") for name in ("D", "M", "first_block", "tiles_across")]
)
"""``LayerUpdate`` of the source."""


def _tiles(D: int, M: int) -> tuple[int, int]:
    """Give the tiles of a weight gradient (D, M): down, across."""
    return blocks_of(D, WEIGHTS["ROWS"]), blocks_of(M, WEIGHTS["COLUMNS"])


class WeightGradients:
    """``dW = x.T @ dout`` and ``db = sum of dout`` of one layer."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("weights", "weight_gradients", dtype)

    def __call__(self, *, x: Array, dout: Array, dW: Array, db: Array) -> None:
        """Launch it; x (N, D), dout (N, M)."""
        (N, D), M = x.shape, dout.shape[1]
        down, across = _tiles(D, M)
        arguments = (x, dout, dW, db, np.int32(N), np.int32(D), np.int32(M))
        self._kernel((across, down), (WEIGHTS["THREADS"],), arguments)


class UpdateWeights:
    """``W -= lr * dW`` and ``b -= lr * db`` of all layers, the mean loss, and the next step.

    Parameters
    ----------
    xs : sequence of array or None
        Of each layer its input (N or more, D); None for the first layer, which reads the data set.
    douts, Ws, bs : sequence of array
        Of each layer the gradient by its output, and its parameters.
    rows : str
        How rows of the data set are read: their `row_type`.
    """

    def __init__(self, xs: Any, douts: Any, Ws: Any, bs: Any, rows: str) -> None:
        import cupy

        self._kernel = kernel("weights", "update_weights", Ws[0].dtype.name, rows)
        table, self._blocks = np.zeros(len(Ws), LAYER_UPDATE), 0
        for i, (x, dout, W, b) in enumerate(zip(xs, douts, Ws, bs, strict=True)):
            down, across = _tiles(*W.shape)
            pointers = (0 if x is None else x.data.ptr, dout.data.ptr, W.data.ptr, b.data.ptr)
            table[i] = (*pointers, *W.shape, self._blocks, across)
            self._blocks += down * across
        self._arrays = list(xs), list(douts), list(Ws), list(bs)  # which the table points to
        self._table, self._layers = cupy.asarray(table.view("uint8")), np.int32(len(Ws))

    def __call__(self, *, control: Array, data: Array, scale: float, losses: Array, N: int) -> None:
        """Launch it for N samples."""
        factor = losses.dtype.type(scale)
        layers = (self._table, self._layers, data, np.int64(len(data)), factor)
        arguments = (control, *layers, losses, np.int32(N))
        self._kernel((self._blocks,), (WEIGHTS["THREADS"],), arguments)
