"""The layers behind the first one, forward, loss and backward, for a few samples after another.

What happens to a sample between the first layer's output and the gradient by it needs no other
sample, so each thread takes its share of them through all of it without waiting. The products are
tiles of `fastnn.kernels.cpu.dense`; bias, ReLU and softmax are done on a tile or a row while it is
at hand. Samples are taken four at a time; where the batch is no multiple of four, the rows that
follow it in the buffers are computed along and never used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel, kernel
from fastnn.kernels.cpu.dense import (
    ROWS,
    add_tile,
    multiply,
    multiply_samples,
    relu_tile,
    store_tile,
)
from fastnn.kernels.cpu.exponential import exp
from fastnn.kernels.cpu.strips import (
    CAPACITY,
    GROUPS,
    INPUTS,
    LOSSES,
    NARROW,
    OUTPUTS,
    PARTS,
    RELU,
    STRIP,
    STRIPS,
    W_SIZE,
    WT,
    WT_SIZE,
    A,
    B,
    G,
    W,
    narrow,
    narrow_tile,
    wide,
    wide_tile,
)
from fastnn.kernels.cpu.sums import RUN, sum_in_place
from fastnn.kernels.cpu.vector import (
    add,
    at,
    fma,
    lanes,
    largest,
    largest_lane,
    leading_lanes,
    load,
    magnitude,
    relu,
    splat,
    store,
    sum_of_lanes,
    zero_behind_relu,
)
from fastnn.kernels.cpu.vector import (
    multiply as times,
)

Array = Any


@kernel
def share(thread: int, threads: int, count: int) -> Any:
    """The first of `count` things that a thread does, and the first that it does not."""
    return thread * count // threads, (thread + 1) * count // threads


@kernel
def forward_and_backward(
    memory: Array, table: Array, shape: Array, labels: Array, batch: Array,
    first: int, last: int, lr: Any, back_to_first: bool,
) -> Any:  # fmt: skip
    """Take the samples from the first layer's output to the gradient by the second's.

    With `back_to_first`, to the gradient by the first layer's output, times ``-lr`` (which spares
    its update the multiplication); give the largest magnitude in it, or NaN.
    """
    layers, begin = table.shape[0], np.int64(0)
    forward(memory, table, shape, first, last)
    one = memory.dtype.type(1)
    factor = -lr if layers == 1 else one
    peak = loss(narrow(memory), memory, table, shape, labels, batch, first, last, factor)
    for layer in range(layers - 1, 0 if back_to_first else 1, -1):
        factor = -lr if layer == 1 else one
        strips = table[layer - 1, STRIPS]
        if table[layer - 1, STRIP] == NARROW:
            peak = input_gradient(
                narrow_tile(memory), memory, table, shape, layer, begin, strips, first, last, factor
            )
        else:
            peak = input_gradient(
                wide_tile(memory), memory, table, shape, layer, begin, strips, first, last, factor
            )
    return peak


@kernel
def forward(memory: Array, table: Array, shape: Array, first: int, last: int) -> None:
    """Take the samples from the sums of the first layer's units to the scores."""
    if shape[GROUPS] > 1:
        if table[0, STRIP] == NARROW:
            add_parts(narrow(memory), memory, table, shape, first, last)
        else:
            add_parts(wide(memory), memory, table, shape, first, last)
    for layer in range(1, table.shape[0]):
        if table[layer, STRIP] == NARROW:
            affine(narrow_tile(memory), memory, table, shape, layer, first, last)
        else:
            affine(wide_tile(memory), memory, table, shape, layer, first, last)


@kernel
def add_parts(zero: Any, memory: Array, table: Array, shape: Array, first: int, last: int) -> None:
    """``A = relu(b + the sum of the parts)`` for the first layer."""
    strip, rows = table[0, STRIP], shape[CAPACITY]
    size = table[0, STRIPS] * rows * strip
    for s in range(table[0, STRIPS]):
        bias = load(zero, memory, table[0, B] + s * strip)
        for n in range(first, last):
            place = (s * rows + n) * strip
            total = bias
            for part in range(shape[GROUPS]):
                total = add(total, load(zero, memory, table[0, PARTS] + part * size + place))
            if table[0, RELU]:
                total = relu(total)
            store(memory, table[0, A] + place, total)


