"""A data set without its zeros, and where the samples of a batch are in it.

It is compressed once: for each sample the positions and the values of what is not zero, block by
block of the input features.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inner_kernel, kernel
from fastnn.kernels.cpu.net import CACHE_LINE
from fastnn.kernels.cpu.vector import zeros
from fastnn.kernels.cpu.vector_lanes import count_bits, lowest_bit, nonzero_lanes
from fastnn.kernels.cpu.vector_memory import at, load, prefetch

Array = Any

Compressed = namedtuple(
    "Compressed", ["starts", "offsets", "positions", "values", "scale", "largest"]
)
"""A data set without its zeros.

starts : (K,) int64, where a sample begins in `positions` and `values`
offsets : (K * (blocks + 1),) uint16 or uint32, where its blocks of features begin, from there
positions : features that are not zero, uint16 or uint32
values : what stands there, in the data set's own dtype
scale : what they are multiplied by as they are used, in the network's dtype; None if by nothing
largest : the largest magnitude of them, scaled
"""

Located = namedtuple("Located", ["bounds", "samples"])
"""Where the samples of a batch are in a `Compressed`.

bounds : (batch * (groups * blocks + 1),) int64, where each sample's blocks begin and end
samples : how many samples the batch has
"""

TOGETHER = 64
"""Inputs that are compared with zero at once."""


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
def compress(x: Array, block_starts: Array, base: int, into: Any) -> int:
    """Fill a part of a `Compressed`, `into`, from some samples (K, D), given flat.

    `block_starts` are the features where the blocks begin, and D; `base` is where the part's
    `positions` and `values` begin in the whole. Sixty-four inputs are compared with zero at once,
    and only those that are not are read one by one. Gives how many there were; -1 if there is no
    room for one more, as when another thread has changed x since it was counted.
    """
    blocks, features = block_starts.size - 1, block_starts[-1]
    starts, offsets, positions, values = into.starts, into.offsets, into.positions, into.values
    end, zero = 0, zeros(x, TOGETHER)
    for k in range(starts.size):
        row = k * features
        starts[k] = base + end
        begin = end
        for block in range(blocks):
            offsets[k * (blocks + 1) + block] = end - begin
            d = block_starts[block]
            while d + TOGETHER <= block_starts[block + 1]:
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
            while d < block_starts[block + 1]:
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
def find_blocks(starts: Array, positions: Array, block_starts: Array, offsets: Array) -> None:
    """Fill the `offsets` of a `Compressed` from its other parts, positions in order.

    starts (K + 1,) also says where the last sample ends.
    """
    blocks = block_starts.size - 1
    for k in range(starts.size - 1):
        j = starts[k]
        for block in range(blocks):
            offsets[k * (blocks + 1) + block] = j - starts[k]
            while j < starts[k + 1] and positions[j] < block_starts[block + 1]:
                j += 1
        offsets[k * (blocks + 1) + blocks] = starts[k + 1] - starts[k]


@inner_kernel
def locate(data: Any, batch: Array, blocks: int, bounds: Array) -> None:
    """Write where the blocks of each sample of a batch begin and end to `bounds`."""
    for n in range(batch.size):
        k = min(max(batch[n], 0), data.starts.size - 1)
        for block in range(blocks + 1):
            bounds[n * (blocks + 1) + block] = (
                data.starts[k] + data.offsets[k * (blocks + 1) + block]
            )


@inner_kernel
def fetch(data: Any, first: int, last: int) -> None:
    """Ask for the compressed entries from `first` to `last`."""
    for place in range(first, last, CACHE_LINE // data.positions.itemsize):
        prefetch(data.positions, place)
    for place in range(first, last, CACHE_LINE // data.values.itemsize):
        prefetch(data.values, place)
