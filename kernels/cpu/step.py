"""Whole training steps, as many as there are rows of a batch, in one call that holds no lock.

Every thread runs `step_sparse.train` or `step_dense.train` and does its part; it owns units of the
first layer (see `fastnn.kernels.cpu.net`) and shares of everything else:

1. forward through its units, for all samples
2. meet the others
3. its share of the samples, from there through the loss and back (`fastnn.kernels.cpu.backward`)
4. meet the others
5. update its units, and its share of the other layers

A rule that clips gradients has one meeting more, see `fastnn.kernels.cpu.clipping`.

The first part of the next step reads only what the thread has written itself, so two meetings are
enough; where layers are normalised (`fastnn.kernels.cpu.step_normalised`), 3 has more of its own.
Nothing of the network is written before the first meeting. In a wide first layer the
gradient by its output belongs to 5: a strip of it is made by the thread that needs it. Each number
is computed by one thread in the same order whatever their number, so the bits are the same.

Here is what both have in common.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.backward import forward_and_backward, input_gradient_in_tiles
from fastnn.kernels.cpu.compiler import chosen_by_type, inline_kernel, inner_kernel
from fastnn.kernels.cpu.dense import ROWS
from fastnn.kernels.cpu.net import CACHE_LINE, Split, Sums, features_of, share
from fastnn.kernels.cpu.penalty import prepare_penalty
from fastnn.kernels.cpu.rules import apply_whole, in_advance, sees_all
from fastnn.kernels.cpu.step_normalised import (
    forward_and_backward_meeting,
    normalise_strip_backward,
    of_first_sums,
)
from fastnn.kernels.cpu.strips import narrow_tile
from fastnn.kernels.cpu.sums import SECTION
from fastnn.kernels.cpu.update_in_strips import update_bias, update_hidden, update_weights_in_tiles
from fastnn.kernels.cpu.vector import lanes, largest, magnitude
from fastnn.kernels.cpu.vector_lanes import largest_lane
from fastnn.kernels.cpu.vector_memory import load, store
from numba import types

Array = Any

PEAK_STRIDE = 2 * CACHE_LINE // 4
"""Numbers, of 4 bytes or 8, between the threads' peaks: no two share a cache line, wherever the
first one begins."""


@inline_kernel
def back_at_once(net: Any) -> Any:
    """Whether part 3 goes back to the first layer's output; in a wide one part 5 does."""
    return net.shape.groups > 1 or net.layers.size == 1


