"""A data set in a file that is mapped to memory, read chunk by chunk as it is trained on.

An array of `numpy.memmap` is memory that the system fills from the file when it is touched, and
takes back when it wants. To copy such a data set, in another dtype or without its zeros, would keep
all of it. So a large one is not copied: a chunk is gathered from it, in the order of the file,
whatever the order is in which its samples are trained on.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.chunks import chunks

LARGE = 1 << 28
"""Bytes of a mapped data set from which it stays in its file; a smaller one is an array as any."""

CHUNK_BYTES = 1 << 26
"""Of a chunk's inputs, in the dtype that they are trained from; a batch at least."""

GATHER_BYTES = 1 << 20
"""Gathered between two checks whether to stop: far less than a tenth of a second of work."""


def stays_in_its_file(array: object) -> bool:
    """Whether an array is one of a mapped file that is too large to be copied."""
    if not isinstance(array, np.ndarray) or array.nbytes < LARGE:
        return False
    base: object = array
    while base is not None:
        if isinstance(base, np.memmap | mmap.mmap):
            return True
        base = getattr(base, "base", None)
    return False


class MappedFeed:
    """See the module, and `Feed` for the attributes.

    At first the rooms hold samples from all over the data set, which tell what it is like.
    """

    def __init__(
        self,
        x: np.ndarray[Any, Any],
        t: np.ndarray[Any, Any],
        dtype: str,
        batch_size: int,
        w: np.ndarray[Any, Any] | None = None,
    ) -> None:
        self._sources = (x, t) if w is None else (x, t, w)
        batch_bytes = batch_size * max(1, x[:1].size) * np.dtype(dtype).itemsize
        samples = min(len(x), max(1, CHUNK_BYTES // batch_bytes) * batch_size)
        dtypes = dtype, *[source.dtype for source in self._sources[1:]]
        self._rooms = [
            np.empty((samples, *source.shape[1:]), kind)
            for source, kind in zip(self._sources, dtypes, strict=True)
        ]
        self.x, self.t = self._rooms[:2]
        self.w: Array | None = None if w is None else self._rooms[2]
        self._gather(np.arange(samples) * (len(x) // samples), lambda: False)

    def chunks(
        self, order: np.ndarray[Any, Any], stop: Callable[[], bool]
    ) -> Generator[Array, None, None]:
        """See `Feed.chunks`."""
        for some in chunks(len(order), len(self.x)):
            self._gather(order[some], stop)
            if stop():
                return  # the chunk may not be whole
            yield np.arange(some.stop - some.start)

    def _gather(self, samples: np.ndarray[Any, Any], stop: Callable[[], bool]) -> None:
        """Copy samples to the leading rows, those first that come first in the file."""
        places = np.argsort(samples)
        for source, room in zip(self._sources, self._rooms, strict=True):
            for some in chunks(len(samples), max(1, GATHER_BYTES // max(1, room[:1].nbytes))):
                if stop():
                    return
                with np.errstate(over="ignore"):  # of a file that was changed since it was checked
                    room[places[some]] = source[samples[places[some]]]
