"""Functions on vectors over arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def over_arrays(function: Any) -> Callable[[Any], Any]:
    """Give a function of one array, of any size, that takes it through an intrinsic."""
    import numba
    from fastnn.kernels.cpu.vector import zeros
    from fastnn.kernels.cpu.vector_memory import load, store

    @numba.njit  # type: ignore[untyped-decorator]
    def loop(x: Any, out: Any) -> None:
        zero = zeros(x, 16)
        for place in range(0, x.size, 16):
            store(out, place, function(load(zero, x, place)))

    def call(x: Any) -> Any:
        padded = np.concatenate([x, np.zeros(-x.size % 16, x.dtype)])
        out = np.empty_like(padded)
        loop(padded, out)
        return out[: x.size]

    return call
