"""Arrays of other libraries on a CUDA device: taken as they are, in order, and nobody waits.

DLPack comes first: its producer is told the stream that will read the array, and orders its work
before it. Of ``__cuda_array_interface__`` it is the reader who has to do that; CuPy would make the
host wait for the producer's stream, an event makes only the stream wait.
"""

from __future__ import annotations

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
        return cupy.from_dlpack(array)
    if hasattr(array, "__cuda_array_interface__"):
        return _by_interface(array)
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
