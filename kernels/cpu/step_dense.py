"""Training steps on a data set as it is; see `fastnn.kernels.cpu.step` for the order.

The batch is gathered into one of two buffers in turn, so that no thread overwrites what another
still updates with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cpu.barrier import meet, pass_request_on, stopping
from fastnn.kernels.cpu.clipping import clip_and_update
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel, kernel
from fastnn.kernels.cpu.dense import Left, Right
from fastnn.kernels.cpu.dropout_in_strips import count_draws
from fastnn.kernels.cpu.net import CACHE_LINE, features_of, row_of, share, unit_of
from fastnn.kernels.cpu.penalty import whole_loss
from fastnn.kernels.cpu.rules import rule_at
from fastnn.kernels.cpu.step import (
    back_at_once,
    gradient_of_strip,
    hand_over_unit,
    middle,
    sums_of_update,
    update_rest,
)
from fastnn.kernels.cpu.step_normalised import normalise_strip
from fastnn.kernels.cpu.strips import narrow, tile_of_zeros
from fastnn.kernels.cpu.sums import SECTION
from fastnn.kernels.cpu.tall import (
    TALL,
    activate_tile,
    add_tile,
    load_tile,
    multiply,
    rows_of,
    store_tile,
    sum_of_tiles,
)
from fastnn.kernels.cpu.update_in_strips import update_hidden
from fastnn.kernels.cpu.vector import lanes, splat
from fastnn.kernels.cpu.vector import multiply as times
from fastnn.kernels.cpu.vector_memory import at, load, load_cast, prefetch, store

Array = Any
DEPTH = 96
"""Samples whose inputs and gradients by a strip are in the first-level cache together."""


class Dense(NamedTuple):
    """A data set (K, D), given flat, and what it is multiplied by as it is gathered.

    `scale` is of the dtype of the network.
    """

    x: Array
    scale: Any


@kernel
def train(width: Any, net: Any, team: Any, data: Any, run: Any) -> Any:
    """Take the steps of a run; give how many were taken.

    width : Wide or Narrow
        Of the first layer's strips.
    net : Net
    team : Team
    data : Dense
    run : Run
    """
    zero = tile_of_zeros(net.memory, width)
    strips, groups = net.layers[0].strip_count, net.shape.groups
    units = share(team.thread, team.threads, groups * strips)
    early = back_at_once(net)
    samples = run.rows.shape[1]
    for step in range(run.rows.shape[0]):
        rule = rule_at(run.rule, run.numbers, step)
        batch, following = run.rows[step], run.rows[min(step + 1, run.rows.shape[0] - 1)]
        x = net.shape.x + step % 2 * net.shape.x_size
        own = (np.int64(0), samples)
        if groups > 1:
            end = (units[1] - 1) // strips + 1 if units[0] < units[1] else 0
            for group in range(units[0] // strips, end):
                features = features_of(net, unit_of(net, group * strips))
                _gather(narrow(net.memory), net, data, batch, x, own, features)
        else:
            own = share(team.thread, team.threads, samples)
            features = (np.int64(0), net.layers[0].inputs)
            _gather(narrow(net.memory), net, data, batch, x, own, features)
            if not meet(team.barrier, team.threads, team.give_way):
                return step
        for number in range(units[0], units[1]):
            unit = unit_of(net, number)
            fetched = own if unit.strip == 0 or number == units[0] else (np.int64(0), np.int64(0))
            _forward(zero, net, x, unit, samples, data, following, fetched)
            normalise_strip(net.normalisations, net, unit.strip, samples)
        if not meet(team.barrier, team.threads, team.give_way):
            return step
        if team.thread == 0:
            pass_request_on(team.barrier)
        if not middle(net, team, run, batch, rule, early):
            return step
        if not meet(team.barrier, team.threads, team.give_way):
            return step
        if team.thread == 0:
            run.losses[step] = whole_loss(rule, net, samples)
            count_draws(net.dropout)
        if early:
            update_rest(net, team, samples, rule)
        else:
            update_hidden(net, team, np.int64(2), samples, rule)
        for number in range(units[0], units[1]):
            unit = unit_of(net, number)
            if not early:
                gradient_of_strip(net.form.inputs, net, unit.strip, samples, rule)
            sums = sums_of_update(net, team, unit.strip, samples, rule)
            for n in range(0, samples, SECTION):
                section = (n, min(SECTION, samples - n))
                _update(zero, net, x, unit, section, sums)
            hand_over_unit(zero, net, unit, sums, rule)
        if not clip_and_update(rule, net, team, early, net.memory[:0]):
            return step
        if stopping(team.barrier):
            return step + 1
    return run.rows.shape[0]


@inner_kernel
def _gather(
    zero: Any, net: Any, data: Any, batch: Array, x: int, samples: Any, features: Any
) -> None:
    """Copy a range of features of a range of samples of the batch, cast and scaled."""
    width, factor = net.layers[0].inputs, splat(zero, data.scale)
    for n in range(samples[0], samples[1]):
        row = _row(data.x, batch, n, width)
        place = x + n * net.shape.x_stride
        d = features[0]
        while d + lanes(zero) <= features[1]:
            store(net.memory, place + d, times(factor, load_cast(zero, data.x, row + d)))
            d += lanes(zero)
        while d < features[1]:
            net.memory[place + d] = data.scale * net.memory.dtype.type(at(data.x, row + d))
            d += 1


@inner_kernel
def _fetch(x: Array, batch: Array, samples: Any, features: Any, width: int) -> None:
    """Ask for a range of features of a range of samples of a batch."""
    for n in range(samples[0], samples[1]):
        row = _row(x, batch, n, width)
        for d in range(features[0], features[1], CACHE_LINE // x.itemsize):
            prefetch(x, row + d)


@inline_kernel
def _row(x: Array, batch: Array, n: int, width: int) -> Any:
    """Where a sample of a batch begins in the data set."""
    return min(max(batch[n], 0), x.size // width - 1) * width


@inner_kernel
def _forward(
    zero: Any, net: Any, x: int, unit: Any, samples: int, data: Any, following: Array, fetched: Any
) -> None:
    """A unit's sum over its features: a part, or with one group ``out = activation(x @ W + b)``.

    Meanwhile those samples of the following batch are fetched that are in the range `fetched`.
    """
    memory, layer, groups = net.memory, net.layers[0], net.shape.groups
    width, stride = layer.strip_width, net.shape.x_stride
    features = features_of(net, unit)
    depth = features[1] - features[0]
    for column in range(0, width, lanes(zero)):
        weights = layer.W + unit.strip * layer.W_size + features[0] * width + column
        W = Right(memory, weights, width)
        initial = zero
        strip = unit.group * layer.strip_count + unit.strip
        place = row_of(net, layer.parts, layer, strip, 0) + column
        if groups == 1:
            initial = load(zero, memory, layer.b + unit.strip * width + column)
            place = row_of(net, layer.out, layer, unit.strip, 0) + column
        for n in range(0, samples, TALL):
            if column == 0:
                some = (max(n, fetched[0]), min(n + TALL, fetched[1]))
                _fetch(data.x, following, some, features, layer.inputs)
            left = Left(memory, x + n * stride + features[0], stride, 1)
            tile = multiply(rows_of(initial), left, W, depth)
            if groups == 1:
                outputs = layer.outputs - unit.strip * width - column
                tile = activate_tile(tile, net, layer, place + n * width, outputs)
            store_tile(tile, memory, place + n * width, width)


@inner_kernel
def _update(zero: Any, net: Any, x: int, unit: Any, section: Any, sums: Any) -> None:
    """``target += x.T @ scaled_dout`` for a unit's features; scaled_dout is ``-lr * dout``.

    For the samples of a section, the first and how many. So many of them at a time that their
    columns of x stay in the first-level cache; ``sums.partial`` is room for the sums so far.
    """
    memory, layer = net.memory, net.layers[0]
    width, stride = layer.strip_width, net.shape.x_stride
    start, samples = section
    features = features_of(net, unit)
    one = memory.dtype.type(1)
    parts = (samples + DEPTH - 1) // DEPTH
    for column in range(0, width, lanes(zero)):
        for part in range(parts):
            first, last = part * samples // parts, (part + 1) * samples // parts
            n, depth = start + first, last - first
            scaled_dout = row_of(net, layer.dout, layer, unit.strip, n) + column
            right = Right(memory, scaled_dout, width)
            for d in range(features[0], features[1], TALL):
                place = d * width + column
                left = Left(memory, x + n * stride + d, 1, stride)
                tile = multiply(rows_of(zero), left, right, depth)
                if part > 0:
                    so_far = load_tile(zero, memory, sums.partial + place, width)
                    tile = sum_of_tiles(so_far, tile)
                if part == parts - 1:
                    add_tile(tile, memory, sums.target + place, width, one)
                else:
                    store_tile(tile, memory, sums.partial + place, width)