@kernel
def affine(
    zero: Any, memory: Array, table: Array, shape: Array, layer: int, first: int, last: int
) -> None:
    """``A = relu(A before @ W + b)``."""
    strip, rows = table[layer, STRIP], shape[CAPACITY]
    before, inputs = table[layer - 1, STRIP], table[layer, INPUTS]
    for s in range(table[layer, STRIPS]):
        for piece in range(0, strip, lanes(zero)):
            bias = load(zero, memory, table[layer, B] + s * strip + piece)
            weights = table[layer, W] + s * table[layer, W_SIZE] + piece
            for n in range(first, last, ROWS):
                tile = (bias, bias, bias, bias)
                for q in range(table[layer - 1, STRIPS]):
                    x = table[layer - 1, A] + (q * rows + n) * before
                    depth = min(before, inputs - q * before)
                    line = weights + q * before * strip
                    tile = multiply(tile, memory, x, before, 1, memory, line, strip, depth)
                if table[layer, RELU]:
                    tile = relu_tile(tile)
                place = table[layer, A] + (s * rows + n) * strip + piece
                store_tile(tile, memory, place, strip)


@kernel
def input_gradient(
    zero: Any, memory: Array, table: Array, shape: Array, layer: int,
    first_strip: int, last_strip: int, first: int, last: int, factor: Any,
) -> Any:  # fmt: skip
    """``G before = factor * (G @ W.T)``, taken back through the ReLU before.

    For some strips of the layer before and some samples. Gives the largest magnitude, or NaN.
    """
    strip, rows = table[layer, STRIP], shape[CAPACITY]
    before, outputs = table[layer - 1, STRIP], table[layer, OUTPUTS]
    peak = zero
    for q in range(first_strip, last_strip):
        for piece in range(0, before, lanes(zero)):
            weights = table[layer, WT] + q * table[layer, WT_SIZE] + piece
            for n in range(first, last, ROWS):
                tile = (zero, zero, zero, zero)
                for s in range(table[layer, STRIPS]):
                    dout = table[layer, G] + (s * rows + n) * strip
                    depth = min(strip, outputs - s * strip)
                    line = weights + s * strip * before
                    tile = multiply(tile, memory, dout, strip, 1, memory, line, before, depth)
                f = splat(zero, factor)
                tile = (times(f, tile[0]), times(f, tile[1]), times(f, tile[2]), times(f, tile[3]))
                place = (q * rows + n) * before + piece
                if table[layer - 1, RELU]:
                    x = table[layer - 1, A] + place
                    tile = (
                        zero_behind_relu(tile[0], load(zero, memory, x)),
                        zero_behind_relu(tile[1], load(zero, memory, x + before)),
                        zero_behind_relu(tile[2], load(zero, memory, x + 2 * before)),
                        zero_behind_relu(tile[3], load(zero, memory, x + 3 * before)),
                    )
                for row in tile:
                    peak = largest(peak, magnitude(row))
                store_tile(tile, memory, table[layer - 1, G] + place, before)
    return largest_lane(peak)


@kernel
def loss(
    zero: Any, memory: Array, table: Array, shape: Array, labels: Array, batch: Array,
    first: int, last: int, factor: Any,
) -> Any:  # fmt: skip
    """Losses of the samples, and ``G = factor * (softmax(A) - one_hot(t)) / N`` of the last layer.

    See `fastnn.kernels.cpu.loss` for the formula. A label out of range, which the public edge
    refuses, gives NaN. Gives the largest magnitude in G, or NaN.
    """
    layer = table.shape[0] - 1
    strip, classes = table[layer, STRIP], table[layer, OUTPUTS]
    stride, columns = shape[CAPACITY] * strip, table[layer, STRIPS] * strip
    skip = stride - strip  # what lies between the end of a strip and the next one of the sample
    kind = memory.dtype.type
    lowest, bound = kind(-np.inf), kind(np.finfo(memory.dtype).max / 2)
    share_of_loss = factor / kind(batch.size)
    peak = zero
    for n in range(first, last):
        scores, dout = table[layer, A] + n * strip, table[layer, G] + n * strip
        best, place = splat(zero, lowest), scores
        for c in range(0, classes, lanes(zero)):
            best = largest(best, leading_lanes(load(zero, memory, place), classes - c, lowest))
            place = _next_piece(place, c, lanes(zero), strip, skip)
        top = largest_lane(best)
        total, place, to = zero, scores, dout
        for c in range(0, classes, lanes(zero)):
            row = leading_lanes(load(zero, memory, place), classes - c, lowest)
            row = exp(add(row, splat(zero, -top)))
            store(memory, to, row)
            total = add(total, row)
            place = _next_piece(place, c, lanes(zero), strip, skip)
            to = _next_piece(to, c, lanes(zero), strip, skip)
        sum_of_exp = sum_of_lanes(total)
        scale = splat(zero, share_of_loss / sum_of_exp if n < batch.size else kind(0))
        to = dout
        for c in range(0, columns, lanes(zero)):
            row = zero
            if c < classes and n < batch.size:
                row = times(load(zero, memory, to), scale)
            store(memory, to, row)
            peak = largest(peak, magnitude(row))
            to = _next_piece(to, c, lanes(zero), strip, skip)
        if n < batch.size:
            t = labels[min(max(batch[n], 0), labels.size - 1)]
            value = kind(np.nan)
            if 0 <= t < classes:
                place = t + t // strip * skip if columns > strip else t
                value = np.log(sum_of_exp) - (memory[scores + place] - top)
                memory[dout + place] -= share_of_loss
            memory[shape[LOSSES] + n] = bound if value > bound else value
    return largest_lane(peak)


