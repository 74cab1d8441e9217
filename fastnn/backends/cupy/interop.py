"""Arrays of other libraries on a CUDA device: taken as they are, in order, and nobody waits.

DLPack comes first: its producer is told the stream that will read the array, and orders its work
before it. Of ``__cuda_array_interface__`` it is the reader who has to do that; CuPy would make the
host wait for the producer's stream, an event makes only the stream wait.

Neither tells the producer when the reader is done. A library that keeps freed memory for its next
array, on a stream of its own, would write there while our kernels are still queued. So an array is
held until what was queued before its last view went is done.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any

DLPACK_ON_CUDA = (2, 13)
"""Kinds of DLPack devices: CUDA's own memory, and its managed memory."""


def device_array(array: Any) -> Any:
    """Give a view of an array that another library has on a CUDA device; None of anything else."""
    import cupy

    if isinstance(array, cupy.ndarray):
        return array
    where = getattr(array, "__dlpack_device__", None)
    if where is not None and int(where()[0]) in DLPACK_ON_CUDA:
        return _held(cupy.from_dlpack(array))
    if hasattr(array, "__cuda_array_interface__"):
        return _held(_by_interface(array))
    return None


def _by_interface(array: Any) -> Any:
    import cupy

    interface = dict(array.__cuda_array_interface__)
    producer = interface.pop("stream", None)
    view = cupy.asarray(_Offer(array, interface))
    if producer is not None:
        with view.device:
            done = cupy.cuda.Event(disable_timing=True)
            cupy.cuda.runtime.eventRecord(done.ptr, producer)
            cupy.cuda.get_current_stream().wait_event(done)
    return view


class _Offer:
    """An array without its stream. It keeps the array alive as long as the view is."""

    def __init__(self, array: Any, interface: dict[str, Any]) -> None:
        self.array = array
        self.__cuda_array_interface__ = interface


_reading: deque[tuple[Any, Any]] = deque()
"""Views that are gone, but for kernels that are queued, each with the event that follows these."""


def _held(view: Any) -> Any:
    """Give the same view, over memory that is held until nothing reads it any more."""
    import cupy

    with view.device:
        size = view.data.mem.size - (view.data.ptr - view.data.mem.ptr)
        owner = _Reader(view, cupy.cuda.get_current_stream())
        memory = cupy.cuda.UnownedMemory(view.data.ptr, size, owner, view.device.id)
        pointer = cupy.cuda.MemoryPointer(memory, 0)
        return cupy.ndarray(view.shape, view.dtype, pointer, view.strides)


class _Reader:
    """What holds an array of another library. It goes with the last view of it."""

    def __init__(self, view: Any, stream: Any) -> None:
        self._view, self._stream = view, stream

    def __del__(self) -> None:
        import cupy

        with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError), self._view.device:
            event = cupy.cuda.Event(disable_timing=True)
            event.record(self._stream)
            _reading.append((event, self._view))
            while _reading and _reading[0][0].done:
                _reading.popleft()
