"""Weights of samples: what they make of the losses of a batch, and of its gradient.

The formula is that of `Backend.weighted`. It follows the loss, while the rows of a thread's samples
are in its cache. Each thread adds up the weights of the whole batch, in one order, so that all find
the same sum without meeting for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel
from fastnn.kernels.cpu.net import row_of
from fastnn.kernels.cpu.vector import lanes, largest, magnitude, multiply, splat
from fastnn.kernels.cpu.vector_lanes import largest_lane
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any


@inner_kernel
def weigh(zero: Any, net: Any, weights: Array, batch: Array, samples: Any) -> Any:
    """Multiply losses and ``dout`` of a range of samples by ``w * N / sum(w)``, or by 0.

    weights (K,) float64 are those of the data set. Gives the largest magnitude in dout, or NaN.
    """
    memory, layer = net.memory, net.layers[net.layers.size - 1]
    total = np.float64(0)
    for n in range(batch.size):
        total += _weight(weights, batch, n)
    mean = total / batch.size
    peak = zero
    for n in range(samples[0], min(samples[1], batch.size)):
        w = _weight(weights, batch, n)
        share = memory.dtype.type(w / mean if mean > 0 else np.float64(0))
        memory[net.shape.losses + n] *= share
        for s in range(layer.strip_count):
            dout = row_of(net, layer.dout, layer, s, n)
            for c in range(0, layer.strip_width, lanes(zero)):
                row = multiply(load(zero, memory, dout + c), splat(zero, share))
                store(memory, dout + c, row)
                peak = largest(peak, magnitude(row))
    return largest_lane(peak)


@inline_kernel
def _weight(weights: Array, batch: Array, n: int) -> Any:
    return weights[min(max(batch[n], 0), weights.size - 1)]