@inline_kernel
def _next_piece(place: int, column: int, width: int, strip: int, skip: int) -> int:
    """The place behind a piece of `width` numbers that begins at a column."""
    return place + width + (skip if ((column + width) & (strip - 1)) == 0 else 0)


@kernel
def update_weights(
    zero: Any, memory: Array, table: Array, shape: Array, layer: int,
    first: int, last: int, samples: int, lr: Any,
) -> None:  # fmt: skip
    """``W -= lr * A before.T @ G``, in both of its forms, for some units of a layer.

    A unit is a strip of inputs by a tile of outputs.
    """
    strip, rows, before = table[layer, STRIP], shape[CAPACITY], table[layer - 1, STRIP]
    tiles = table[layer, STRIPS] * strip // ROWS
    for unit in range(first, last):
        q, output = unit // tiles, unit % tiles * ROWS
        if output >= table[layer, OUTPUTS]:
            continue
        s, column = output // strip, output % strip
        dout = table[layer, G] + s * rows * strip + column
        inputs = min(before, table[layer, INPUTS] - q * before)
        weights = table[layer, W] + s * table[layer, W_SIZE] + q * before * strip + column
        for piece in range(0, before, lanes(zero)):
            x = table[layer - 1, A] + q * rows * before + piece
            tile = multiply_samples(zero, memory, dout, 1, strip, memory, x, before, samples)
            place = table[layer, WT] + q * table[layer, WT_SIZE] + output * before + piece
            add_tile(tile, memory, place, before, -lr)
            for lane in range(min(lanes(zero), inputs - piece)):
                for r in range(min(ROWS, table[layer, OUTPUTS] - output)):
                    value = at(memory, place + r * before + lane)
                    memory[weights + (piece + lane) * strip + r] = value


@kernel
def update_bias(
    zero: Any, memory: Array, table: Array, shape: Array, layer: int,
    first: int, last: int, samples: int, factor: Any,
) -> None:  # fmt: skip
    """``b += factor * sum of G`` for some strips of a layer."""
    strip, rows = table[layer, STRIP], shape[CAPACITY]
    for s in range(first, last):
        for piece in range(0, strip, lanes(zero)):
            total, dout = zero, table[layer, G] + s * rows * strip + piece
            for begin in range(0, samples, RUN):
                section = zero
                for n in range(begin, min(begin + RUN, samples)):
                    section = add(section, load(zero, memory, dout + n * strip))
                total = add(total, section)
            place = table[layer, B] + s * strip + piece
            b = load(zero, memory, place)
            store(memory, place, fma(splat(zero, factor), total, b))


@kernel
def update_hidden(
    memory: Array, table: Array, shape: Array, thread: int, threads: int, start: int,
    samples: int, lr: Any,
) -> None:  # fmt: skip
    """Update a thread's share of every layer from `start` on."""
    for layer in range(start, table.shape[0]):
        tiles = table[layer, STRIPS] * table[layer, STRIP] // ROWS
        first, last = share(thread, threads, table[layer - 1, STRIPS] * tiles)
        if table[layer - 1, STRIP] == NARROW:
            update_weights(
                narrow_tile(memory), memory, table, shape, layer, first, last, samples, lr
            )
        else:
            update_weights(wide_tile(memory), memory, table, shape, layer, first, last, samples, lr)
    for layer in range(1, table.shape[0]):
        first, last = share(thread, threads, table[layer, STRIPS])
        update_bias(narrow_tile(memory), memory, table, shape, layer, first, last, samples, -lr)


@kernel
def mean_loss(memory: Array, shape: Array, samples: int) -> Any:
    """The mean of the losses of a batch, of which nothing is left."""
    for n in range(samples):
        memory[shape[LOSSES] + n] /= memory.dtype.type(samples)
    return sum_in_place(memory, shape[LOSSES], samples)
