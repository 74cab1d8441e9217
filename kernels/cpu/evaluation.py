"""Counting right answers: the forward pass alone, over a data set without its zeros.

Samples need nothing of each other here, so a thread takes its share of them through all layers
without meeting anybody: `TOGETHER` of them at a time, whose activations stay in its cache, through
the units of the first layer and then, four by four, through the others. It reads the same weights,
in the same strips, as the training step, and has activations of its own (`Layout.rooms`). Rows come
in order, so nothing has to be fetched ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inner_kernel, kernel
from fastnn.kernels.cpu.compressed import Located, locate
from fastnn.kernels.cpu.forward import forward
from fastnn.kernels.cpu.loss import is_above
from fastnn.kernels.cpu.sparse import forward_sparse
from fastnn.kernels.cpu.strips import strip_of_zeros
from fastnn.kernels.cpu.vector_memory import at

Array = Any

TOGETHER = 256
"""Samples that a thread takes through all layers together."""


@kernel
def count_right(
    width: Any, net: Any, data: Any, labels: Array, rows: Array, norms: Array, bounds: Array
) -> int:
    """Of how many samples the largest score is that of their label.

    width : Wide or Narrow
        Of the first layer's strips.
    net : Net
        Its records say where this thread's own activations are.
    data : Compressed
    labels : (K,)
    rows : (N,)
        The samples that this thread takes.
    norms : (units,)
        This thread's own, infinite at first, so that all weights are read once.
    bounds : (capacity * (groups * blocks + 1),)
        Room for where the samples are that it takes together.

    Ties and NaN count as in `fastnn.kernels.cpu.loss.count_correct`.
    """
    zero = strip_of_zeros(net.memory, width)
    shape = net.shape
    units, blocks = shape.groups * net.layers[0].strip_count, shape.groups * shape.blocks
    right = 0
    for begin in range(0, rows.size, shape.capacity):
        some = rows[begin : begin + shape.capacity]
        locate(data, some, blocks, bounds)
        here = Located(bounds, some.size)
        for unit in range(units):
            forward_sparse(zero, net, data, here, unit, norms, bounds[:0], shape.expanded)
        forward(net, np.int64(0), some.size)
        for n in range(some.size):
            label = labels[min(max(some[n], 0), labels.size - 1)]
            right += _best_class(net, n) == label
    return right


@inner_kernel
def _best_class(net: Any, n: int) -> int:
    """The class of the largest score of a sample."""
    layer = net.layers[net.layers.size - 1]
    width = layer.strip_width
    place = layer.out + n * width
    best, top = 0, at(net.memory, place)
    for start in range(0, layer.outputs, width):
        for c in range(min(width, layer.outputs - start)):
            score = at(net.memory, place + c)
            above = is_above(score, top)
            top = score if above else top
            best = start + c if above else best
        place += net.shape.capacity * width
    return best
