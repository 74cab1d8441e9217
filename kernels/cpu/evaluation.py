"""Counting right answers, and losses: the forward pass alone, over a data set without its zeros.

Samples need nothing of each other here, so a thread takes its share of them through all layers
without meeting anybody: `TOGETHER` of them at a time, whose activations stay in its cache, through
the units of the first layer and then, four by four, through the others. It reads the same weights,
in the same strips, as the training step, and has activations of its own (`Layout.rooms`). Rows come
in order, so nothing has to be fetched ahead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel, kernel
from fastnn.kernels.cpu.compressed import Located, locate
from fastnn.kernels.cpu.forward import forward
from fastnn.kernels.cpu.loss import is_above
from fastnn.kernels.cpu.net import row_of
from fastnn.kernels.cpu.sparse import forward_sparse
from fastnn.kernels.cpu.strips import strip_of_zeros
from fastnn.kernels.cpu.vector_memory import at

Array = Any

TOGETHER = 256
"""Samples that a thread takes through all layers together."""


@kernel
def count_right(
    width: Any, net: Any, data: Any, labels: Array, rows: Array, norms: Array, bounds: Array,
    losses: Array,
) -> int:  # fmt: skip
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
    losses : (K,) float64, or empty
        Where the loss of each sample goes, of softmax and cross-entropy; nowhere if it is empty.

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
            best = _best_class(net, n)
            right += best == label
            if losses.size:
                losses[some[n]] = _loss(net, n, best, label)
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


@inner_kernel
def _loss(net: Any, n: int, best: int, label: int) -> Any:
    """The loss of a sample, in float64; NaN for a label that is none, which is refused before."""
    layer = net.layers[net.layers.size - 1]
    if not 0 <= label < layer.outputs:
        return np.nan
    top, total = _score(net, layer, n, best), 0.0
    for c in range(layer.outputs):
        total += np.exp(_score(net, layer, n, c) - top)
    loss = np.log(total) - (_score(net, layer, n, label) - top)
    bound = np.finfo(np.float64).max / 2
    return bound if loss > bound else loss


@inline_kernel
def _score(net: Any, layer: Any, n: int, c: int) -> Any:
    """The score of a class for a sample."""
    strip = c // layer.strip_width
    place = row_of(net, layer.out, layer, strip, n) + c - strip * layer.strip_width
    return np.float64(at(net.memory, place))
