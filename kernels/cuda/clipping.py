"""Launchers of ``clipping.cu``: the norm of all gradients, and the factor that cuts it."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import NORM, WARP, blocks_of

Array = Any
Number = Any

MOST_PARTS = 128
"""Blocks that share out the squares of a gradient: enough to read at the speed of the memory."""


def clip_factor(
    *, gradients: list[Array], clip_norm: Number, epsilon: float, factor: Array
) -> None:
    """``factor = min(1, clip_norm / (norm + epsilon))``, factor (); gradients contiguous.

    `clip_norm` may be an array () of the device, of the dtype of `factor`.
    """
    import cupy

    threads = NORM["NORM_THREADS"]
    counts = [max(1, min(MOST_PARTS, blocks_of(g.size, threads))) for g in gradients]
    parts, first = cupy.empty((sum(counts),), "float64"), 0
    for g, count in zip(gradients, counts, strict=True):
        launch = kernel("clipping", "squared_sum", g.dtype.name)
        launch((count,), (threads,), (g, parts[first:], np.int64(g.size)))
        first += count
    on_device = not isinstance(clip_norm, int | float | np.generic)
    most = (np.float64(0), clip_norm) if on_device else (np.float64(clip_norm), np.uintp(0))
    launch = kernel("clipping", "clip_factor", factor.dtype.name)
    launch((1,), (WARP,), (parts, np.int32(parts.size), *most, np.float64(epsilon), factor))
