"""The first layer where most inputs are zero: only the others are multiplied.

The data set is compressed once: for each sample the positions and the values of what is not zero. A
sample takes the rows of W at these positions, times the values, into the registers that hold its
strip of 64 outputs; its update adds to the same rows of a block of sums, which reaches W when the
batch is through: added to W itself, each sample's share would be rounded as coarsely as W is (see
`fastnn.kernels.cpu.sums`). Rows of W are as wide as the registers and aligned with cache lines, and
the input features are taken in blocks whose rows fit in the first-level cache, all samples of the
batch for one block before the next. While a batch goes forward the compressed rows of the next one
are fetched, whose places the processor cannot guess.

On one core of a Xeon "Sapphire Rapids", 784-50 at batch 100 on MNIST (19 % of it not zero), in
microseconds: forward 25 without blocks, 19 with 2 to 8 of them; update 48 and 26. Padding each
sample's part of a block to four or eight, to save a branch that is predicted wrongly, lost 10 %.

Zero times infinity is NaN, so what is skipped matters once the network has diverged. Then every
feature of a unit is multiplied, zeros included. That is known without looking at all of W in each
step: the largest weight there can be is bounded by what was added to it since it was looked at.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import kernel
from fastnn.kernels.cpu.strips import (
    BLOCKS,
    CAPACITY,
    GROUPS,
    PARTS,
    RELU,
    STRIPS,
    W_SIZE,
    A,
    B,
    G,
    W,
)
from fastnn.kernels.cpu.sums import hand_over
from fastnn.kernels.cpu.vector import (
    at,
    count_bits,
    fma,
    lanes,
    largest,
    largest_lane,
    load,
    lowest_bit,
    magnitude,
    nonzero_lanes,
    prefetch,
    relu,
    scaled,
    splat,
    store,
    zeros,
)

Array = Any

Compressed = namedtuple(
    "Compressed", ["starts", "offsets", "positions", "values", "scale", "largest"]
)
"""A data set without its zeros.

