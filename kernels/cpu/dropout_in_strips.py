"""Dropout of a layer's output, which lies in strips.

A thread drops units of its share of the samples, right before the next layer reads them: the masks
are drawn (`fastnn.kernels.cpu.mask`), and what they leave stands in ``out``. A unit that is dropped
is -0 there, and no other is, so that no mask has to be kept for the way back. A number of a mask
depends on the draw, the place of the sample in the batch and the unit alone, and not on who draws.

In evaluation the output is scaled instead. A network without dropout has None for what is said
here, and nothing of it is compiled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cpu.compiler import chosen_by_type, inner_kernel
from fastnn.kernels.cpu.mask import COUNTERS, draw, drop, drop_again
from fastnn.kernels.cpu.net import row_of
from fastnn.kernels.cpu.philox import WORDS
from fastnn.kernels.cpu.strips import narrow
from fastnn.kernels.cpu.vector import lanes, multiply, splat
from fastnn.kernels.cpu.vector_memory import load, store
from numba import types

Array = Any
Formula = Any

DROPOUT = np.dtype([(name, np.int64) for name in ("bound", "key", "draw", "advance")])
"""The record of what drops a layer's output.

bound : the least word of the random ones that keeps a unit; 0 where nothing is dropped
key : of the random numbers
draw : number of the next draw
advance : 1; 0 where the same mask is drawn again and again
"""


class Dropout(NamedTuple):
    """What drops the outputs of a network's layers.

    layers : (layers,) of `DROPOUT`
    shares : (layers,), what the outputs are multiplied by in evaluation
    masks : (capacity * stride,) uint8, room for the mask of each sample
    stride : of the masks of two samples
    draws : whether masks are drawn, as in training
    """

    layers: Array
    shares: Array
    masks: Array
    stride: int
    draws: bool


def drop_units(dropout: Any, net: Any, number: int, first: int, last: int) -> None:
    """Let the output of a layer go through its dropout, if it has one, for a range of samples."""


def backward(dropout: Any, dout: Any, net: Any, layer: Any, place: int) -> Any:
    """Take the gradient by what `drop_units` gave, which stands at `place`, back through it."""


def count_draws(dropout: Any) -> None:
    """Go on to the next draw, when all threads have drawn the masks of a step."""


@chosen_by_type(drop_units)
def _drop_units(dropout: Any, net: Any, number: Any, first: Any, last: Any) -> Formula:
    if isinstance(dropout, types.NoneType):
        return lambda dropout, net, number, first, last: None

    def choose(dropout: Any, net: Any, number: Any, first: Any, last: Any) -> None:
        if net.layers[number].dropped:
            if dropout.draws:
                draw_and_drop(narrow(net.memory), dropout, net, number, first, last)
            else:
                scale(narrow(net.memory), dropout, net, number, first, last)

    return choose


@chosen_by_type(backward)
def _backward(dropout: Any, dout: Any, net: Any, layer: Any, place: Any) -> Formula:
    if isinstance(dropout, types.NoneType):
        return lambda dropout, dout, net, layer, place: dout

    def choose(dropout: Any, dout: Any, net: Any, layer: Any, place: Any) -> Any:
        if layer.dropped:
            return drop_again(dout, load(dout, net.memory, place))
        return dout

    return choose


@chosen_by_type(count_draws)
def _count_draws(dropout: Any) -> Formula:
    if isinstance(dropout, types.NoneType):
        return lambda dropout: None

    def choose(dropout: Any) -> None:
        for number in range(dropout.layers.size):
            dropout.layers[number].draw += dropout.layers[number].advance

    return choose


@inner_kernel
def draw_and_drop(zero: Any, dropout: Any, net: Any, number: int, first: int, last: int) -> None:
    """``out = out * mask`` for a range of samples."""
    layer, own = net.layers[number], dropout.layers[number]
    counters = (layer.outputs + WORDS - 1) // WORDS
    step, key, bound = own.draw, own.key, own.bound
    for counter in range((counters - 1) // COUNTERS * COUNTERS, -1, -COUNTERS):
        for n in range(first, last):  # what is the same for all of them is computed once
            draw(dropout.masks, n * dropout.stride, counters, counter, n, step, key, bound)
    for strip in range(layer.strip_count):
        for n in range(first, last):
            out = row_of(net, layer.out, layer, strip, n)
            mask = n * dropout.stride + strip * layer.strip_width
            outputs = layer.outputs - strip * layer.strip_width
            for column in range(0, min(outputs, layer.strip_width), lanes(zero)):
                row = load(zero, net.memory, out + column)
                store(net.memory, out + column, drop(row, dropout.masks, mask + column))


@inner_kernel
def scale(zero: Any, dropout: Any, net: Any, number: int, first: int, last: int) -> None:
    """``out = out * (1 - ratio)`` for a range of samples."""
    layer = net.layers[number]
    share = splat(zero, dropout.shares[number])
    for strip in range(layer.strip_count):
        for n in range(first, last):
            out = row_of(net, layer.out, layer, strip, n)
            for place in range(out, out + layer.strip_width, lanes(zero)):
                store(net.memory, place, multiply(share, load(zero, net.memory, place)))
