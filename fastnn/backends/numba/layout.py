"""Where a plain network's parameters and buffers lie for the compiled step, and the way there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Block
from fastnn.kernels.cpu import dense, evaluation, step, strips, tall

BLOCK_BYTES = 102400
"""Weights of a block of input features, which is to stay in the first-level cache."""

ENOUGH_STRIPS = 4
"""From how many strips on the first layer's inputs are not cut into groups."""

LINE = 64
"""Bytes of a cache line."""


@dataclass
class Layout:
    """The memory of a compiled step; `fastnn.kernels.cpu.strips` says what stands in it.

    Attributes
    ----------
    dense : bool
        Whether the first layer multiplies every input, of which there is room for two batches then,
        or skips zeros, and has room for one sample in each thread with its zeros.
    memory : array
        Everything, aligned with cache lines; zeros at first, so all padding is zero.
    table, shape : array of int64
        Where what is.
    groups, blocks : int
        Groups of input features, and blocks in each.
    """

    layers: tuple[Block, ...]
    dtype: Any
    batch_size: int
    threads: int
    sizes: list[int]
    dense: bool
    memory: Array = field(init=False)
    table: Array = field(init=False)
    shape: Array = field(init=False)
    groups: int = field(init=False)
    blocks: int = field(init=False)

    def __post_init__(self) -> None:
        itemsize = self.dtype.itemsize
        inputs = self.sizes[0]
        # Samples are computed in fours behind the first layer, in tall tiles there.
        capacity = max(_up(self.batch_size, dense.ROWS), _up(self.batch_size, tall.TALL))
        self._end = 0
        self.table = np.zeros((len(self.layers), strips.COLUMNS), np.int64)
        self.shape = np.zeros(strips.SHAPE, np.int64)
        strip = self._strip_of(self.sizes[1])
        self.groups = _groups(math.ceil(self.sizes[1] / strip))
        features = math.ceil(inputs / self.groups)
        self.blocks = math.ceil(features * strip * itemsize / BLOCK_BYTES)
        for number, layer in enumerate(self.layers):
            self._place_layer(number, layer.activation == "relu", capacity)
        x_row = _up(_up(inputs, tall.TALL), LINE // itemsize)
        if x_row * itemsize // LINE % 2 == 0:
            x_row += LINE // itemsize  # rows at an odd distance do not collide in the cache
        x_size = capacity * x_row
        self._shape(strips.CAPACITY, capacity)
        self._shape(strips.FEATURES, _up(inputs, LINE // itemsize))
        self._shape(strips.GROUPS, self.groups)
        self._shape(strips.BLOCKS, self.blocks)
        self._shape(strips.X_SIZE, x_size)
        self._shape(strips.X_ROW, x_row)
        self._shape(strips.PEAKS, self._take(self.threads * step.PEAK_STRIDE))
        self._shape(strips.LOSSES, self._take(capacity))
        self._shape(strips.SUMS, self._take(self.threads * 2 * int(self.table[0, strips.W_SIZE])))
        if self.dense:
            self._shape(strips.X, self._take(2 * x_size))
        else:
            expanded = self.threads * int(self.shape[strips.FEATURES])
            self._shape(strips.EXPANDED, self._take(expanded))
        self.memory = aligned(self._end, self.dtype)

    def edges(self, weight_of_feature: Array) -> Array:
        """Cut the input features into groups of about equal weight, each into equal blocks."""
        inputs = self.sizes[0]
        before = np.concatenate([[0], np.cumsum(weight_of_feature + 1e-9)])
        marks = np.arange(1, self.groups) * before[-1] / self.groups
        inner = np.searchsorted(before, marks) // tall.TALL * tall.TALL
        borders = [0, *np.maximum.accumulate(inner).tolist(), inputs]
        edges = [0]
        for begin, end in pairwise(borders):
            edges += [
                begin + (end - begin) * block // self.blocks for block in range(1, self.blocks)
            ]
            edges.append(end)
        return np.array(edges, np.int64)

    def rooms(self, threads: int) -> list[tuple[Array, Array]]:
        """Make room in the memory for so many threads to evaluate, each with its own activations.

        Returns
        -------
        list of (table, shape)
            For each thread, where what is for it: the parameters where they are, and its room.
        """
        rooms = []
        for _ in range(threads):
            table, shape = self.table.copy(), self.shape.copy()
            shape[strips.CAPACITY] = evaluation.TOGETHER
            shape[strips.EXPANDED] = self._take(int(shape[strips.FEATURES]))
            activations = evaluation.TOGETHER * table[:, strips.STRIPS] * table[:, strips.STRIP]
            for number, count in enumerate(activations.tolist()):
                table[number, strips.A] = self._take(count)
            if self.groups > 1:
                table[0, strips.PARTS] = self._take(self.groups * int(activations[0]))
            rooms.append((table, shape))
        before, self.memory = self.memory, aligned(self._end, self.dtype)
        self.memory[: before.size] = before
        return rooms

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over the parameters from the plan's arrays; padding is zero, whatever was there."""
        self.memory[:] = 0
        for number, layer in enumerate(self.layers):
            inputs, outputs, strip = self._row(number, "INPUTS", "OUTPUTS", "STRIP")
            W, b = (arrays[name] for name in layer.parameters)
            self.bias(number)[:] = b
            for s, some in enumerate(self.weights(number)):
                columns = W[:, s * strip : (s + 1) * strip]
                some[:inputs, : columns.shape[1]] = columns
            if number:
                before = int(self.table[number - 1, strips.STRIP])
                for q, some in enumerate(self.transposed(number)):
                    lines = W[q * before : (q + 1) * before]
                    some[:outputs, : lines.shape[0]] = lines.T

    def save(self, arrays: dict[str, Array]) -> None:
        """Give the parameters back to the plan's arrays."""
        for number, layer in enumerate(self.layers):
            inputs, strip = self._row(number, "INPUTS", "STRIP")
            W, b = (arrays[name] for name in layer.parameters)
            b[...] = self.bias(number)
            for s, some in enumerate(self.weights(number)):
                columns = W[:, s * strip : (s + 1) * strip]
                columns[...] = some[:inputs, : columns.shape[1]]

    def weights(self, number: int) -> Array:
        """W of a layer as (strips, inputs with padding, columns of a strip)."""
        place, size, strip, count = self._row(number, "W", "W_SIZE", "STRIP", "STRIPS")
        return self.memory[place : place + count * size].reshape(count, -1, strip)

    def transposed(self, number: int) -> Array:
        """The transposed weights as (strips of inputs, outputs with padding, their columns)."""
        place, size = self._row(number, "WT", "WT_SIZE")
        strip, count = self._row(number - 1, "STRIP", "STRIPS")
        return self.memory[place : place + count * size].reshape(count, -1, strip)

    def bias(self, number: int) -> Array:
        """The bias of a layer."""
        place, outputs = self._row(number, "B", "OUTPUTS")
        return self.memory[place : place + outputs]

    def _place_layer(self, number: int, relu: bool, capacity: int) -> None:
        inputs, outputs = self.sizes[number], self.sizes[number + 1]
        strip = self._strip_of(outputs)
        count = math.ceil(outputs / strip)
        padded, W_T = _up(inputs, tall.TALL), 0
        if number:
            before, before_count = self._row(number - 1, "STRIP", "STRIPS")
            padded = before * before_count
            W_T = count * strip * before
        activation = count * capacity * strip
        row = {
            strips.INPUTS: inputs,
            strips.OUTPUTS: outputs,
            strips.STRIP: strip,
            strips.STRIPS: count,
            strips.RELU: int(relu),
            strips.W: self._take(count * padded * strip),
            strips.W_SIZE: padded * strip,
            strips.B: self._take(count * strip),
            strips.A: self._take(activation),
            strips.G: self._take(activation),
        }
        if number:
            row |= {strips.WT: self._take(before_count * W_T), strips.WT_SIZE: W_T}
        elif self.groups > 1:
            row[strips.PARTS] = self._take(self.groups * activation)
        for column, value in row.items():
            self.table[number, column] = value

    def _strip_of(self, outputs: int) -> int:
        return int(strips.strip_of(outputs, self.dtype.itemsize, dense=self.dense))

    def _row(self, number: int, *columns: str) -> list[int]:
        return [int(self.table[number, getattr(strips, column)]) for column in columns]

    def _shape(self, place: int, value: int) -> None:
        self.shape[place] = value

    def _take(self, count: int) -> int:
        start = self._end
        self._end = _up(start + count, LINE // self.dtype.itemsize)
        return start


def aligned(count: int, dtype: Any) -> Array:
    """Zeros that begin with a cache line."""
    size = count * dtype.itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype)


def _groups(strip_count: int) -> int:
    """Groups of input features: with the strips, enough units for a few threads."""
    return 1 if strip_count >= ENOUGH_STRIPS else 2


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
