"""The layers behind the first one, forward, for a few samples after another.

What happens to a sample behind the first layer needs no other sample, so each thread takes its
share of them through all layers without waiting. The products are tiles of
`fastnn.kernels.cpu.dense`; bias and activation are done on a tile while it is in registers. Samples
are taken four at a time; where the batch is no multiple of four, the rows that follow it in the
buffers are computed along and never used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.activations import activate
from fastnn.kernels.cpu.compiler import chosen_by_type, inner_kernel
from fastnn.kernels.cpu.dense import ROWS, Left, Right, activate_tile, multiply, store_tile
from fastnn.kernels.cpu.dropout_in_strips import drop_units
from fastnn.kernels.cpu.net import Whole, columns_of, row_of
from fastnn.kernels.cpu.strips import in_strips, in_tiles
from fastnn.kernels.cpu.vector import add, lanes
from fastnn.kernels.cpu.vector_memory import load, store


@inner_kernel
def forward(net: Any, first: int, last: int) -> None:
    """Take the samples from the sums of the first layer's units to the scores."""
    add_parts_if_split(net.form.inputs, net, first, last)
    drop_units(net.dropout, net, np.int64(0), first, last)
    for number in range(1, net.layers.size):
        width = net.layers[number].strip_width
        affine_in_tiles(net.form.behind, width, net, number, first, last)
        drop_units(net.dropout, net, number, first, last)


def add_parts_if_split(inputs: Any, net: Any, first: int, last: int) -> None:
    """`add_parts`, where there are parts."""


@chosen_by_type(add_parts_if_split)
def _add_parts_if_split(inputs: Any, net: Any, first: Any, last: Any) -> Any:
    if inputs.instance_class is Whole:
        return lambda inputs, net, first, last: None

    def choose(inputs: Any, net: Any, first: Any, last: Any) -> None:
        add_parts_in_strips(net.form.first, net.layers[0].strip_width, net, first, last)

    return choose


@inner_kernel
def add_parts(zero: Any, net: Any, first: int, last: int) -> None:
    """``out = activation(b + the sum of the parts)`` for the first layer."""
    layer = net.layers[0]
    size = layer.strip_count * net.shape.capacity * layer.strip_width
    for strip in range(layer.strip_count):
        bias = load(zero, net.memory, layer.b + strip * layer.strip_width)
        for n in range(first, last):
            place = row_of(net, layer.parts, layer, strip, n)
            total = bias
            for part in range(net.shape.groups):
                total = add(total, load(zero, net.memory, place + part * size))
            to = row_of(net, layer.out, layer, strip, n)
            outputs = layer.outputs - strip * layer.strip_width
            store(net.memory, to, activate(total, net, layer, to, outputs))


@inner_kernel
def affine(zero: Any, net: Any, number: int, first: int, last: int) -> None:
    """``out = activation(out of the layer before @ W + b)``, for samples from `first` to `last`."""
    memory, layer, before = net.memory, net.layers[number], net.layers[number - 1]
    for strip in range(layer.strip_count):
        for column in range(0, columns_of(layer, strip), lanes(zero)):
            bias = load(zero, memory, layer.b + strip * layer.strip_width + column)
            weights = layer.W + strip * layer.W_size + column
            for n in range(first, last, ROWS):
                tile = (bias, bias, bias, bias)
                for part in range(before.strip_count):
                    start = part * before.strip_width
                    x = Left(
                        memory, row_of(net, before.out, before, part, n), before.strip_width, 1
                    )
                    W = Right(memory, weights + start * layer.strip_width, layer.strip_width)
                    tile = multiply(tile, x, W, min(before.strip_width, layer.inputs - start))
                place = row_of(net, layer.out, layer, strip, n) + column
                outputs = layer.outputs - strip * layer.strip_width - column
                tile = activate_tile(tile, net, layer, place, outputs)
                store_tile(tile, memory, place, layer.strip_width)


add_parts_in_strips = in_strips(add_parts)
affine_in_tiles = in_tiles(affine)
