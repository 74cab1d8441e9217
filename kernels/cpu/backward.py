"""The layers behind the first one, from the scores to the gradient by the first layer's output.

As in `fastnn.kernels.cpu.forward` a thread takes its share of the samples. The gradient by an input
is a product with the transposed weights, which are kept in strips of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inner_kernel
from fastnn.kernels.cpu.dense import ROWS, Left, Right, activate_tile_backward, multiply, store_tile
from fastnn.kernels.cpu.forward import forward
from fastnn.kernels.cpu.losses_in_strips import loss
from fastnn.kernels.cpu.net import columns_of, row_of
from fastnn.kernels.cpu.strips import in_tiles
from fastnn.kernels.cpu.vector import lanes, largest, magnitude, splat
from fastnn.kernels.cpu.vector import multiply as times
from fastnn.kernels.cpu.vector_lanes import largest_lane

Array = Any


@inner_kernel
def forward_and_backward(
    net: Any, of_loss: Any, batch: Array, samples: Any, factor: Any, back_to_first: bool
) -> Any:
    """Take the samples from the first layer's output to the gradient by the second's.

    `of_loss` is the loss with its targets, `samples` the range of samples. With `back_to_first`, to
    the gradient by the first layer's output, times `factor` (see `rules.in_advance`); give the
    largest magnitude in it, or NaN.
    """
    layers, begin = net.layers.size, np.int64(0)
    forward(net, samples[0], samples[1])
    one = net.memory.dtype.type(1)
    of_scores = factor if layers == 1 else one
    peak = loss(of_loss, net, batch, samples, of_scores)
    for number in range(layers - 1, 0 if back_to_first else 1, -1):
        this_factor = factor if number == 1 else one
        strips = (begin, net.layers[number - 1].strip_count)
        width = net.layers[number - 1].strip_width
        peak = input_gradient_in_tiles(
            net.form.before, width, net, number, strips, samples, this_factor
        )
    return peak


@inner_kernel
def input_gradient(zero: Any, net: Any, number: int, strips: Any, samples: Any, factor: Any) -> Any:
    """``dout of the layer before = factor * (dout @ W.T)``, taken back through its activation.

    For a range of strips of the layer before and a range of samples. Gives the largest magnitude,
    or NaN.
    """
    memory, layer, before = net.memory, net.layers[number], net.layers[number - 1]
    width = before.strip_width
    peak = zero
    for part in range(strips[0], strips[1]):
        for column in range(0, columns_of(before, part), lanes(zero)):
            weights = layer.WT + part * layer.WT_size + column
            for n in range(samples[0], samples[1], ROWS):
                tile = (zero, zero, zero, zero)
                for strip in range(layer.strip_count):
                    start = strip * layer.strip_width
                    dout = row_of(net, layer.dout, layer, strip, n)
                    left = Left(memory, dout, layer.strip_width, 1)
                    right = Right(memory, weights + start * width, width)
                    tile = multiply(
                        tile, left, right, min(layer.strip_width, layer.outputs - start)
                    )
                f = splat(zero, factor)
                t0, t1, t2, t3 = tile
                t0, t1, t2, t3 = times(f, t0), times(f, t1), times(f, t2), times(f, t3)
                out = row_of(net, before.out, before, part, n) + column
                tile = activate_tile_backward((t0, t1, t2, t3), net, before, out)
                for row in tile:
                    peak = largest(peak, magnitude(row))
                store_tile(tile, memory, row_of(net, before.dout, before, part, n) + column, width)
    return largest_lane(peak)


input_gradient_in_tiles = in_tiles(input_gradient)
