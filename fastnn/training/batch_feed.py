"""From batches as they come to rows of a few arrays that a step plan is made over.

Batches are gathered in *rooms*, arrays where the network computes that hold a chunk of the data.
As many come together as the first chunk had samples. A batch that is larger than all before it
asks for larger rooms, and for a plan over these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.sparse_rows import SparseRows
from fastnn.checks import dtype_name
from fastnn.nn.sequential import Sequential
from fastnn.training.arguments import check_batches
from fastnn.training.batches import Batches, parts_of
from fastnn.training.data import data_set, outputs_of, weights_of

CHUNK_BYTES = 1 << 26
"""Of a chunk's inputs: so many that what is done once for each of them takes no time beside it."""

END = object()


@dataclass
class Chunk:
    """Batches in the leading rows of the rooms.

    Attributes
    ----------
    sizes : list of int
        Of the batches, in order.
    grown : bool
        Whether the rooms are other ones than for the chunk before, or the batches larger than any.
    samples : int
        How many rows they take.
    """

    sizes: list[int] = field(default_factory=list)
    grown: bool = False
    samples: int = 0

    def add(self, size: int) -> None:
        """Count one more batch."""
        self.sizes.append(size)
        self.samples += size

    def runs(self, done: int) -> Iterator[tuple[int, int, int]]:
        """Give the first row of each run of batches of one size, the row behind, and the size.

        So many batches at first are left out.
        """
        begin = end = sum(self.sizes[:done])
        for number, size in enumerate(self.sizes[done:], done):
            end += size
            if self.sizes[number + 1 : number + 2] != [size]:
                yield begin, end, size
                begin = end


class BatchFeed:
    """See the module.

    Parameters
    ----------
    network : Sequential
        That of which the batches are to be.
    source : Batches

    Attributes
    ----------
    rooms : list of array
        For inputs, for targets, and for weights if the batches have some; full at first.
    batch_size : int
        Of the largest batch so far.
    first : tuple of array
        Inputs and targets of the first batch.
    samples : int or None
        Of the last epoch; None while it is under way.
    steps : int or None
        Batches of an epoch, if the source tells.
    """

    def __init__(self, network: Sequential, source: Batches) -> None:
        self._network, self._source = network, source
        self._outputs: tuple[int, ...] | None = None
        self._like: list[tuple[tuple[int, ...], str]] = []
        self._number = self._epoch = 0
        self.samples: int | None = None
        self.steps = source.steps()
        self.rooms: list[Array] = []
        self._iterator: Iterator[Any] | None = None
        found: list[list[Array]] = []
        chunk, size, self._ended = Chunk(), 0, False
        while not self._ended and size < CHUNK_BYTES:
            arrays = self._next(lambda function, *given: function(*given))
            if arrays is None:
                self._ended = True
            else:
                found.append(arrays)
                chunk.add(int(arrays[0].shape[0]))
                size += _bytes(arrays[0])
        self.first = found[0][0], found[0][1]
        concat = network.backend.xp.concat
        self.rooms = [concat(list(parts)) for parts in zip(*found, strict=True)]
        self._waiting: Chunk | None = chunk
        self.batch_size = max(chunk.sizes)

    def chunks(
        self, call: Callable[..., Any], stop: Callable[[], bool]
    ) -> Generator[Chunk, None, None]:
        """Give an epoch in chunks; each is overwritten when the next one is asked for.

        Parameters
        ----------
        call : callable
            By which the source is asked for a batch: ``call(function, *arguments)``.
        stop : callable
            From when on this is true no more batches are asked for.
        """
        self.samples, samples = None, 0
        chunk, self._waiting = self._waiting, None
        if chunk is not None:
            samples += chunk.samples
            yield chunk
        chunk = Chunk()
        while not (self._ended or stop()):
            arrays = self._next(call)
            if stop():
                return
            if arrays is None:
                self._ended = True
                break
            size = int(arrays[0].shape[0])
            if chunk.sizes and chunk.samples + size > self._room():
                yield chunk
                chunk = Chunk()
            chunk.grown |= self._make_room(size)
            for room, array in zip(self.rooms, arrays, strict=True):
                room[chunk.samples : chunk.samples + size, ...] = array
            chunk.add(size)
            samples += size
        if chunk.sizes:
            yield chunk
        if self._ended:
            self._iterator, self._ended, self._number = None, False, 0
            self._epoch += 1
            self.samples = samples

    def _room(self) -> int:
        return int(self.rooms[0].shape[0])

    def _make_room(self, size: int) -> bool:
        """Make the rooms larger if a batch needs that; tell whether it is larger than any."""
        larger, self.batch_size = size > self.batch_size, max(size, self.batch_size)
        if size > self._room():
            backend = self._network.backend
            self.rooms = [
                backend.empty((size, *room.shape[1:]), dtype_name(room)) for room in self.rooms
            ]
        return larger

    def _next(self, call: Callable[..., Any]) -> list[Array] | None:
        """Take a batch from the source, and check it; None at the end of the epoch."""
        place = f"batch {self._number}" + (f" of epoch {self._epoch + 1}" if self._epoch else "")
        try:
            if self._iterator is None:
                self._iterator = call(self._source.epoch)
            given = call(next, self._iterator, END)
        except Exception as error:
            error.add_note(f"as fit asked for {place}")
            raise
        if given is END:
            if not self._number:
                raise ValueError(
                    f"there is no {place}: {self._source!r} is empty, or was used up before"
                )
            return None
        arrays = self._checked(*parts_of(given, self._number), which=f"{place}: ")
        self._number += 1
        return arrays

    def _checked(self, x: Any, t: Any, w: Any, which: str) -> list[Array]:
        """Check a batch as a data set is checked, and that it is like the first one."""
        network, backend = self._network, self._network.backend
        data, targets = data_set(network, x, t, which=which, outputs=self._outputs)
        data = data[:] if isinstance(data, SparseRows) else data
        arrays = [backend.asarray(data), backend.asarray(targets)]
        if w is not None:
            arrays.append(weights_of(network, data, w, which=which, may_be_zero=True))
        size = int(data.shape[0])
        if not self._like:
            self._outputs = outputs_of(network, data, f"{which}x")
            self._like = [(tuple(array.shape[1:]), dtype_name(array)) for array in arrays]
        check_batches(network, size, size, which=which)
        if len(arrays) != len(self._like):
            has, had = ("no", "has some") if w is None else ("a", "has none")
            raise ValueError(f"{which}it has {has} sample_weight, and the first batch {had}")
        names = "x", "t", "sample_weight"
        for i, (name, (shape, kind)) in enumerate(zip(names, self._like, strict=False)):
            if tuple(arrays[i].shape[1:]) != shape:
                raise ValueError(
                    f"{which}{name} has shape {tuple(arrays[i].shape)}, and in the first batch a "
                    f"sample has shape {shape}: they must be alike"
                )
            if dtype_name(arrays[i]) == kind:
                continue
            if name == "x" and kind != network.dtype:
                raise ValueError(
                    f"{which}x has dtype {dtype_name(arrays[i])}, and the first batch {kind}: make "
                    "all of them bytes, or all of them floats"
                )
            arrays[i] = backend.astype(arrays[i], kind)
        return arrays


def _bytes(array: Array) -> int:
    return int(math.prod(array.shape)) * np.dtype(dtype_name(array)).itemsize
