"""The first layer where most inputs are zero: only the others are multiplied.

The data set is compressed once (`fastnn.kernels.cpu.compressed`). A sample takes the rows of W at
its positions, times its values, into the registers that hold its strip of 64 outputs; its update
adds to the same rows of a block of sums, which reaches W when the batch is through: added to W
itself, each sample's share would be rounded as coarsely as W is (see `fastnn.kernels.cpu.sums`).
Rows of W are as wide as the registers and aligned with cache lines, and the input features are
taken in blocks whose rows fit in the first-level cache, all samples of the batch for one block
before the next. While a batch goes forward the compressed rows of the next one are fetched, whose
places the processor cannot guess.

On one core of a Xeon "Sapphire Rapids", 784-50 at batch 100 on MNIST (19 % of it not zero), in
microseconds: forward 25 without blocks, 19 with 2 to 8 of them; update 48 and 26. Padding each
sample's part of a block to four or eight, to save a branch that is predicted wrongly, lost 10 %.

Zero times infinity is NaN, so what is skipped matters once the network has diverged. Then every
feature of a unit is multiplied, zeros included. That is known without reading all of W in each
step: the largest weight there can be is bounded by the largest one when W was last read, and what
was added to it since.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.activations import activate
from fastnn.kernels.cpu.compiler import inner_kernel
from fastnn.kernels.cpu.compressed import fetch
from fastnn.kernels.cpu.net import features_of, row_of, unit_of
from fastnn.kernels.cpu.sums import hand_over
from fastnn.kernels.cpu.vector import fma, lanes, largest, magnitude, scaled, splat
from fastnn.kernels.cpu.vector_lanes import largest_lane
from fastnn.kernels.cpu.vector_memory import at, load, store

Array = Any

FEW = 4
"""Samples that are added to a parameter one by one: it is rounded no more often than that."""


@inner_kernel
def forward_sparse(
    zero: Any, net: Any, data: Any, here: Any, number: int, norms: Array, following: Array,
    expanded: int,
) -> None:  # fmt: skip
    """`forward_unit` for the unit of a number, its zeros multiplied too if W is not finite there.

    ``norms[number]`` is a bound on its weights; where it is too large to tell, W is read.
    """
    unit = unit_of(net, number)
    if not norms[number] < np.finfo(net.memory.dtype).max / 4:
        norms[number] = largest_weight(zero, net, unit)
    if norms[number] == np.inf:
        forward_unit_with_zeros(zero, net, data, here, unit, expanded)
    else:
        forward_unit(zero, net, data, here, unit, following)


@inner_kernel
def forward_unit(zero: Any, net: Any, data: Any, here: Any, unit: Any, following: Array) -> None:
    """A unit's sum over its features: a part, or with one group ``out = activation(x @ W + b)``.

    `here` is `Located` of the batch. Meanwhile the samples of the next batch, whose bounds are
    `following`, are fetched.
    """
    memory, layer, bounds = net.memory, net.layers[0], here.bounds
    blocks, groups = net.shape.blocks, net.shape.groups
    stride = blocks * groups + 1
    first, last = unit.group * blocks, (unit.group + 1) * blocks
    weights = layer.W + unit.strip * layer.W_size
    place, initial = _output(zero, net, unit)
    finish = groups == 1
    for block in range(first, last):
        for n in range(here.samples):
            if block == first and (n + 1) * stride <= following.size:
                fetch(data, at(following, n * stride + first), at(following, n * stride + last))
            total = initial if block == first else load(zero, memory, place + n * lanes(zero))
            for j in range(at(bounds, n * stride + block), at(bounds, n * stride + block + 1)):
                row = weights + np.intp(at(data.positions, j)) * lanes(zero)
                value = splat(zero, scaled(data.scale, at(data.values, j)))
                total = fma(value, load(zero, memory, row), total)
            if finish and block == last - 1:
                outputs = layer.outputs - unit.strip * lanes(zero)
                total = activate(total, net, layer, place + n * lanes(zero), outputs)
            store(memory, place + n * lanes(zero), total)


@inner_kernel
def update_unit(
    zero: Any, net: Any, data: Any, here: Any, unit: Any, section: Any, sums: Any
) -> None:
    """``target += x.T @ scaled_dout`` for a unit's features; scaled_dout is ``-lr * dout``.

    For the samples of a section, a range. The sums of a block of features are made in
    ``sums.partial``, which is zero, and is left so; those of few samples in ``sums.target`` itself.
    Sums are handed over for all features of the block, or, where there are fewer entries than
    features, entry by entry: a feature that comes again adds zero.
    """
    memory, layer, bounds = net.memory, net.layers[0], here.bounds
    blocks = net.shape.blocks
    stride = blocks * net.shape.groups + 1
    scaled_dout = row_of(net, layer.dout, layer, unit.strip, 0)
    begin, end = section
    for block in range(unit.group * blocks, (unit.group + 1) * blocks):
        first = net.block_starts[block] * lanes(zero)
        features = net.block_starts[block + 1] - net.block_starts[block]
        few = end - begin <= FEW
        place = sums.target if few else sums.partial - first
        entries = 0
        for n in range(begin, end):
            g = load(zero, memory, scaled_dout + n * lanes(zero))
            start, stop = at(bounds, n * stride + block), at(bounds, n * stride + block + 1)
            entries += stop - start
            for j in range(start, stop):
                row = place + np.intp(at(data.positions, j)) * lanes(zero)
                value = splat(zero, scaled(data.scale, at(data.values, j)))
                store(memory, row, fma(value, g, load(zero, memory, row)))
        if few:
            continue
        if entries >= features:
            hand_over(memory, sums.partial, sums.target + first, features * lanes(zero))
            continue
        for n in range(begin, end):
            for j in range(at(bounds, n * stride + block), at(bounds, n * stride + block + 1)):
                row = np.intp(at(data.positions, j)) * lanes(zero)
                hand_over(memory, place + row, sums.target + row, lanes(zero))


@inner_kernel
def forward_unit_with_zeros(
    zero: Any, net: Any, data: Any, here: Any, unit: Any, expanded: int
) -> None:
    """`forward_unit`, its zeros multiplied too; `expanded` is room for a sample."""
    memory, layer = net.memory, net.layers[0]
    first, last = features_of(net, unit)
    weights = layer.W + unit.strip * layer.W_size
    place, initial = _output(zero, net, unit)
    for n in range(here.samples):
        _expand(net, data, here.bounds, n, unit, expanded)
        total = initial
        for d in range(first, last):
            value = splat(zero, at(memory, expanded + d))
            total = fma(value, load(zero, memory, weights + d * lanes(zero)), total)
        if net.shape.groups == 1:
            outputs = layer.outputs - unit.strip * lanes(zero)
            total = activate(total, net, layer, place + n * lanes(zero), outputs)
        store(memory, place + n * lanes(zero), total)


@inner_kernel
def update_unit_with_zeros(
    zero: Any, net: Any, data: Any, here: Any, unit: Any, section: Any, sums: Any, expanded: int
) -> None:
    """`update_unit`, its zeros multiplied too; `expanded` is room for a sample.

    ``sums.partial`` need not be zero here, as `by_feature.update_strip` does not leave it so.
    """
    memory, layer = net.memory, net.layers[0]
    first, last = features_of(net, unit)
    scaled_dout = row_of(net, layer.dout, layer, unit.strip, 0)
    for place in range(0, (last - first) * lanes(zero), lanes(zero)):
        store(memory, sums.partial + place, zero)
    for n in range(section[0], section[1]):
        _expand(net, data, here.bounds, n, unit, expanded)
        g = load(zero, memory, scaled_dout + n * lanes(zero))
        for d in range(first, last):
            row = sums.partial + (d - first) * lanes(zero)
            value = splat(zero, at(memory, expanded + d))
            store(memory, row, fma(value, g, load(zero, memory, row)))
    place = sums.target + first * lanes(zero)
    hand_over(memory, sums.partial, place, (last - first) * lanes(zero))


@inner_kernel
def _expand(net: Any, data: Any, bounds: Array, n: int, unit: Any, expanded: int) -> None:
    """Write a sample's features of a unit to `expanded`, zeros too."""
    blocks = net.shape.blocks
    start = n * (blocks * net.shape.groups + 1) + unit.group * blocks
    first, last = features_of(net, unit)
    for d in range(first, last):
        net.memory[expanded + d] = 0
    for j in range(bounds[start], bounds[start + blocks]):
        net.memory[expanded + data.positions[j]] = scaled(data.scale, at(data.values, j))


@inner_kernel
def _output(zero: Any, net: Any, unit: Any) -> Any:
    """Where a unit's sums go, and where they start from."""
    layer, size = net.layers[0], net.shape.capacity * lanes(zero)
    if net.shape.groups == 1:
        bias = load(zero, net.memory, layer.b + unit.strip * lanes(zero))
        return layer.out + unit.strip * size, bias
    return layer.parts + (unit.group * layer.strip_count + unit.strip) * size, zero


@inner_kernel
def largest_weight(zero: Any, net: Any, unit: Any) -> float:
    """The largest magnitude among a unit's weights; infinity if one is not finite."""
    layer, most = net.layers[0], zero
    weights = layer.W + unit.strip * layer.W_size
    first, last = features_of(net, unit)
    for d in range(first, last):
        most = largest(most, magnitude(load(zero, net.memory, weights + d * lanes(zero))))
    found = float(largest_lane(most))
    return found if found < np.inf else np.inf
