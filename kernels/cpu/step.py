"""Whole training steps, as many as there are rows of a batch, in one call that holds no lock.

Every thread runs `step_sparse.train` or `step_dense.train` and does its part; it owns units of the
first layer (see `fastnn.kernels.cpu.net`) and shares of everything else:

1. forward through its units, for all samples
2. meet the others
3. its share of the samples, from there through the loss and back (`fastnn.kernels.cpu.backward`)
4. meet the others
5. update its units, and its share of the other layers

The first part of the next step reads only what the thread has written itself, so two meetings are
enough. Nothing of the network is written before the first meeting. In a wide first layer the
gradient by its output belongs to 5: a strip of it is made by the thread that needs it. Each number
is computed by one thread in the same order whatever their number, so the bits are the same.

Here is what both have in common.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.backward import forward_and_backward, input_gradient
from fastnn.kernels.cpu.compiler import kernel
from fastnn.kernels.cpu.dense import ROWS
from fastnn.kernels.cpu.net import Sums, features_of, share
from fastnn.kernels.cpu.strips import NARROW, narrow_tile, wide_tile
from fastnn.kernels.cpu.sums import SECTION, hand_over
from fastnn.kernels.cpu.update_in_strips import update_bias, update_hidden, update_weights

Array = Any

PEAK_STRIDE = 32
"""Numbers between the threads' peaks, so that each is on a cache line of its own."""


@kernel
def back_at_once(net: Any) -> Any:
    """Whether part 3 goes back to the first layer's output; in a wide one part 5 does."""
    return net.shape.groups > 1 or net.layers.size == 1


@kernel
def middle(net: Any, team: Any, run: Any, batch: Array, lr: Any, early: bool) -> Any:
    """Part 3 of a step; give the thread's peak, the largest magnitude in its gradient."""
    first, last = share(team.thread, team.threads, (batch.size + ROWS - 1) // ROWS)
    samples = (first * ROWS, last * ROWS)
    peak = forward_and_backward(net, run.labels, batch, samples, lr, early)
    net.memory[net.shape.peaks + team.thread * PEAK_STRIDE] = peak
    return peak


@kernel
def largest_peak(net: Any, threads: int) -> Any:
    """The largest of all threads' peaks, or NaN."""
    most = net.memory[net.shape.peaks]
    for thread in range(1, threads):
        peak = net.memory[net.shape.peaks + thread * PEAK_STRIDE]
        most = peak if peak > most or np.isnan(peak) else most
    return most


@kernel
def update_rest(net: Any, team: Any, samples: int, lr: Any) -> None:
    """Update everything but the first layer's weights, its gradient being there."""
    update_hidden(net, team, np.int64(1), samples, lr)
    strips = share(team.thread, team.threads, net.layers[0].strip_count)
    one, first = net.memory.dtype.type(1), np.int64(0)
    update_bias(narrow_tile(net.memory), net, first, strips, samples, one)


@kernel
def gradient_of_strip(net: Any, s: int, samples: int, lr: Any) -> Any:
    """The gradient by a strip of the first layer's output; update what depends on it alone.

    That is its bias and the second layer's weights behind it.
    """
    end = (samples + ROWS - 1) // ROWS * ROWS
    tiles = net.layers[1].strip_count * net.layers[1].strip_width // ROWS
    this, next_ = np.int64(0), np.int64(1)  # as variables: a kernel is compiled for each literal
    units, one = (s * tiles, (s + 1) * tiles), net.memory.dtype.type(1)
    strips, all_samples = (s, s + 1), (this, end)
    if net.layers[0].strip_width == NARROW:
        zero = narrow_tile(net.memory)
        peak = input_gradient(zero, net, next_, strips, all_samples, -lr)
        update_weights(zero, net, next_, units, samples, lr)
    else:
        other = wide_tile(net.memory)
        peak = input_gradient(other, net, next_, strips, all_samples, -lr)
        update_weights(other, net, next_, units, samples, lr)
    update_bias(narrow_tile(net.memory), net, this, strips, samples, one)
    return peak


@kernel
def sums_of_update(net: Any, team: Any, strip: int, samples: int) -> Any:
    """Where the sums of a strip of W go: to W if there is but one section of samples.

    Else to the second half of the thread's room for sums.
    """
    size = net.layers[0].W_size
    partial = net.shape.sums + team.thread * 2 * size
    weights = net.layers[0].W + strip * size
    return Sums(partial, weights if samples <= SECTION else partial + size)


@kernel
def hand_over_unit(net: Any, unit: Any, sums: Any, width: int) -> None:
    """Add the sums of all sections to a unit's weights, if they are not there, and clear them."""
    weights = net.layers[0].W + unit.strip * net.layers[0].W_size
    if sums.target == weights:
        return
    first, last = features_of(net, unit)
    place, count = first * width, (last - first) * width
    hand_over(net.memory, sums.target + place, weights + place, count)
