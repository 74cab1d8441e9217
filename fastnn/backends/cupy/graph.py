"""CUDA graphs that own what their kernels use.

A graph is a list of kernels with addresses in it. What CuPy allocates while it is captured, and
frees again on the way, is used anew by every replay: it must stay allocated as long as the graph
lives, and go to nobody else.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ALIGNMENT = 512
"""Bytes that requests are rounded up to, as in CuPy's own pools."""


@dataclass(frozen=True)
class Obstacle:
    """Why something is not captured.

    Attributes
    ----------
    reason : str
        What it is, and what can be done.
    expected : bool
        Whether it is as it is meant to be, so that nobody needs to be warned.
    """

    reason: str
    expected: bool = False


class CapturedGraph:
    """A graph, and the memory that belongs to it."""

    def __init__(self, graph: Any, memory: GraphMemory) -> None:
        self._graph = graph
        self._memory = memory

    def launch(self) -> None:
        """Queue a replay on the current stream."""
        self._graph.launch()


def stream_for_captures() -> Any:
    """Make a stream for `capture`.

    It is non-blocking: with a blocking one CUDA would refuse whatever another thread queues on the
    default stream meanwhile, as the one would have to wait for the other.
    """
    import cupy

    return cupy.cuda.Stream(non_blocking=True)


def capture(work: Callable[[], object], stream: Any) -> CapturedGraph:
    """Capture what `work` queues on the current stream, which is `stream` meanwhile; nothing runs.

    Whatever goes wrong, the stream that is current and the memory are as they were before. Other
    threads may do anything meanwhile but wait for the device as a whole: the capture is *relaxed*,
    it forbids nobody to allocate, to free and to copy, in this thread or another one.

    Raises
    ------
    Exception
        What `work` raised, or CUDA or CuPy refused.
    """
    import cupy

    memory = GraphMemory()
    with stream, cupy.cuda.using_allocator(memory.malloc):
        try:
            stream.begin_capture(cupy.cuda.runtime.streamCaptureModeRelaxed)
            work()
        except BaseException:
            with contextlib.suppress(Exception):
                stream.end_capture()  # and drop what there is
            raise
        return CapturedGraph(stream.end_capture(), memory)


class GraphMemory:
    """Memory for one graph. It is freed with this object, or with the last array that lies in it.

    It is taken from the current allocator, so that limits hold and the blocks that CuPy keeps in
    reserve are used; and on the current stream, where the graph will be replayed: what is freed is
    used again behind the last replay. Within the graph a block that was freed serves the next
    request of its size, as the steps of training make the same requests again and again.

    Not a ``cupy.cuda.MemoryPool``: where memory is short it frees its free blocks, which here the
    captured kernels use; and blocks that it has split are never freed once it is gone itself.
    """

    def __init__(self) -> None:
        import cupy

        self._cuda = cupy.cuda
        self._allocator, self._stream = cupy.cuda.get_allocator(), cupy.cuda.get_current_stream()
        self._free: dict[tuple[int, int], list[Any]] = {}

    def malloc(self, size: int) -> Any:
        """Allocate; for ``cupy.cuda.using_allocator``."""
        if size == 0:
            return self._cuda.MemoryPointer(self._cuda.Memory(0), 0)
        size = -(-size // ALIGNMENT) * ALIGNMENT
        # Streams of one graph do not wait for each other, as far as is known here.
        kind = (self._cuda.get_current_stream().ptr, size)
        free = self._free.setdefault(kind, [])
        if free:
            block = free.pop()
        else:
            with self._stream:
                block = self._allocator(size)
        memory = self._cuda.UnownedMemory(block.ptr, size, _Loan(self, kind, block))
        return self._cuda.MemoryPointer(memory, 0)

    def put_back(self, kind: tuple[int, int], block: Any) -> None:
        """Take a block back that nobody uses any more."""
        self._free[kind].append(block)


class _Loan:
    """A block in use. It goes back with the last array that lies in it, or is freed."""

    def __init__(self, memory: GraphMemory, kind: tuple[int, int], block: Any) -> None:
        self._memory, self._kind, self._block = weakref.ref(memory), kind, block

    def __del__(self) -> None:
        memory = self._memory()
        if memory is not None:
            memory.put_back(self._kind, self._block)
