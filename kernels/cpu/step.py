"""Whole training steps, as many as there are rows of a batch, in one call that holds no lock.

Every thread runs `train_compressed` or `train_dense` and does its part; it owns units of the first
layer (see `fastnn.kernels.cpu.strips`) and shares of everything else:

1. forward through its units, for all samples
2. meet the others
3. its share of the samples, from there through the loss and back (`fastnn.kernels.cpu.hidden`)
4. meet the others
5. update its units, and its share of the other layers

The first part of the next step reads only what the thread has written itself, so two meetings are
enough. Nothing of the network is written before the first meeting. In a wide first layer the
gradient by its output belongs to 5: a strip of it is made by the thread that needs it. Each number
is computed by one thread in the same order whatever their number, so the bits are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.barrier import meet, pass_request_on, stopping
from fastnn.kernels.cpu.by_feature import sort_blocks, update_strip
from fastnn.kernels.cpu.compiler import kernel
from fastnn.kernels.cpu.dense import ROWS
from fastnn.kernels.cpu.hidden import (
    forward_and_backward,
    input_gradient,
    mean_loss,
    share,
    update_bias,
    update_hidden,
    update_weights,
)
from fastnn.kernels.cpu.sparse import (
    forward,
    locate,
    update_unit,
    update_unit_with_zeros,
)
from fastnn.kernels.cpu.strips import (
    BLOCKS,
    CAPACITY,
    EXPANDED,
    FEATURES,
    GROUPS,
    INPUTS,
    NARROW,
    PARTS,
    PEAKS,
    RELU,
    STRIP,
    STRIPS,
    SUMS,
    W_SIZE,
    X_ROW,
    X_SIZE,
    A,
    B,
    G,
    W,
    X,
    narrow,
    narrow_tile,
    strip_of_zeros,
    tile_of_zeros,
    wide_tile,
)
from fastnn.kernels.cpu.sums import SECTION, hand_over
from fastnn.kernels.cpu.tall import (
    TALL,
    add_tile,
    load_tile,
    multiply,
    relu_tile,
    rows_of,
    store_tile,
    sum_of_tiles,
)
from fastnn.kernels.cpu.vector import at, lanes, load, load_cast, prefetch, splat, store
from fastnn.kernels.cpu.vector import multiply as times

Array = Any
DEPTH = 96
"""Samples whose inputs and gradients by a strip are in the first-level cache together."""

LINE = 64
PEAK_STRIDE = 32
"""Numbers between the threads' peaks, so that each is on a cache line of its own."""


