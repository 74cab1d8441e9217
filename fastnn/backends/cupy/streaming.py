"""A data set larger than the device's memory, streamed from pinned memory, ahead of need.

While the device trains on one chunk, threads gather the samples of the next one into pinned
memory and a stream of its own carries them into a waiting room on the device. What is left for the
training's stream to do is to wait for their arrival, which is long past, and to copy them from the
waiting room, at the speed of device memory: the arrays that the step plan reads stay the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.gathering import MOST_THREADS, GatheringThreads
from fastnn.backends.cupy.memory import free_bytes

CHUNK_BYTES = 1 << 26
"""Of a chunk. At 25 GB/s it is under way for 3 ms, hundreds of times as long as starting a copy
takes. It is less where memory is scarce, as the device has two of them, and a batch at least."""


class PinnedFeed:
    """See the module, and `Feed` for the attributes."""

    def __init__(
        self,
        backend: Backend,
        x: np.ndarray[Any, Any],
        t: np.ndarray[Any, Any],
        dtype: str,
        batch_size: int,
        w: np.ndarray[Any, Any] | None = None,
    ) -> None:
        import cupy
        import cupyx

        self._backend = backend
        self._sources = (x, t) if w is None else (x, t, w)
        self._most_threads = MOST_THREADS
        dtypes = dtype, *[source.dtype.name for source in self._sources[1:]]
        kinds = list(zip(self._sources, map(np.dtype, dtypes), strict=True))
        sample = sum(source[:1].size * kind.itemsize for source, kind in kinds)
        with backend.current():
            room = min(CHUNK_BYTES, free_bytes() // 8)
        batches = max(1, room // (sample * batch_size))
        self._samples = min(len(x), batches * batch_size)
        shapes = [(self._samples, *source.shape[1:]) for source in self._sources]
        with backend.current():
            self._rooms = [*map(backend.empty, shapes, dtypes)]
            self.x, self.t = self._rooms[:2]
            self.w = None if w is None else self._rooms[2]
            self._waiting_room = [*map(backend.empty, shapes, dtypes)]
            self._pinned = [[*map(cupyx.empty_pinned, shapes, dtypes)] for _ in range(2)]
            self._stream = cupy.cuda.Stream(non_blocking=True)
            # By blocking events the host waits without keeping a processor busy.
            self._arrived = [cupy.cuda.Event(block=True, disable_timing=True) for _ in range(2)]
            self._taken = cupy.cuda.Event(disable_timing=True)
            # The waiting room is used from now on by another stream than it was allocated on.
            self._taken.record()

    def chunks(
        self, order: np.ndarray[Any, Any], stop: Callable[[], bool]
    ) -> Generator[Array, None, None]:
        """See `Feed.chunks`. When a chunk is given, the next one is under way already."""
        starts = range(0, len(order), self._samples)
        some = [order[start : start + self._samples] for start in starts]
        closed = threading.Event()
        threads = GatheringThreads(self._most_threads)

        def gather(i: int) -> list[Future[None]]:
            pairs = list(zip(self._sources, self._pinned[i % 2], strict=True))
            return threads.gather(pairs, some[i], lambda: closed.is_set() or stop())

        try:
            gathering = gather(0)
            for i, samples in enumerate([*some, None]):
                # Round i brings chunk i on its way, and chunk i - 1 to where it is read.
                if samples is not None:
                    for each in gathering:
                        each.result()
                    if stop():
                        return  # the chunk may not be whole
                    self._send(i, len(samples))
                if i + 1 < len(some):
                    self._arrived[(i + 1) % 2].synchronize()
                    gathering = gather(i + 1)
                if i > 0:
                    yield self._rows(len(some[i - 1]))
                    if stop():
                        return
                if samples is not None:
                    self._take(i, len(samples))
        finally:
            # The threads write to pinned memory, and the stream reads it and writes to the waiting
            # room: both may be freed next, and given to somebody who knows of neither.
            closed.set()
            self._most_threads = threads.count
            with contextlib.ExitStack() as both:
                both.callback(self._stream.synchronize)
                both.callback(threads.end)

    def _rows(self, count: int) -> Array:
        """Give the rows of `x` and `t` that hold a chunk."""
        import cupy

        with self._backend.current():
            return cupy.arange(count, dtype="int64")

    def _send(self, i: int, count: int) -> None:
        """Start the copy to the waiting room, once it is free."""
        with self._backend.current():
            self._stream.wait_event(self._taken)
            for waiting, buffer in zip(self._waiting_room, self._pinned[i % 2], strict=True):
                waiting[:count].set(buffer[:count], stream=self._stream)
            self._arrived[i % 2].record(self._stream)

    def _take(self, i: int, count: int) -> None:
        """Copy a chunk from the waiting room to where the plan reads it, once it is there."""
        import cupy

        with self._backend.current():
            stream = cupy.cuda.get_current_stream()
            stream.wait_event(self._arrived[i % 2])
            for room, waiting in zip(self._rooms, self._waiting_room, strict=True):
                room[:count] = waiting[:count]
            self._taken.record(stream)
