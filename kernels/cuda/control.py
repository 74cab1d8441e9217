"""Launchers of ``control.cu``: the control block of many steps, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, blocks_of

Array = Any
Numbers = Any

MOST = 8
"""Hyperparameters of a rule, as many as `begin` takes."""


class ControlBlock:
    """What the host says once for many steps: rows, where losses go, hyperparameters.

    Attributes
    ----------
    array : array of int64
        ``Control`` of ``step.cuh``, for the launchers of a step.

    Parameters
    ----------
    dtype : str
        Of the network.
    draws : sequence of array () of int64, optional
        Numbers of draws that each step takes on by one, if `UpdateWeights` ends it.
    """

    def __init__(self, dtype: str, draws: Sequence[Array] = ()) -> None:
        import cupy

        self.array = cupy.zeros(6, "int64")
        self._draws = list(draws)  # which the table points to
        table = cupy.asarray(np.array([each.data.ptr for each in draws], "uint64"))
        self._draw_table = table, np.int32(len(draws))
        self._dtype = np.dtype(dtype)
        self._same = cupy.zeros(MOST, dtype)
        self._begin = kernel("control", "begin", dtype)

    def begin(self, rows: Array, losses: Array, numbers: Sequence[Numbers] = ()) -> None:
        """Start as many steps as there are `rows` (steps, N), contiguous.

        Each of `numbers` is a hyperparameter: one for all steps, which costs no copy from the host,
        or an array (steps,) of the host.
        """
        same = [float(np.ravel(values)[0]) for values in numbers]
        table, stride = self._same, 0
        if any(np.ndim(values) and np.ptp(values) for values in numbers):
            table, stride = _on_device(numbers, len(rows), self._dtype), len(numbers)
        self._table = table  # for the device, as long as the steps run
        padded = map(self._dtype.type, same + [0.0] * (MOST - len(same)))
        numbers_of_steps = (table, np.int32(stride))
        arguments = (self.array, rows, losses, *numbers_of_steps, *self._draw_table, *padded)
        self._begin((1,), (1,), arguments)


def _on_device(numbers: Sequence[Numbers], steps: int, dtype: np.dtype[Any]) -> Array:
    """Bring hyperparameters to the device, (steps, hyperparameters)."""
    import cupy

    table = np.empty((steps, len(numbers)), dtype)
    for column, values in enumerate(numbers):
        table[:, column] = values
    return cupy.asarray(table)


class NextBatch:
    """``rows`` and hyperparameters of the step that is next, for operations of CuPy's."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("control", "next_batch", dtype)

    def __call__(self, *, control: Array, rows: Array, numbers: Array) -> None:
        """Launch it; rows (N,) int64, numbers (hyperparameters,)."""
        N, count = len(rows), len(numbers)
        grid = (blocks_of(max(N, count), ENTRY_THREADS),)
        arguments = (control, rows, np.int32(N), numbers, np.int32(count))
        self._kernel(grid, (ENTRY_THREADS,), arguments)


class KeepLoss:
    """Store the loss () of a step where the losses go, and count the step."""

    def __init__(self, dtype: str) -> None:
        self._kernel = kernel("control", "keep_loss", dtype)

    def __call__(self, *, control: Array, loss: Array) -> None:
        """Launch it."""
        self._kernel((1,), (1,), (control, loss))
