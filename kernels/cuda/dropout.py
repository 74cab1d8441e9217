"""Launcher of ``dropout.cu``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, blocks_of

Array = Any

WORDS = 4
"""Units of a sample that one thread does."""


def dropout(*, x: Array, step: int | Array, key: int, bound: int, y: Array, mask: Array) -> None:
    """``y = x * mask``, the mask holding where a word is not below `bound`; all (N, ...).

    `step` may be an array () of int64, which the device reads.
    """
    on_device = not isinstance(step, int | np.generic)
    draw = (np.uint64(0), step) if on_device else (np.uint64(step), np.uintp(0))
    samples, units = x.shape[0], math.prod(x.shape[1:])
    threads = samples * blocks_of(units, WORDS)
    launch = kernel("dropout", "dropout", x.dtype.name)
    launch(
        (blocks_of(threads, ENTRY_THREADS),), (ENTRY_THREADS,),
        (
            x, *draw, np.uint64(key), np.uint64(bound), y, mask, np.int64(samples),
            np.int64(units),
        ),
    )  # fmt: skip
