"""Dropout over arrays, for single calls, outside of a compiled step."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import allocating_kernel, kernel
from fastnn.kernels.cpu.mask import COUNTERS, draw
from fastnn.kernels.cpu.philox import WORDS

Array = Any


@allocating_kernel
def dropout(x: Array, bound: Any, step: Any, key: Any, y: Array, mask: Array) -> None:
    """``y = x * mask``, the mask holding where a word is not below `bound`. x, y, mask (N, D)."""
    samples, units = x.shape
    counters = (units + WORDS - 1) // WORDS
    row = np.empty(WORDS * counters + COUNTERS, np.uint8)
    for n in range(samples):
        for counter in range((counters - 1) // COUNTERS * COUNTERS, -1, -COUNTERS):
            draw(row, 0, counters, counter, n, step, key, bound)
        for d in range(units):
            kept = row[d] != 0
            mask[n, d] = kept
            y[n, d] = x[n, d] * x.dtype.type(kept)


@kernel
def multiply_by_mask(dout: Array, mask: Array, out: Array) -> None:
    """``out = dout * mask``; all (K,)."""
    for k in range(dout.shape[0]):
        out[k] = dout[k] * dout.dtype.type(mask[k])
