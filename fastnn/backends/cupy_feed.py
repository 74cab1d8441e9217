"""A data set larger than the device's memory, streamed from pinned memory, ahead of need.

While the device trains on one piece, a thread gathers the samples of the next one into pinned
memory and a stream of its own carries them into a waiting room on the device. What is left for the
training's stream to do is to wait for their arrival, which is long past, and to copy them from the
waiting room, at the speed of device memory: the arrays that the step plan reads stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnn.backends.base import Array
    from fastnn.backends.cupy_backend import CupyBackend

PIECE_BYTES = 1 << 26
"""Of a piece, unless a batch has more. At 25 GB/s it is under way for 3 ms, a thousand times as
long as starting a copy takes; and the host gathers it within its larger caches' reach."""


class PinnedFeed:
    """See the module, and `Feed` for the attributes."""

    def __init__(
        self,
        backend: CupyBackend,
        x: np.ndarray[Any, Any],
        t: np.ndarray[Any, Any],
        dtype: str,
        batch_size: int,
    ) -> None:
        import cupy
        import cupyx

        self._backend = backend
        self._data, self._labels = x, t
        sample = x[:1].size * np.dtype(dtype).itemsize + t[:1].nbytes
        batches = max(1, PIECE_BYTES // (sample * batch_size))
        self._samples = min(len(x), batches * batch_size)
        shapes = (self._samples, *x.shape[1:]), (self._samples, *t.shape[1:])
        dtypes = dtype, t.dtype.name
        with backend.current():
            self.x, self.t = map(backend.empty, shapes, dtypes)
            self._waiting_room = [*map(backend.empty, shapes, dtypes)]
            self._pinned = [[*map(cupyx.empty_pinned, shapes, dtypes)] for _ in range(2)]
            self._stream = cupy.cuda.Stream(non_blocking=True)
            # By blocking events the host waits without keeping a processor busy.
            self._arrived = [cupy.cuda.Event(block=True, disable_timing=True) for _ in range(2)]
            self._taken = cupy.cuda.Event(disable_timing=True)
            # The waiting room is used from now on by another stream than it was allocated on.
            self._taken.record()

    def pieces(self, order: np.ndarray[Any, Any]) -> Iterator[Array]:
        """See `Feed.pieces`."""
        import cupy

        starts = range(0, len(order), self._samples)
        some = [order[start : start + self._samples] for start in starts]
        with ThreadPoolExecutor(1, "fastnn-feed") as thread:
            under_way = thread.submit(self._send, 0, some[0])
            for i, samples in enumerate(some):
                under_way.result()
                stream = cupy.cuda.get_current_stream()
                stream.wait_event(self._arrived[i % 2])
                with self._backend.current():
                    for room, waiting in zip((self.x, self.t), self._waiting_room, strict=True):
                        room[: len(samples)] = waiting[: len(samples)]
                    self._taken.record(stream)
                    if i + 1 < len(some):
                        under_way = thread.submit(self._send, i + 1, some[i + 1])
                    rows = cupy.arange(len(samples), dtype="int64")
                yield rows

    def _send(self, i: int, samples: np.ndarray[Any, Any]) -> None:
        """Gather samples into pinned memory, and start their copy to the waiting room."""
        pinned, arrived = self._pinned[i % 2], self._arrived[i % 2]
        with self._backend.current():
            arrived.synchronize()  # of two pieces ago, which left from this pinned memory
            for source, buffer in zip((self._data, self._labels), pinned, strict=True):
                buffer[: len(samples)] = source[samples]
            self._stream.wait_event(self._taken)
            for waiting, buffer in zip(self._waiting_room, pinned, strict=True):
                waiting[: len(samples)].set(buffer[: len(samples)], stream=self._stream)
            arrived.record(self._stream)
