"""What a layer's output goes through while a tile of it is in registers, and the way back.

An activation is two small inline kernels: its formula for a vector, and what it makes of a gradient
given its own output. A network's records name it by number.
"""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.compiler import inline_kernel
from fastnn.kernels.cpu.vector import relu, zero_behind_relu

NONE, RELU = 0, 1

NUMBERS = {None: NONE, "relu": RELU}
"""Of each activation that a step plan may name."""


@inline_kernel
def activate(row: Any, activation: int) -> Any:
    """Give the output for a vector of sums."""
    if activation == RELU:
        return relu(row)
    return row


@inline_kernel
def activate_backward(dout: Any, out: Any, activation: int) -> Any:
    """Give the gradient by the sums, from that by the output and the output itself."""
    if activation == RELU:
        return zero_behind_relu(dout, out)
    return dout