@kernel
def train_compressed(
    width: Any, thread: int, threads: int, barrier: Array, give_way: int,
    memory: Array, table: Array, shape: Array, edges: Array, norms: Array,
    data: Any, room: Any, labels: Array, rows: Array, places: Array, lr: float, losses: Array,
) -> Any:  # fmt: skip
    """Train on a data set without its zeros; give the steps that were taken.

    width : Wide or Narrow
        Of the first layer's strips.
    thread, threads
        Which of how many threads this is.
    barrier, give_way
        Where they meet; see `fastnn.kernels.cpu.barrier.meet`.
    memory, table, shape
        Parameters and buffers; see `fastnn.kernels.cpu.strips`.
    edges : (groups * blocks + 1,)
        Where the blocks of features begin.
    norms : (units,)
        For each unit a bound on the magnitude of its weights.
    data : Compressed
    room : Sorted
        Of no size where the update goes sample by sample.
    labels : (K,)
    rows : (steps, batch)
    places : (2, batch * (groups * blocks + 1))
        Room of this thread's own for where the samples of this batch and of the next one are.
    losses : (steps,)
    """
    rate = memory.dtype.type(lr)
    groups, strips = shape[GROUPS], table[0, STRIPS]
    first, last = share(thread, threads, groups * strips)
    early = groups > 1 or table.shape[0] == 1
    samples = rows.shape[1]
    expanded = shape[EXPANDED] + thread * shape[FEATURES]
    sums = shape[SUMS] + thread * 2 * table[0, W_SIZE]
    zero = strip_of_zeros(memory, width)
    limit = np.finfo(memory.dtype).max / 4
    by_feature = room.starts.size > 0
    for step in range(rows.shape[0]):
        batch = rows[step]
        here, next_ = step % 2, (step + 1) % 2
        bounds = places[here]
        if step == 0:
            locate(data, batch, groups * shape[BLOCKS], bounds)
        following = places[next_, :0]
        if step + 1 < rows.shape[0]:
            following = places[next_]
            locate(data, rows[step + 1], groups * shape[BLOCKS], following)
        for unit in range(first, last):
            fetched = following if unit % strips == 0 or unit == first else following[:0]
            forward(
                zero, memory, table, shape, data, bounds, edges, samples, unit, norms, fetched,
                expanded,
            )  # fmt: skip
        if by_feature:
            begin, end = share(thread, threads, shape[BLOCKS])
            if begin < end:
                sort_blocks(table, shape, data, bounds, edges, samples, begin, end, room, here)
        if not meet(barrier, threads, give_way):
            return step
        if thread == 0:
            pass_request_on(barrier)
        peak = _middle(thread, threads, memory, table, shape, labels, batch, rate, early)
        if not meet(barrier, threads, give_way):
            return step
        if thread == 0:
            losses[step] = mean_loss(memory, shape, samples)
        if early:
            peak = _largest_peak(memory, shape, threads)
            _update_rest(thread, threads, memory, table, shape, samples, rate)
        else:
            update_hidden(memory, table, shape, thread, threads, np.int64(2), samples, rate)
        for unit in range(first, last):
            group, s = unit // strips, unit % strips
            if not early:
                peak = _gradient_of_strip(memory, table, shape, s, samples, rate)
            reach = samples * data.largest * np.float64(peak)
            finite = reach < limit
            norms[unit] = norms[unit] + reach if finite else np.inf
            weights, target = _places_of_update(table, s, samples, sums)
            for begin in range(0, samples, SECTION):
                end = min(begin + SECTION, samples)
                if finite and by_feature:
                    update_strip(
                        zero, memory, table, shape, room, here, begin, end, s, sums, target
                    )
                elif finite:
                    update_unit(
                        zero, memory, table, shape, data, bounds, edges, begin, end, group, s,
                        sums, target,
                    )  # fmt: skip
                else:
                    update_unit_with_zeros(
                        zero, memory, table, shape, data, bounds, edges, begin, end, group, s,
                        sums, target, expanded,
                    )  # fmt: skip
            if target != weights:
                _hand_over_unit(memory, shape, edges, group, lanes(zero), target, weights)
        if stopping(barrier):
            return step + 1
    return rows.shape[0]


