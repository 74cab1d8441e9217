"""Where a network's parameters and buffers lie for the compiled step, and the way there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import BATCH_NORM_EPSILON
from fastnn.backends.philox import least_word
from fastnn.backends.plan import Operation, state_name
from fastnn.backends.stages import Stage
from fastnn.kernels.cpu import (
    activations,
    dense,
    dropout_in_strips,
    evaluation,
    mask,
    net,
    normalization_in_strips,
    step,
    strips,
    tall,
)

BLOCK_BYTES = 102400
"""Weights of a block of input features, which is to stay in the first-level cache."""

ENOUGH_STRIPS = 4
"""From how many strips on the first layer's inputs are not cut into groups."""


@dataclass
class Layout:
    """The memory of a compiled step; `fastnn.kernels.cpu.net` says what stands in it.

    Attributes
    ----------
    dense : bool
        Whether the first layer multiplies every input, of which there is room for two batches then,
        or skips zeros, and has room for one sample in each thread with its zeros.
    states : tuple of str
        The state that the update rule has for each parameter.
    clips : bool
        Whether all gradients are kept until they are cut; see `fastnn.kernels.cpu.clipping`.
    memory : array
        Everything, aligned with cache lines; zeros at first, so all padding is zero.
    records : array of `net.LAYER`
        Where what is, a record a layer.
    shape : array () of `net.SHAPE`
        What all layers share.
    activations : tuple
        Those of the layers, for `net.Net`.
    normalisations : array of `normalization_in_strips.NORMALISATION`, or None
        Likewise; None if no layer is normalised.
    dropout : `dropout_in_strips.Dropout`, or None
        Likewise.
    groups, blocks : int
        Groups of input features, and blocks in each.
    """

    layers: tuple[Stage, ...]
    dtype: Any
    batch_size: int
    threads: int
    sizes: list[int]
    dense: bool
    states: tuple[str, ...]
    clips: bool
    memory: Array = field(init=False)
    records: Array = field(init=False)
    shape: Array = field(init=False)
    activations: tuple[Any, ...] = field(init=False)
    normalisations: Array = field(init=False)
    dropout: Any = field(init=False)
    groups: int = field(init=False)
    blocks: int = field(init=False)

    def __post_init__(self) -> None:
        itemsize = self.dtype.itemsize
        inputs = self.sizes[0]
        # After the first layer samples are computed in fours, in the first one in tall tiles.
        capacity = max(_up(self.batch_size, dense.ROWS), _up(self.batch_size, tall.TALL))
        self._end = 0
        self.records = np.zeros(len(self.layers), net.LAYER)
        self.shape = np.zeros((), net.SHAPE)
        self.activations, numbers = activations.number_activations(self.layers, self.dtype)
        self._place_activations(numbers)
        self.records["dropped"] = [layer.dropout is not None for layer in self.layers]
        strip = self._strip_of(self.sizes[1])
        self.groups = _groups(math.ceil(self.sizes[1] / strip))
        features = math.ceil(inputs / self.groups)
        self.blocks = math.ceil(features * strip * itemsize / BLOCK_BYTES)
        for number in range(len(self.layers)):
            self._place_parameters(number)
        parameters = self._end
        self.shape["parameters"] = parameters
        self._end += (len(self.states) + self.clips) * parameters
        for number in range(len(self.layers)):
            self._place_buffers(number, capacity)
        x_stride = _up(_up(inputs, tall.TALL), net.CACHE_LINE // itemsize)
        if x_stride * itemsize // net.CACHE_LINE % 2 == 0:
            x_stride += (
                net.CACHE_LINE // itemsize
            )  # rows at an odd distance do not collide in the cache
        x_size = capacity * x_stride
        self.shape["capacity"] = capacity
        self.shape["features"] = _up(inputs, net.CACHE_LINE // itemsize)
        self.shape["groups"], self.shape["blocks"] = self.groups, self.blocks
        self.shape["x_size"], self.shape["x_stride"] = x_size, x_stride
        self.shape["peaks"] = self._take(self.threads * step.PEAK_STRIDE)
        self.shape["losses"] = self._take(capacity)
        strip_counts = self.records["strip_count"]
        self.shape["squares"] = self._take(
            int(self.groups * strip_counts[0] + sum(strip_counts[1:]))
        )
        if self.clips:
            tiles = strip_counts[:-1] * self.records["WT_size"][1:] // dense.ROWS
            tiles //= self.records["strip_width"][:-1]
            vectors = [len(layer.vectors) for layer in self.layers]
            count = self.groups * strip_counts[0] + sum(tiles) + sum(vectors * strip_counts)
            self.shape["gradient_squares"] = self._take(int(count))
        self.shape["sums"] = self._take(self.threads * 2 * int(self.records["W_size"][0]))
        if self.dense:
            self.shape["x"] = self._take(2 * x_size)
        else:
            self.shape["expanded"] = self._take(self.threads * int(self.shape["features"]))
        self.memory = aligned(self._end, self.dtype)
        self.dropout = self._dropout(capacity)

    def block_starts(self, weight_of_feature: Array) -> Array:
        """Cut the input features into groups of about equal weight, each into equal blocks."""
        inputs = self.sizes[0]
        before = np.concatenate([[0], np.cumsum(weight_of_feature + 1e-9)])
        marks = np.arange(1, self.groups) * before[-1] / self.groups
        inner = np.searchsorted(before, marks) // tall.TALL * tall.TALL
        borders = [0, *np.maximum.accumulate(inner).tolist(), inputs]
        starts = [0]
        for begin, end in pairwise(borders):
            starts += [
                begin + (end - begin) * block // self.blocks for block in range(1, self.blocks)
            ]
            starts.append(end)
        return np.array(starts, np.int64)

    def rooms(self, threads: int) -> list[tuple[Array, Array]]:
        """Make room in the memory for so many threads to evaluate, each with its own activations.

        Returns
        -------
        list of (records, shape)
            For each thread, where what is for it: the parameters where they are, and its room.
        """
        rooms = []
        for _ in range(threads):
            records, shape = self.records.copy(), self.shape.copy()
            shape["capacity"] = evaluation.TOGETHER
            shape["expanded"] = self._take(int(shape["features"]))
            outputs = evaluation.TOGETHER * records["strip_count"] * records["strip_width"]
            for number, count in enumerate(outputs.tolist()):
                records["out"][number] = self._take(count)
                if activations.need_sums(self.activations):
                    records["sums"][number] = self._take(count)
            if self.groups > 1:
                records["parts"][0] = self._take(self.groups * int(outputs[0]))
            rooms.append((records, shape))
        before, self.memory = self.memory, aligned(self._end, self.dtype)
        self.memory[: before.size] = before
        return rooms

    def load(self, arrays: dict[str, Array]) -> None:
        """Take over parameters and state from the plan's arrays; padding is zero, whatever it was.

        Both forms of W, and of its state, are written.
        """
        self.memory[:] = 0
        for own, array in self._vectors(arrays):
            own[:] = array
        for number, operation in self._dropped():
            self.dropout.layers["draw"][number] = arrays[operation.state[0]]
        for number, layer in enumerate(self.layers):
            outputs, strip = self._record(number, "outputs", "strip_width")
            self._write_numbers(number, layer)
            for part, W in enumerate(self._weights_of(layer, arrays)):
                for s, some in enumerate(self.weights(number, part)):
                    columns = W[:, s * strip : (s + 1) * strip]
                    some[: len(W), : columns.shape[1]] = columns
                if number:
                    before = self._record(number - 1, "strip_width")[0]
                    for q, some in enumerate(self.transposed(number, part)):
                        lines = W[q * before : (q + 1) * before]
                        some[:outputs, : lines.shape[0]] = lines.T

    def save(self, arrays: dict[str, Array]) -> None:
        """Give parameters and state back to the plan's arrays.

        Of the state of a layer behind the first one only the transposed form is up to date.
        """
        for own, array in self._vectors(arrays):
            array[...] = own
        for number, operation in self._dropped():
            arrays[operation.state[0]][...] = self.dropout.layers["draw"][number]
        for number, layer in enumerate(self.layers):
            outputs, strip = self._record(number, "outputs", "strip_width")
            for part, W in enumerate(self._weights_of(layer, arrays)):
                if part and number:
                    before = self._record(number - 1, "strip_width")[0]
                    for q, some in enumerate(self.transposed(number, part)):
                        lines = W[q * before : (q + 1) * before]
                        lines[...] = some[:outputs, : lines.shape[0]].T
                    continue
                for s, some in enumerate(self.weights(number, part)):
                    columns = W[:, s * strip : (s + 1) * strip]
                    columns[...] = some[: len(W), : columns.shape[1]]

    def _weights_of(self, layer: Stage, arrays: dict[str, Array]) -> Iterator[Array]:
        """Give W of a layer, then each array of its state."""
        W = layer.affine.parameters[0]
        yield arrays[W]
        for state in self.states:
            yield arrays[state_name(state, W)]

    def _vectors(self, arrays: dict[str, Array]) -> Iterator[tuple[Array, Array]]:
        """Give what has a number for each unit, as it is in the memory and in the plan.

        Biases, gamma and beta with their state, and running averages.
        """
        for number, layer in enumerate(self.layers):
            outputs, *places = self._record(number, "outputs", "b")
            if layer.normalisation is not None:
                own = self.normalisations[number]
                places += [int(own["gamma"]), int(own["beta"])]
                averages = int(own["running_mean"]), int(own["running_var"])
                assert layer.normalisation.operation is not None
                for place, name in zip(averages, layer.normalisation.operation.state, strict=True):
                    yield self._part(place, outputs, 0), arrays[name]
            for place, name in zip(places, layer.vectors, strict=True):
                names = (name, *[state_name(state, name) for state in self.states])
                for part, each in enumerate(names):
                    yield self._part(place, outputs, part), arrays[each]

    def weights(self, number: int, part: int = 0) -> Array:
        """W of a layer as (strips, inputs with padding, columns of a strip).

        Part 0 is the parameter, the following ones are its state.
        """
        place, size, strip, count = self._record(
            number, "W", "W_size", "strip_width", "strip_count"
        )
        return self._part(place, count * size, part).reshape(count, -1, strip)

    def transposed(self, number: int, part: int = 0) -> Array:
        """The transposed weights as (strips of inputs, outputs with padding, their columns)."""
        place, size = self._record(number, "WT", "WT_size")
        strip, count = self._record(number - 1, "strip_width", "strip_count")
        return self._part(place, count * size, part).reshape(count, -1, strip)

    def _part(self, place: int, count: int, part: int) -> Array:
        start = place + part * int(self.shape["parameters"])
        return self.memory[start : start + count]

    def _place_activations(self, numbers: list[int]) -> None:
        """Write the number of each layer's activation where the layer or its normalisation is."""
        self.normalisations = None
        if any(layer.normalisation is not None for layer in self.layers):
            self.normalisations = np.zeros(len(self.layers), normalization_in_strips.NORMALISATION)
        for number, layer in enumerate(self.layers):
            if layer.normalisation is None:
                self.records["activation"][number] = numbers[number]
            else:
                self.normalisations["is_there"][number] = 1
                self.normalisations["activation"][number] = numbers[number]

    def _place_parameters(self, number: int) -> None:
        inputs, outputs = self.sizes[number], self.sizes[number + 1]
        strip = self._strip_of(outputs)
        count = math.ceil(outputs / strip)
        padded, WT_size = _up(inputs, tall.TALL), 0
        if number:
            before, before_count = self._record(number - 1, "strip_width", "strip_count")
            padded = before * before_count
            WT_size = count * strip * before
        record = {
            "inputs": inputs,
            "outputs": outputs,
            "strip_width": strip,
            "strip_count": count,
            "W": self._take(count * padded * strip),
            "W_size": padded * strip,
            "b": self._take(count * strip),
        }
        if number:
            record |= {"WT": self._take(before_count * WT_size), "WT_size": WT_size}
        self._write(number, record)
        if self.layers[number].normalisation is not None:
            for name in ("gamma", "beta"):
                self.normalisations[name][number] = self._take(count * strip)

    def _place_buffers(self, number: int, capacity: int) -> None:
        strip, count = self._record(number, "strip_width", "strip_count")
        output = count * capacity * strip
        record = {"out": self._take(output), "dout": self._take(output)}
        if activations.need_sums(self.activations):
            record["sums"] = self._take(output)
        if number == 0 and self.groups > 1:
            record["parts"] = self._take(self.groups * output)
        self._write(number, record)
        if self.layers[number].normalisation is not None:
            self.normalisations["xn"][number] = self._take(output)
            self.normalisations["numbers"][number] = self._take(3)
            for name in ("inverse_std", "mean", "var", "running_mean", "running_var"):
                self.normalisations[name][number] = self._take(count * strip)

    def _write_numbers(self, number: int, layer: Stage) -> None:
        """Write what a layer's normalisation reads besides arrays."""
        if layer.normalisation is None:
            return
        assert layer.normalisation.operation is not None
        momentum = layer.normalisation.operation.options["momentum"]
        numbers = momentum, 1 - momentum, BATCH_NORM_EPSILON
        self._part(int(self.normalisations["numbers"][number]), 3, 0)[:] = numbers

    def _dropped(self) -> list[tuple[int, Operation]]:
        """List the numbers of the layers that have dropout, and what it is."""
        return [(n, layer.dropout) for n, layer in enumerate(self.layers) if layer.dropout]

    def _dropout(self, capacity: int) -> Any:
        """Say what drops the outputs of the layers, and make room for masks; None if nothing."""
        dropped = self._dropped()
        if not dropped:
            return None
        layers = np.zeros(len(self.layers), dropout_in_strips.DROPOUT)
        shares, stride = np.ones(len(self.layers), self.dtype), 0
        for number, operation in dropped:
            ratio = operation.options["ratio"]
            layers["bound"][number] = least_word(ratio)
            layers["key"][number] = operation.options["key"]
            layers["advance"][number] = not operation.held
            shares[number] = 1.0 - ratio
            outputs, width, count = self._record(number, "outputs", "strip_width", "strip_count")
            stride = max(stride, width * count, mask.row_of_mask(outputs))
        stride = _up(stride, net.CACHE_LINE)
        masks = aligned(capacity * stride, np.dtype(np.uint8))
        return dropout_in_strips.Dropout(layers, shares, masks, stride, True)

    def _write(self, number: int, record: dict[str, int]) -> None:
        for name, value in record.items():
            self.records[name][number] = value

    def _strip_of(self, outputs: int) -> int:
        return int(strips.strip_of(outputs, self.dtype.itemsize, dense=self.dense))

    def _record(self, number: int, *names: str) -> list[int]:
        return [int(self.records[name][number]) for name in names]

    def _take(self, count: int) -> int:
        start = self._end
        self._end = _up(start + count, net.CACHE_LINE // self.dtype.itemsize)
        return start


def aligned(count: int, dtype: Any) -> Array:
    """Zeros that begin with a cache line."""
    size = count * dtype.itemsize
    room = np.zeros(size + net.CACHE_LINE, np.uint8)
    start = -room.ctypes.data % net.CACHE_LINE
    return room[start : start + size].view(dtype)


def _groups(strip_count: int) -> int:
    """Groups of input features: with the strips, enough units for a few threads."""
    return 1 if strip_count >= ENOUGH_STRIPS else 2


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
