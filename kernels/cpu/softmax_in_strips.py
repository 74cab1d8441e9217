"""Softmax, its loss and its gradient, on scores that lie in strips.

See `fastnn.kernels.cpu.loss` for the formula. A row of scores is read twice, and the gradient is
written where it goes to the layer before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel
from fastnn.kernels.cpu.exponential import exp
from fastnn.kernels.cpu.net import row_of
from fastnn.kernels.cpu.sums import sum_in_place
from fastnn.kernels.cpu.vector import add, lanes, largest, leading_lanes, magnitude, multiply, splat
from fastnn.kernels.cpu.vector_lanes import largest_lane, sum_of_lanes
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any


@inner_kernel
def loss(zero: Any, net: Any, labels: Array, batch: Array, samples: Any, factor: Any) -> Any:
    """Losses of a range of samples, and ``dout = factor * (softmax(scores) - one_hot(t)) / N``.

    A label out of range, which is refused before a kernel sees it, gives NaN. Gives the largest
    magnitude in dout, or NaN.
    """
    memory, layer = net.memory, net.layers[net.layers.size - 1]
    strip, classes = layer.strip_width, layer.outputs
    columns = layer.strip_count * strip
    skip = (net.shape.capacity - 1) * strip  # from a strip's end to the sample's next strip
    kind = memory.dtype.type
    lowest, bound = kind(-np.inf), kind(np.finfo(memory.dtype).max / 2)
    share_of_loss = factor / kind(batch.size)
    peak = zero
    for n in range(samples[0], samples[1]):
        scores, dout = row_of(net, layer.out, layer, 0, n), row_of(net, layer.dout, layer, 0, n)
        best, place = splat(zero, lowest), scores
        for c in range(0, classes, lanes(zero)):
            best = largest(best, leading_lanes(load(zero, memory, place), classes - c, lowest))
            place = _behind(place, c, lanes(zero), strip, skip)
        top = largest_lane(best)
        total, place, to = zero, scores, dout
        for c in range(0, classes, lanes(zero)):
            row = leading_lanes(load(zero, memory, place), classes - c, lowest)
            row = exp(add(row, splat(zero, -top)))
            store(memory, to, row)
            total = add(total, row)
            place = _behind(place, c, lanes(zero), strip, skip)
            to = _behind(to, c, lanes(zero), strip, skip)
        sum_of_exp = sum_of_lanes(total)
        scale = splat(zero, share_of_loss / sum_of_exp if n < batch.size else kind(0))
        to = dout
        for c in range(0, columns, lanes(zero)):
            row = zero
            if c < classes and n < batch.size:
                row = multiply(load(zero, memory, to), scale)
            store(memory, to, row)
            peak = largest(peak, magnitude(row))
            to = _behind(to, c, lanes(zero), strip, skip)
        if n < batch.size:
            t = labels[min(max(batch[n], 0), labels.size - 1)]
            value = kind(np.nan)
            if 0 <= t < classes:
                place = t + t // strip * skip if columns > strip else t
                value = np.log(sum_of_exp) - (memory[scores + place] - top)
                memory[dout + place] -= share_of_loss
            memory[net.shape.losses + n] = bound if value > bound else value
    return largest_lane(peak)


@inline_kernel
def _behind(place: int, column: int, count: int, strip: int, skip: int) -> int:
    """The place behind `count` numbers that begin at a column."""
    return place + count + (skip if ((column + count) & (strip - 1)) == 0 else 0)


@inner_kernel
def mean_loss(net: Any, samples: int) -> Any:
    """The mean of the losses of a batch, of which nothing is left."""
    for n in range(samples):
        net.memory[net.shape.losses + n] /= net.memory.dtype.type(samples)
    return sum_in_place(net.memory, net.shape.losses, samples)
