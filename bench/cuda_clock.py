"""Time by the GPU's own clock: two CUDA events on CuPy's current stream."""

from __future__ import annotations

from typing import Any


class CudaClock:
    """Started when it is made."""

    def __init__(self) -> None:
        import cupy

        self._elapsed = cupy.cuda.get_elapsed_time
        self._event = cupy.cuda.Event
        self._start = self._mark()

    def seconds(self) -> float:
        """Wait for what was queued since the start, and give how long the GPU took for it."""
        end = self._mark()
        end.synchronize()
        return float(self._elapsed(self._start, end)) / 1000

    def _mark(self) -> Any:
        event = self._event()
        event.record()
        return event