@inner_kernel
def middle(net: Any, team: Any, run: Any, batch: Array, rule: Any, early: bool) -> Any:
    """Part 3 of a step; False if not all threads have met in it.

    Leaves the thread's peak, the largest magnitude in its gradient.
    """
    first, last = share(team.thread, team.threads, (batch.size + ROWS - 1) // ROWS)
    samples = (first * ROWS, last * ROWS)
    peak, met = through_layers(net.normalisations, net, team, run, batch, samples, rule, early)
    net.memory[net.shape.peaks + team.thread * PEAK_STRIDE] = peak
    prepare_penalty(rule, net, team)
    return met


def through_layers(
    normalisations: Any, net: Any, team: Any, run: Any, batch: Array, samples: Any, rule: Any,
    early: bool,
) -> Any:  # fmt: skip
    """Do what `middle` does; give the peak, and whether all have met."""


@chosen_by_type(through_layers)
def _through_layers(
    normalisations: Any, net: Any, team: Any, run: Any, batch: Any, samples: Any, rule: Any,
    early: Any,
) -> Any:  # fmt: skip
    def by_samples(
        normalisations: Any, net: Any, team: Any, run: Any, batch: Any, samples: Any, rule: Any,
        early: Any,
    ) -> Any:  # fmt: skip
        factor = in_advance(rule)
        return forward_and_backward(net, run.loss, batch, samples, factor, early), True

    def with_meetings(
        normalisations: Any, net: Any, team: Any, run: Any, batch: Any, samples: Any, rule: Any,
        early: Any,
    ) -> Any:  # fmt: skip
        return forward_and_backward_meeting(net, team, run, batch, samples, rule, early)

    return by_samples if isinstance(normalisations, types.NoneType) else with_meetings


@inline_kernel
def largest_peak(net: Any, threads: int) -> Any:
    """The largest of all threads' peaks, or NaN."""
    most = net.memory[net.shape.peaks]
    for thread in range(1, threads):
        peak = net.memory[net.shape.peaks + thread * PEAK_STRIDE]
        most = peak if peak > most or np.isnan(peak) else most
    return most


@inner_kernel
def update_rest(net: Any, team: Any, samples: int, rule: Any) -> None:
    """Update everything but the first layer's weights, its gradient being there."""
    update_hidden(net, team, np.int64(1), samples, rule)
    strips = share(team.thread, team.threads, net.layers[0].strip_count)
    update_bias(narrow_tile(net.memory), net, np.int64(0), strips, samples, rule)


def gradient_of_strip(inputs: Any, net: Any, s: int, samples: int, rule: Any) -> Any:
    """The gradient by a strip of the first layer's output; update what depends on it alone.

    That is its bias and the second layer's weights behind it. Where the inputs are split, part 3
    has made it.
    """


@chosen_by_type(gradient_of_strip)
def _gradient_of_strip(inputs: Any, net: Any, s: Any, samples: Any, rule: Any) -> Any:
    if inputs.instance_class is Split:
        return lambda inputs, net, s, samples, rule: net.memory.dtype.type(0)

    def choose(inputs: Any, net: Any, s: Any, samples: Any, rule: Any) -> Any:
        end = (samples + ROWS - 1) // ROWS * ROWS
        tiles = net.layers[1].strip_count * net.layers[1].strip_width // ROWS
        this, next_ = np.int64(0), np.int64(1)  # as variables: one is compiled for each literal
        units, width = (s * tiles, (s + 1) * tiles), net.layers[0].strip_width
        strips, all_samples = (s, s + 1), (this, end)
        first, factor = net.form.first, of_first_sums(net.normalisations, in_advance(rule))
        peak = input_gradient_in_tiles(first, width, net, next_, strips, all_samples, factor)
        peak = normalise_strip_backward(net.normalisations, net, s, samples, rule, peak)
        update_weights_in_tiles(first, width, net, next_, units, samples, rule)
        update_bias(narrow_tile(net.memory), net, this, strips, samples, rule)
        return peak

    return choose


@inline_kernel
def sums_of_update(net: Any, team: Any, strip: int, samples: int, rule: Any) -> Any:
    """Where the sums of a strip of W go: to W if there is but one section of samples.

    Else, or if the rule has to see whole gradients, to the second half of the thread's room.
    """
    size = net.layers[0].W_size
    partial = net.shape.sums + team.thread * 2 * size
    weights = net.layers[0].W + strip * size
    return Sums(partial, partial + size if sees_all(rule) or samples > SECTION else weights)


@inner_kernel
def hand_over_unit(zero: Any, net: Any, unit: Any, sums: Any, rule: Any) -> float:
    """Update a unit's weights from the sums of all sections, and clear those.

    Unless the sums are in the weights already. Gives the largest magnitude among the weights of a
    rule that `sees_all`, and infinity if one is not finite.
    """
    weights = net.layers[0].W + unit.strip * net.layers[0].W_size
    most = zero
    if sums.target != weights:
        first, last = features_of(net, unit)
        width = net.layers[0].strip_width
        for n in range(first * width, last * width, lanes(zero)):
            gradient = load(zero, net.memory, sums.target + n)
            W = apply_whole(rule, net, weights + n, gradient)
            store(net.memory, sums.target + n, zero)
            if sees_all(rule):
                most = largest(most, magnitude(W))
    found = float(largest_lane(most))
    return found if found < np.inf else np.inf
