"""How a step's numbers lie in memory: one array of floats, and records that say what is where.

Matrices lie in strips of columns (see `fastnn.kernels.cpu.dense`); how wide they are says
`fastnn.kernels.cpu.strips.strip_of`. A layer's record has the offsets, in numbers, of

- ``W``, in strips of its outputs, each (inputs, strip_width); inputs counted as the strips of the
  layer before lay them out, its padding included. A strip takes ``W_size`` numbers.
- ``WT``, the transposed weights in strips of its *inputs*, each (outputs, strip_width of the layer
  before): for the gradient by the input. The first layer has none.
- ``b``, the bias, padded
- ``out`` and ``dout``, what it gives and the gradient by that (of the first layer times
  `rules.in_advance`, which spares its update a multiplication), in strips, each (capacity,
  strip_width); see `row_of`
- ``sums``, what `out` was before the activation, laid out like it; only where an activation's
  gradient needs it, see `fastnn.kernels.cpu.activations`
- ``parts``, sums over some of its inputs only, in as many parts as there are groups; only the first
  layer has them

The first layer's work is cut into *units*: a group of input features times a strip. A narrow layer
has one strip and several groups; a wide one has strips enough for the threads and one group. A
unit's weights are read and written by one thread only, so they stay in its cache. The features of a
group are cut into blocks, whose weights stay in the first-level cache. How a layer is cut depends
on its shape alone, never on the number of threads, and so do the bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel

Array = Any

CACHE_LINE = 64
"""Bytes of a cache line."""

LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            "inputs", "outputs", "strip_width", "strip_count", "activation", "dropped",
            "W", "W_size", "WT", "WT_size", "b", "out", "sums", "dout", "parts",
        )
    ]
)  # fmt: skip
"""The record of a layer; `activation` is a number in `Net.activations`, from 1 on, or 0.

0, too, where the layer is normalised: what follows that stands in the record of its normalisation.
`dropped` is 1 where the output goes through dropout, and else 0.
"""

SHAPE = np.dtype(
    [
        (name, np.int64)
        for name in (
            "parameters", "capacity", "features", "groups", "blocks", "x", "x_size", "x_stride",
            "peaks", "losses", "squares", "gradient_squares", "expanded", "sums",
        )
    ]
)  # fmt: skip
"""What all layers share.

parameters : numbers that all parameters take, with padding; they lie at the beginning, and behind
    them, in the same order, the arrays of the update rule's state, each of as many numbers
capacity : samples of a batch, padded to whole tiles
features : inputs of the first layer, padded to whole cache lines
groups, blocks : groups of input features, and blocks in each
x, x_size, x_stride : where two dense batches are, how large each is, how far apart its rows are
peaks : where the threads' peaks are, see `fastnn.kernels.cpu.step`
losses : where the losses of the samples are
squares : where sums of the squares of weights are, see `fastnn.kernels.cpu.penalty`
gradient_squares : likewise of gradients, see `fastnn.kernels.cpu.clipping`
expanded : where each thread has room for a sample with its zeros, `features` numbers
sums : where each thread has room for its sums over samples, twice `W_size` of the first layer
"""


class Net(NamedTuple):
    """A network in memory.

    memory : (K,) float, parameters and buffers
    layers : (layers,) of `LAYER`
    shape : a `SHAPE`
    block_starts : (groups * blocks + 1,) int64, where the blocks of input features begin
    activations : tuple of those that its layers have; see `fastnn.kernels.cpu.activations`
    normalisations : (layers,) of `normalization_in_strips.NORMALISATION`; None if there is none
    dropout : a `dropout_in_strips.Dropout`; None where no layer has one
    form : `Form`, what else kernels are compiled for
    """

    memory: Array
    layers: Array
    shape: Any
    block_starts: Array
    activations: Any
    normalisations: Any
    dropout: Any
    form: Any


class Split(NamedTuple):
    """Says, by its type, that the first layer's inputs are cut into groups."""

    groups: int = 2


class Whole(NamedTuple):
    """Says that they are not."""

    groups: int = 1


class Form(NamedTuple):
    """What a network has, as types; kernels are compiled for nothing else.

    first : Wide or Narrow, the first layer's strips
    before : Wide, Narrow or Both, those of all layers but the last
    behind : likewise, those of all layers but the first
    inputs : Split or Whole
    """

    first: Any
    before: Any
    behind: Any
    inputs: Any


class Team(NamedTuple):
    """Which of how many threads this is, and where they meet; see `barrier.meet`."""

    thread: int
    threads: int
    barrier: Array
    give_way: int


class Run(NamedTuple):
    """What a call trains on: some steps.

    rows : (steps, batch) int64, the samples of each batch
    loss : one of `fastnn.kernels.cpu.losses_in_strips`, with the targets of all samples
    rule : an update rule of `fastnn.kernels.cpu.rules`, for its type
    numbers : (steps, fields of the rule), what it reads in each step, of the network's dtype
    losses : (steps,), where the mean losses go
    """

    rows: Array
    loss: Any
    rule: Any
    numbers: Array
    losses: Array


class Unit(NamedTuple):
    """A part of the first layer's work: a group of input features, a strip of outputs."""

    group: int
    strip: int


class Sums(NamedTuple):
    """Offsets of where a unit's update goes; see `fastnn.kernels.cpu.sums`.

    partial : room for sums that are not whole yet
    target : W, or room for the sums of all sections
    """

    partial: int
    target: int


@inline_kernel
def row_of(net: Any, array: int, layer: Any, strip: int, n: int) -> Any:
    """Where row `n` of a strip begins, of a layer's ``out`` or ``dout``."""
    return array + (strip * net.shape.capacity + n) * layer.strip_width


@inline_kernel
def columns_of(layer: Any, strip: int) -> Any:
    """How many columns of a strip are no padding, which is zero and stays so."""
    return min(layer.strip_width, layer.outputs - strip * layer.strip_width)


@inline_kernel
def unit_of(net: Any, number: int) -> Any:
    """The unit of a number: group after group, strip after strip."""
    strips = net.layers[0].strip_count
    return Unit(number // strips, number % strips)


@inline_kernel
def features_of(net: Any, unit: Any) -> Any:
    """The first feature of a unit, and the first that is not its."""
    blocks = net.shape.blocks
    return net.block_starts[unit.group * blocks], net.block_starts[(unit.group + 1) * blocks]


@inline_kernel
def share(thread: int, threads: int, count: int) -> Any:
    """The first of `count` things that a thread does, and the first that it does not."""
    return thread * count // threads, (thread + 1) * count // threads
