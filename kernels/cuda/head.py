"""Launcher of ``head.cu``: the last layer and the loss, forward and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.losses import Targets
from fastnn.kernels.cuda.sizes import HEAD, WARP, blocks_of

Array = Any

SHARED_MEMORY = 48 * 1024
"""Bytes of shared memory that every device gives a block without being asked."""


UNITS_OF_A_LANE = 2
"""Of a row, at least: their parts are under way together."""

MOST_SLICES = 8
"""Of a row; so a block of at most 16 warps has two rows, and reads W half as often."""


def slices(M: int) -> tuple[int, int]:
    """Give into how many slices a row of M units is cut, a warp each, and their depth."""
    units_of_a_lane = blocks_of(blocks_of(M, WARP), MOST_SLICES)
    depth = WARP * max(UNITS_OF_A_LANE, units_of_a_lane)
    return blocks_of(M, depth), depth


def shared_memory(M: int, C: int, rows: int, itemsize: int) -> int:
    """Give the bytes that a block needs: W in rows of odd length, units and scores of its rows."""
    return (M * (C | 1) + rows * (M + slices(M)[0] * C)) * itemsize


def fits(M: int, C: int, rows: int, itemsize: int) -> bool:
    """Say whether a block can have so many rows."""
    few = rows * slices(M)[0] <= HEAD["MOST_WARPS"]
    return few and shared_memory(M, C, rows, itemsize) <= SHARED_MEMORY


class Head:
    """``h``, scores, losses, and the gradients by both, of the last layer with its loss."""

    def __init__(self, dtype: str, rows: int, between: Between, targets: Targets) -> None:
        types = dtype, between.type(dtype), targets.type(dtype)
        self._kernel = kernel("head", "head", *types)
        self._between, self._targets = between.record(dtype), targets.record()
        self._samples = np.int64(len(targets.t))
        self._rows = rows

    def __call__(
        self, *, control: Array, before: Array, b_before: Array, W: Array, b: Array, h: Array,
        kept: Array, dout: Array, dh: Array, losses: Array, N: int,
    ) -> None:  # fmt: skip
        """Launch it for N samples; before (splits, N or more, M), W (M, C).

        `kept` is what the activation's way back reads, and h itself unless that is its input.
        """
        M, C = W.shape
        warps, depth = slices(M)
        sums = (before, np.int32(len(before)), b_before, self._between)
        results = (self._targets, self._samples, h, kept, dout, dh, losses)
        self._kernel(
            (blocks_of(N, self._rows),),
            (warps * WARP, self._rows),
            (control, *sums, W, b, *results, *map(np.int32, (N, M, C, depth))),
            shared_mem=shared_memory(M, C, self._rows, W.dtype.itemsize),
        )
