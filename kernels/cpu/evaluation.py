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
from fastnn.kernels.cpu.compiler import kernel
from fastnn.kernels.cpu.hidden import forward as forward_hidden
from fastnn.kernels.cpu.loss import is_above
from fastnn.kernels.cpu.sparse import forward, locate
from fastnn.kernels.cpu.strips import (
    BLOCKS,
    CAPACITY,
    EXPANDED,
    GROUPS,
    OUTPUTS,
    STRIP,
    STRIPS,
    A,
    strip_of_zeros,
)
from fastnn.kernels.cpu.vector import at

Array = Any

TOGETHER = 256
"""Samples that a thread takes through all layers together."""


@kernel
def count_right(
    width: Any, memory: Array, table: Array, shape: Array, edges: Array, norms: Array,
    data: Any, labels: Array, rows: Array, places: Array,
) -> int:  # fmt: skip
    """Of how many samples the largest score is that of their label.

    Arguments as of `fastnn.kernels.cpu.step.train_compressed`, but

    table, shape
        Say where this thread's own activations are.
    norms : (units,)
        This thread's own, infinite at first: it looks at all weights once.
    rows : (N,)
        The samples that this thread takes.
    places : (CAPACITY * (groups * blocks + 1),)
        Room for where the samples are that it takes together.

    Ties and NaN count as in `fastnn.kernels.cpu.loss.count_correct`.
    """
    zero = strip_of_zeros(memory, width)
    units, blocks = shape[GROUPS] * table[0, STRIPS], shape[GROUPS] * shape[BLOCKS]
    right = 0
    for begin in range(0, rows.size, shape[CAPACITY]):
        some = rows[begin : begin + shape[CAPACITY]]
        locate(data, some, blocks, places)
        for unit in range(units):
            forward(
                zero, memory, table, shape, data, places, edges, some.size, unit, norms, places[:0],
                shape[EXPANDED],
            )  # fmt: skip
        forward_hidden(memory, table, shape, np.int64(0), some.size)
        for n in range(some.size):
            label = labels[min(max(some[n], 0), labels.size - 1)]
            right += _best_class(memory, table, shape, n) == label
    return right


@kernel
def _best_class(memory: Array, table: Array, shape: Array, n: int) -> int:
    """The class of the largest score of a sample."""
    layer = table.shape[0] - 1
    strip, classes = table[layer, STRIP], table[layer, OUTPUTS]
    place = table[layer, A] + n * strip
    best, top = 0, at(memory, place)
    for start in range(0, classes, strip):
        for c in range(min(strip, classes - start)):
            score = at(memory, place + c)
            above = is_above(score, top)
            top = score if above else top
            best = start + c if above else best
        place += shape[CAPACITY] * strip
    return best
