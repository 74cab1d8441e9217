"""Launchers of ``weights.cu``: weight gradients, and the update of all layers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import WEIGHTS, blocks_of

Array = Any
Table = np.ndarray[Any, Any]

PARAMETER = np.dtype([("values", "u8"), ("gradient", "u8"), ("state", "u8", 2)])
"""``Parameter`` of ``update.cuh``."""

STRETCH = np.dtype(
    [("parameter", PARAMETER), ("size", "i8"), ("first_block", "i4"), ("is_weight", "i4")]
)
"""``Stretch`` of ``update.cuh``."""

LAYER_UPDATE = np.dtype(
    [("x", "u8"), ("dout", "u8"), ("W", PARAMETER), ("b", PARAMETER)]
    + [(name, "i4") for name in ("D", "M", "first_block", "tiles_across")]
)
"""``LayerUpdate`` of the source."""


class Parameter(NamedTuple):
    """A parameter with what changes along with it; all arrays of one shape.

    Attributes
    ----------
    values : array
        The parameter itself.
    state : tuple of array
        Of the rule, in the order of the specification.
    gradient : array or None
        Where its gradient is kept, if gradients are clipped; or has been left by another kernel.
    """

    values: Array
    state: tuple[Array, ...] = ()
    gradient: Array | None = None

    def addresses(self) -> tuple[int, int, list[int]]:
        """Give the record of it: see `PARAMETER`."""
        state = [array.data.ptr for array in self.state] + [0, 0]
        gradient = 0 if self.gradient is None else self.gradient.data.ptr
        return self.values.data.ptr, gradient, state[:2]


class LayerParameters(NamedTuple):
    """A layer, its input (N or more, D) and the gradient by its output (N or more, M).

    x is None for the first layer, which reads the data set.
    """

    x: Array | None
    dout: Array
    W: Parameter
    b: Parameter


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
    """All gradients, and all parameters follow them; the mean loss, and the next step.

    With a rule that clips gradients are kept instead, for `UpdateClipped`.

    Parameters
    ----------
    layers : sequence of LayerParameters
        In order.
    vectors : sequence of Parameter
        Parameters whose gradients are in memory already: vectors, or also weights (D, M).
    rule : str
        A type of ``rules.cuh``.
    rows : str
        How rows of the data set are read: their `row_type`.
    clip_epsilon : float, optional
        What is added to the norm of all gradients.
    penalty_times : float, optional
        How many times the penalty of `rule` stands in the loss, if it has one.

    Attributes
    ----------
    clip_factor : array ()
        What gradients are to be multiplied by, if the rule clips.
    """

    def __init__(
        self, layers: Sequence[LayerParameters], vectors: Sequence[Parameter], rule: str,
        rows: str, *, clip_epsilon: float = 0.0, penalty_times: float = 1.0,
    ) -> None:  # fmt: skip
        import cupy

        dtype = _dtype(layers, vectors)
        self._kernel = kernel("weights", "update_weights", dtype, rows, rule)
        table, tiles = np.zeros(len(layers), LAYER_UPDATE), 0
        for i, (x, dout, W, b) in enumerate(layers):
            down, across = _tiles(*W.values.shape)
            inputs = (0 if x is None else x.data.ptr, dout.data.ptr)
            table[i] = (*inputs, W.addresses(), b.addresses(), *W.values.shape, tiles, across)
            tiles += down * across
        behind, blocks = _stretches(vectors)
        self._blocks = tiles + blocks
        self._layers = _on_device(table), np.int32(len(layers))
        self._vectors = _on_device(behind), np.int32(len(vectors)), np.int32(tiles)
        self.clip_factor = cupy.empty((), dtype)
        parts, arrived = cupy.empty((2, self._blocks), "float64"), cupy.zeros((), "uint32")
        numbers = np.float64(clip_epsilon), np.float64(penalty_times)
        self._closing = parts, arrived, self.clip_factor, *numbers
        self._arrays = list(layers), list(vectors)  # which the tables point to

    def __call__(self, *, control: Array, data: Array, scale: float, losses: Array, N: int) -> None:
        """Launch it for N samples."""
        batch = (data, np.int64(len(data)), losses.dtype.type(scale), losses, np.int32(N))
        arguments = (control, *self._layers, *self._vectors, *batch, *self._closing)
        self._kernel((self._blocks,), (WEIGHTS["THREADS"],), arguments)


class UpdateClipped:
    """All parameters follow the gradients that `UpdateWeights` has kept, times its `clip_factor`.

    Parameters
    ----------
    layers, vectors, rule
        As there.
    """

    def __init__(
        self, layers: Sequence[LayerParameters], vectors: Sequence[Parameter], rule: str
    ) -> None:
        self._kernel = kernel("weights", "update_clipped", _dtype(layers, vectors), rule)
        of_layers = [parameter for layer in layers for parameter in (layer.W, layer.b)]
        table, self._blocks = _stretches([*of_layers, *vectors])
        self._parameters = _on_device(table), np.int32(len(table))
        self._arrays = list(layers), list(vectors)  # which the table points to

    def __call__(self, *, control: Array, clip_factor: Array, N: int) -> None:
        """Launch it, for any N."""
        arguments = (control, *self._parameters, clip_factor)
        self._kernel((self._blocks,), (WEIGHTS["THREADS"],), arguments)


def _dtype(layers: Sequence[LayerParameters], others: Sequence[Parameter]) -> str:
    return str((layers[0].W if layers else others[0]).values.dtype.name)


def _stretches(parameters: Sequence[Parameter]) -> tuple[Table, int]:
    """Give the table of parameters, and how many blocks take it. Those (D, M) are weights."""
    table, blocks = np.zeros(len(parameters), STRETCH), 0
    for i, parameter in enumerate(parameters):
        size, is_weight = parameter.values.size, parameter.values.ndim > 1
        table[i] = (parameter.addresses(), size, blocks, is_weight)
        blocks += blocks_of(size, WEIGHTS["ENTRIES"] * WEIGHTS["THREADS"])
    return table, blocks


def _on_device(table: Table) -> Array:
    import cupy

    return cupy.asarray(table.view("uint8"))