starts : (K,) int64, where a sample begins in `positions` and `values`
offsets : (K * (blocks + 1),) uint16 or uint32, where its blocks of features begin, from there
positions : features that are not zero, times nothing, uint16 or uint32
values : what stands there, in the data set's own dtype
scale : what they are multiplied by as they are used, in the network's dtype; None if by nothing
largest : the largest magnitude of them, scaled
"""

FEW = 4
"""Samples that are added to a parameter one by one: it is rounded no more often than that."""

TOGETHER = 64
"""Inputs that are compared with zero at once."""

LINE = 64
"""Bytes of a cache line."""


@kernel
def count_nonzero(x: Array) -> int:
    """How many entries of x (K,) are not zero."""
    count, zero = 0, zeros(x, TOGETHER)
    whole = x.size // TOGETHER * TOGETHER
    for place in range(0, whole, TOGETHER):
        count += count_bits(nonzero_lanes(load(zero, x, place)))
    for place in range(whole, x.size):
        count += x[place] != 0
    return count


@kernel
def compress(
    x: Array, edges: Array, base: int,
    starts: Array, offsets: Array, positions: Array, values: Array,
) -> int:  # fmt: skip
    """Fill a part of a `Compressed` from some samples (K, D), given flat.

    `edges` are the features where the blocks begin, and D; `base` is where the part's `positions`
    and `values` begin in the whole. Sixty-four inputs are compared with zero at once, and only
    those that are not are looked at. Gives how many there were; -1 if there is no room for one
    more, as when another thread has changed x since it was counted.
    """
    blocks, features = edges.size - 1, edges[-1]
    end, zero = 0, zeros(x, TOGETHER)
    for k in range(starts.size):
        row = k * features
        starts[k] = base + end
        begin = end
        for block in range(blocks):
            offsets[k * (blocks + 1) + block] = end - begin
            d = edges[block]
            while d + TOGETHER <= edges[block + 1]:
                bits = nonzero_lanes(load(zero, x, row + d))
                while bits != 0:
                    if end == positions.size:
                        return -1
                    here = d + lowest_bit(bits)
                    positions[end] = here
                    values[end] = at(x, row + here)
                    end += 1
                    bits &= bits - np.uint64(1)
                d += TOGETHER
            while d < edges[block + 1]:
                if at(x, row + d) != 0:
                    if end == positions.size:
                        return -1
                    positions[end] = d
                    values[end] = at(x, row + d)
                    end += 1
                d += 1
        offsets[k * (blocks + 1) + blocks] = end - begin
    return end


@kernel
def locate(data: Any, batch: Array, blocks: int, bounds: Array) -> None:
    """Write where the blocks of each sample of a batch begin and end to `bounds`."""
    for n in range(batch.size):
        k = min(max(batch[n], 0), data.starts.size - 1)
        for block in range(blocks + 1):
            bounds[n * (blocks + 1) + block] = (
                data.starts[k] + data.offsets[k * (blocks + 1) + block]
            )


@kernel
def fetch(data: Any, first: int, last: int) -> None:
    """Ask for the compressed entries from `first` to `last`."""
    for place in range(first, last, LINE // data.positions.itemsize):
        prefetch(data.positions, place)
    for place in range(first, last, LINE // data.values.itemsize):
        prefetch(data.values, place)


@kernel
def forward(
    zero: Any, memory: Array, table: Array, shape: Array, data: Any, bounds: Array, edges: Array,
    samples: int, unit: int, norms: Array, following: Array, expanded: int,
) -> None:  # fmt: skip
    """`forward_unit`, its zeros multiplied too if one of its weights is not finite.

    ``norms[unit]`` is a bound on them, and looked up in W where it is too large to tell.
    """
    group, s = unit // table[0, STRIPS], unit % table[0, STRIPS]
    if not norms[unit] < np.finfo(memory.dtype).max / 4:
        norms[unit] = largest_weight(zero, memory, table, shape, edges, group, s)
    if norms[unit] == np.inf:
        forward_unit_with_zeros(
            zero, memory, table, shape, data, bounds, edges, samples, group, s, expanded
        )
    else:
        forward_unit(zero, memory, table, shape, data, bounds, samples, group, s, following)


@kernel
def forward_unit(
    zero: Any, memory: Array, table: Array, shape: Array, data: Any, bounds: Array,
    samples: int, group: int, s: int, following: Array,
) -> None:  # fmt: skip
    """A unit's sum over its features: a part, or with one group ``A = relu(x @ W + b)``.

    Meanwhile the samples of the next batch, whose `bounds` are `following`, are fetched.
    """
    blocks, groups = shape[BLOCKS], shape[GROUPS]
    stride = blocks * groups + 1
    first, last = group * blocks, (group + 1) * blocks
    weights = table[0, W] + s * table[0, W_SIZE]
    place, initial = _output(zero, memory, table, shape, group, s)
    finish = groups == 1 and table[0, RELU]
    for block in range(first, last):
        for n in range(samples):
            if block == first and (n + 1) * stride <= following.size:
                fetch(data, at(following, n * stride + first), at(following, n * stride + last))
            total = initial if block == first else load(zero, memory, place + n * lanes(zero))
            for j in range(at(bounds, n * stride + block), at(bounds, n * stride + block + 1)):
                row = weights + np.intp(at(data.positions, j)) * lanes(zero)
                value = splat(zero, scaled(data.scale, at(data.values, j)))
                total = fma(value, load(zero, memory, row), total)
            if finish and block == last - 1:
                total = relu(total)
            store(memory, place + n * lanes(zero), total)


@kernel
def update_unit(
    zero: Any, memory: Array, table: Array, shape: Array, data: Any, bounds: Array, edges: Array,
    begin: int, end: int, group: int, s: int, sums: int, target: int,
) -> None:  # fmt: skip
    """``target += x.T @ G`` for a unit's features, G being times ``-lr`` already.

    For the samples from `begin` to `end`. The sums of a block of features are made in `sums`, which
    is zero, and is left so; those of few samples in `target` itself. Sums are handed over for all
    features of the block, or, where there are fewer entries than features, entry by entry: a
    feature that comes again adds zero.
    """
    blocks = shape[BLOCKS]
    stride = blocks * shape[GROUPS] + 1
    dout = table[0, G] + s * shape[CAPACITY] * lanes(zero)
    for block in range(group * blocks, (group + 1) * blocks):
        first, features = edges[block] * lanes(zero), edges[block + 1] - edges[block]
        few = end - begin <= FEW
        place = target if few else sums - first
        entries = 0
        for n in range(begin, end):
            g = load(zero, memory, dout + n * lanes(zero))
            start, stop = at(bounds, n * stride + block), at(bounds, n * stride + block + 1)
            entries += stop - start
            for j in range(start, stop):
                row = place + np.intp(at(data.positions, j)) * lanes(zero)
                value = splat(zero, scaled(data.scale, at(data.values, j)))
                store(memory, row, fma(value, g, load(zero, memory, row)))
        if few:
            continue
        if entries >= features:
            hand_over(memory, sums, target + first, features * lanes(zero))
            continue
        for n in range(begin, end):
            for j in range(at(bounds, n * stride + block), at(bounds, n * stride + block + 1)):
                row = np.intp(at(data.positions, j)) * lanes(zero)
                hand_over(memory, place + row, target + row, lanes(zero))


@kernel
def forward_unit_with_zeros(
    zero: Any, memory: Array, table: Array, shape: Array, data: Any, bounds: Array, edges: Array,
    samples: int, group: int, s: int, expanded: int,
) -> None:  # fmt: skip
    """`forward_unit`, its zeros multiplied too; `expanded` is room for a sample."""
    blocks, groups = shape[BLOCKS], shape[GROUPS]
    first, last = edges[group * blocks], edges[(group + 1) * blocks]
    weights = table[0, W] + s * table[0, W_SIZE]
    place, initial = _output(zero, memory, table, shape, group, s)
    for n in range(samples):
        _expand(memory, shape, data, bounds, n, group, first, last, expanded)
        total = initial
        for d in range(first, last):
            value = splat(zero, at(memory, expanded + d))
            total = fma(value, load(zero, memory, weights + d * lanes(zero)), total)
        if groups == 1 and table[0, RELU]:
            total = relu(total)
        store(memory, place + n * lanes(zero), total)


@kernel
def update_unit_with_zeros(
    zero: Any, memory: Array, table: Array, shape: Array, data: Any, bounds: Array, edges: Array,
    begin: int, end: int, group: int, s: int, sums: int, target: int, expanded: int,
) -> None:  # fmt: skip
    """`update_unit`, its zeros multiplied too; `expanded` is room for a sample.

    `sums` need not be zero here, as `by_feature.update_strip` does not leave it so.
    """
    blocks = shape[BLOCKS]
    first, last = edges[group * blocks], edges[(group + 1) * blocks]
    dout = table[0, G] + s * shape[CAPACITY] * lanes(zero)
    for place in range(0, (last - first) * lanes(zero), lanes(zero)):
        store(memory, sums + place, zero)
    for n in range(begin, end):
        _expand(memory, shape, data, bounds, n, group, first, last, expanded)
        g = load(zero, memory, dout + n * lanes(zero))
        for d in range(first, last):
            row = sums + (d - first) * lanes(zero)
            value = splat(zero, at(memory, expanded + d))
            store(memory, row, fma(value, g, load(zero, memory, row)))
    place = target + first * lanes(zero)
    hand_over(memory, sums, place, (last - first) * lanes(zero))


@kernel
def _expand(
    memory: Array, shape: Array, data: Any, bounds: Array, n: int, group: int,
    first: int, last: int, expanded: int,
) -> None:  # fmt: skip
    blocks = shape[BLOCKS]
    start = n * (blocks * shape[GROUPS] + 1) + group * blocks
    for d in range(first, last):
        memory[expanded + d] = 0
    for j in range(bounds[start], bounds[start + blocks]):
        memory[expanded + data.positions[j]] = scaled(data.scale, at(data.values, j))


@kernel
def _output(zero: Any, memory: Array, table: Array, shape: Array, group: int, s: int) -> Any:
    """Where a unit's sums go, and where they start from."""
    size = shape[CAPACITY] * lanes(zero)
    if shape[GROUPS] == 1:
        return table[0, A] + s * size, load(zero, memory, table[0, B] + s * lanes(zero))
    return table[0, PARTS] + (group * table[0, STRIPS] + s) * size, zero


@kernel
def largest_weight(
    zero: Any, memory: Array, table: Array, shape: Array, edges: Array, group: int, s: int
) -> float:
    """The largest magnitude among a unit's weights; infinity if one is not finite."""
    blocks = shape[BLOCKS]
    most = zero
    weights = table[0, W] + s * table[0, W_SIZE]
    for d in range(edges[group * blocks], edges[(group + 1) * blocks]):
        most = largest(most, magnitude(load(zero, memory, weights + d * lanes(zero))))
    found = float(largest_lane(most))
    return found if found < np.inf else np.inf