@kernel
def train_dense(
    width: Any, thread: int, threads: int, barrier: Array, give_way: int,
    memory: Array, table: Array, shape: Array, edges: Array, data: Array, scale: Any,
    labels: Array, rows: Array, lr: float, losses: Array,
) -> Any:  # fmt: skip
    """Train on a data set (K, D) as it is, given flat; see `train_compressed`.

    It is multiplied by `scale`, of the dtype of `memory`, as it is gathered.

    The batch is gathered into one of two buffers in turn, so that no thread overwrites what
    another still updates with.
    """
    rate = memory.dtype.type(lr)
    zero = tile_of_zeros(memory, width)
    sums = shape[SUMS] + thread * 2 * table[0, W_SIZE]
    groups, strips, blocks = shape[GROUPS], table[0, STRIPS], shape[BLOCKS]
    first, last = share(thread, threads, groups * strips)
    early = groups > 1 or table.shape[0] == 1
    samples = rows.shape[1]
    for step in range(rows.shape[0]):
        batch, following = rows[step], rows[min(step + 1, rows.shape[0] - 1)]
        x = shape[X] + step % 2 * shape[X_SIZE]
        if groups > 1:
            for group in range(first // strips, (last - 1) // strips + 1 if first < last else 0):
                begin, end = edges[group * blocks], edges[(group + 1) * blocks]
                _gather(
                    narrow(memory), memory, table, shape, data, scale, batch, x, 0, samples,
                    begin, end,
                )  # fmt: skip
            own = (0, samples)
        else:
            own = share(thread, threads, samples)
            _gather(
                narrow(memory), memory, table, shape, data, scale, batch, x, *own,
                0, table[0, INPUTS],
            )  # fmt: skip
            if not meet(barrier, threads, give_way):
                return step
        for unit in range(first, last):
            group, s = unit // strips, unit % strips
            begin, end = edges[group * blocks], edges[(group + 1) * blocks]
            fetched = own if s == 0 or unit == first else (0, 0)
            _forward_dense(
                zero, memory, table, shape, x, group, s, begin, end, samples,
                data, following, fetched,
            )  # fmt: skip
        if not meet(barrier, threads, give_way):
            return step
        if thread == 0:
            pass_request_on(barrier)
        _middle(thread, threads, memory, table, shape, labels, batch, rate, early)
        if not meet(barrier, threads, give_way):
            return step
        if thread == 0:
            losses[step] = mean_loss(memory, shape, samples)
        if early:
            _update_rest(thread, threads, memory, table, shape, samples, rate)
        else:
            update_hidden(memory, table, shape, thread, threads, np.int64(2), samples, rate)
        for unit in range(first, last):
            group, s = unit // strips, unit % strips
            begin, end = edges[group * blocks], edges[(group + 1) * blocks]
            if not early:
                _gradient_of_strip(memory, table, shape, s, samples, rate)
            weights, target = _places_of_update(table, s, samples, sums)
            for n in range(0, samples, SECTION):
                some = min(SECTION, samples - n)
                _update_dense(zero, memory, table, shape, x, s, begin, end, n, some, sums, target)
            if target != weights:
                strip = table[0, STRIP]
                _hand_over_unit(memory, shape, edges, group, strip, target, weights)
        if stopping(barrier):
            return step + 1
    return rows.shape[0]


@kernel
def _places_of_update(table: Array, s: int, samples: int, sums: int) -> Any:
    """Where a strip of W is, and where sums of sections go: to W if there is but one.

    Else to the second half of the room for sums.
    """
    weights = table[0, W] + s * table[0, W_SIZE]
    return weights, weights if samples <= SECTION else sums + table[0, W_SIZE]


@kernel
def _hand_over_unit(
    memory: Array, shape: Array, edges: Array, group: int, strip: int, source: int, weights: int
) -> None:  # fmt: skip
    """Add the sums of all sections to a unit's weights, and clear them."""
    first = edges[group * shape[BLOCKS]] * strip
    last = edges[(group + 1) * shape[BLOCKS]] * strip
    hand_over(memory, source + first, weights + first, last - first)


@kernel
def _middle(
    thread: int, threads: int, memory: Array, table: Array, shape: Array, labels: Array,
    batch: Array, lr: Any, early: bool,
) -> Any:  # fmt: skip
    """Part 3 of a step."""
    first, last = share(thread, threads, (batch.size + ROWS - 1) // ROWS)
    first, last = first * ROWS, last * ROWS
    peak = forward_and_backward(memory, table, shape, labels, batch, first, last, lr, early)
    memory[shape[PEAKS] + thread * PEAK_STRIDE] = peak
    return peak


@kernel
def _largest_peak(memory: Array, shape: Array, threads: int) -> Any:
    most = memory[shape[PEAKS]]
    for thread in range(1, threads):
        peak = memory[shape[PEAKS] + thread * PEAK_STRIDE]
        most = peak if peak > most or np.isnan(peak) else most
    return most


@kernel
def _update_rest(
    thread: int, threads: int, memory: Array, table: Array, shape: Array, samples: int, lr: Any
) -> None:
    """Update everything but the first layer's weights, its gradient being there."""
    update_hidden(memory, table, shape, thread, threads, np.int64(1), samples, lr)
    first, last = share(thread, threads, table[0, STRIPS])
    one = memory.dtype.type(1)
    layer = np.int64(0)
    update_bias(narrow_tile(memory), memory, table, shape, layer, first, last, samples, one)


@kernel
def _gradient_of_strip(
    memory: Array, table: Array, shape: Array, s: int, samples: int, lr: Any
) -> Any:
    """The gradient by a strip of the first layer's output; update what depends on it alone.

    That is its bias and the second layer's weights behind it.
    """
    end = (samples + ROWS - 1) // ROWS * ROWS
    tiles = table[1, STRIPS] * table[1, STRIP] // ROWS
    this, next_ = np.int64(0), np.int64(1)  # as variables: a kernel is compiled for each literal
    first, last, one = s * tiles, (s + 1) * tiles, memory.dtype.type(1)
    if table[0, STRIP] == NARROW:
        zero = narrow_tile(memory)
        peak = input_gradient(zero, memory, table, shape, next_, s, s + 1, this, end, -lr)
        update_weights(zero, memory, table, shape, next_, first, last, samples, lr)
    else:
        other = wide_tile(memory)
        peak = input_gradient(other, memory, table, shape, next_, s, s + 1, this, end, -lr)
        update_weights(other, memory, table, shape, next_, first, last, samples, lr)
    update_bias(narrow_tile(memory), memory, table, shape, this, s, s + 1, samples, one)
    return peak


@kernel
def _gather(
    zero: Any, memory: Array, table: Array, shape: Array, data: Array, scale: Any, batch: Array,
    x: int, first: int, last: int, begin: int, end: int,
) -> None:  # fmt: skip
    """Copy the features from `begin` to `end` of some samples of the batch, cast and scaled."""
    width, factor = table[0, INPUTS], splat(zero, scale)
    for n in range(first, last):
        row = _row(data, batch, n, width)
        place = x + n * shape[X_ROW]
        d = begin
        while d + lanes(zero) <= end:
            store(memory, place + d, times(factor, load_cast(zero, data, row + d)))
            d += lanes(zero)
        while d < end:
            memory[place + d] = scale * memory.dtype.type(at(data, row + d))
            d += 1


@kernel
def _fetch(
    data: Array, batch: Array, first: int, last: int, begin: int, end: int, width: int
) -> None:
    """Ask for the features from `begin` to `end` of some samples of a batch."""
    for n in range(first, last):
        row = _row(data, batch, n, width)
        for d in range(begin, end, LINE // data.itemsize):
            prefetch(data, row + d)


@kernel
def _row(data: Array, batch: Array, n: int, width: int) -> Any:
    """Where a sample of a batch begins in the data set."""
    return min(max(batch[n], 0), data.size // width - 1) * width


@kernel
def _forward_dense(
    zero: Any, memory: Array, table: Array, shape: Array, x: int, group: int, s: int,
    begin: int, end: int, samples: int, data: Array, following: Array, fetched: Any,
) -> None:  # fmt: skip
    """A unit's sum over its features: a part, or with one group ``A = relu(x @ W + b)``.

    Meanwhile those samples of the following batch are fetched that are in the range `fetched`.
    """
    strip, groups, width = table[0, STRIP], shape[GROUPS], table[0, INPUTS]
    size = shape[CAPACITY] * strip
    for piece in range(0, strip, lanes(zero)):
        weights = table[0, W] + s * table[0, W_SIZE] + begin * strip + piece
        initial = zero
        place = table[0, PARTS] + (group * table[0, STRIPS] + s) * size + piece
        if groups == 1:
            initial = load(zero, memory, table[0, B] + s * strip + piece)
            place = table[0, A] + s * size + piece
        for n in range(0, samples, TALL):
            if piece == 0:
                wanted = min(n + TALL, fetched[1])
                _fetch(data, following, max(n, fetched[0]), wanted, begin, end, width)
            tile = rows_of(initial)
            row = x + n * shape[X_ROW] + begin
            depth = end - begin
            tile = multiply(tile, memory, row, shape[X_ROW], 1, memory, weights, strip, depth)
            if groups == 1 and table[0, RELU]:
                tile = relu_tile(tile)
            store_tile(tile, memory, place + n * strip, strip)


@kernel
def _update_dense(
    zero: Any, memory: Array, table: Array, shape: Array, x: int, s: int,
    begin: int, end: int, start: int, samples: int, sums: int, target: int,
) -> None:  # fmt: skip
    """``target += x.T @ G`` for a unit's features and `samples` from `start` on.

    So many of them at a time that their columns of x stay in the first-level cache; `sums` is room
    for the sums so far.
    """
    strip = table[0, STRIP]
    one = memory.dtype.type(1)
    pieces = (samples + DEPTH - 1) // DEPTH
    for piece in range(0, strip, lanes(zero)):
        for part in range(pieces):
            first, last = part * samples // pieces, (part + 1) * samples // pieces
            n, depth = start + first, last - first
            dout = table[0, G] + (s * shape[CAPACITY] + n) * strip + piece
            for d in range(begin, end, TALL):
                place = d * strip + piece
                column = x + n * shape[X_ROW] + d
                tile = rows_of(zero)
                tile = multiply(tile, memory, column, 1, shape[X_ROW], memory, dout, strip, depth)
                if part > 0:
                    tile = sum_of_tiles(load_tile(zero, memory, sums + place, strip), tile)
                if part == pieces - 1:
                    add_tile(tile, memory, target + place, strip, one)
                else:
                    store_tile(tile, memory, sums + place, strip)
