"""Launchers of ``activations.cu``."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, blocks_of

Array = Any


def activate(primitive: str, *, x: Array, out: Array, slope: float = 0.0) -> None:
    """Do what the primitive does; x, out of one shape."""
    _launch("activate", Between(primitive, slope), out, x)


def activate_backward(
    primitive: str, *, dout: Array, kept: Array, out: Array, slope: float = 0.0
) -> None:
    """Give its gradient, of what that needs besides: output or input; all of one shape."""
    _launch("activate_backward", Between(primitive, slope), out, dout, kept)


def _launch(name: str, between: Between, out: Array, *reads: Array) -> None:
    """Launch a kernel with a thread for each entry of `out`; a grid of none is an error."""
    blocks, dtype = blocks_of(out.size, ENTRY_THREADS), out.dtype.name
    if blocks:
        launch = kernel("activations", name, dtype, between.type(dtype))
        arguments = (*reads, between.record(dtype), out, np.int64(out.size))
        launch((blocks,), (ENTRY_THREADS,), arguments)
