"""Samples of arrays of the host, gathered into buffers by a few threads.

`numpy.take` with ``mode="clip"`` writes to its ``out`` directly, where indexing makes an array of
its own first, and ``mode="raise"`` a copy of `out`; and it lets other threads run meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from fastnn.backends.sparse_rows import SparseRows
from fastnn.chunks import chunks
from fastnn.errors import TrainingWarning
from fastnn.system.standard_streams import warn
from fastnn.threads import get_num_threads

HostArray = np.ndarray[Any, Any]

MOST_THREADS = 4
"""They share the host's memory, which a few of them keep busy, with whoever else computes there."""

GATHER_BYTES = 1 << 20
"""Gathered between two checks whether to stop: far less than a tenth of a second of work."""


class GatheringThreads:
    """A few threads, or none where the system starts none.

    Attributes
    ----------
    count : int
        How many there are.
    """

    def __init__(self, most: int) -> None:
        # Each has a queue of its own: where one cannot be started its work is known to be left.
        count = min(most, MOST_THREADS, get_num_threads())
        self._threads = [ThreadPoolExecutor(1, "fastnn-feed") for _ in range(count)]

    @property
    def count(self) -> int:
        """See the class."""
        return len(self._threads)

    def gather(
        self,
        pairs: Sequence[tuple[HostArray, HostArray]],
        samples: HostArray,
        stop: Callable[[], bool],
    ) -> list[Future[None]]:
        """Begin to fill the leading rows of buffers with samples of arrays, unless stopped.

        Parameters
        ----------
        pairs : sequence of (array (K, ...), array (N or more, ...))
            What to gather from, and the buffer for it, of the dtype that is wanted.
        samples : array (N,), int64
            From 0 to K - 1.
        stop : callable
            Asked again and again, in the threads, whether to stop.

        Returns
        -------
        list of Future
            All is there when these are done. One has an IndexError if a sample is out of range.
        """
        pieces = [
            (source, buffer[some], samples[some])
            for source, buffer in pairs
            for some in chunks(len(samples), max(1, GATHER_BYTES // buffer[:1].nbytes))
        ]
        shares = max(1, self.count)
        return [self._begin(i, partial(_gather, pieces[i::shares], stop)) for i in range(shares)]

    def _begin(self, share: int, work: Callable[[], None]) -> Future[None]:
        """Give work to a thread, or do it here if there is none."""
        while self._threads:
            thread = self._threads[share % self.count]
            try:
                return thread.submit(work)
            except RuntimeError as error:  # the system has no more threads
                self._threads.remove(thread)
                if not self._threads:
                    _warn_of_gathering_here(error)
        return _done_here(work)

    def end(self) -> None:
        """Wait until all that was begun is over, whatever happens meanwhile."""
        with contextlib.ExitStack() as all_of_them:
            for thread in self._threads:
                all_of_them.callback(thread.shutdown)


def _gather(pieces: Sequence[tuple[HostArray, ...]], stop: Callable[[], bool]) -> None:
    for piece in pieces:
        if stop():
            return
        gather_rows(*piece)


def gather_rows(source: HostArray | SparseRows, out: HostArray, rows: HostArray) -> None:
    """Write ``source[rows]`` to `out`, cast.

    Raises
    ------
    IndexError
        If a row is negative, or not there: `numpy.take` would clip it.
    """
    if rows.min() < 0 or rows.max() >= len(source):
        raise IndexError(
            f"rows {rows.min()} to {rows.max()} are asked of an array of {len(source)} rows"
        )
    if isinstance(source, np.ndarray) and _is_taken_in_place(source, out):
        np.take(source, rows, axis=0, out=out, mode="clip")
    else:
        out[...] = source[rows]


def _is_taken_in_place(source: HostArray, out: HostArray) -> bool:
    """Whether `numpy.take` copies rows alone: any other array it would copy as a whole before."""
    return source.dtype == out.dtype and source.flags.c_contiguous and source.flags.aligned


def _done_here(work: Callable[[], None]) -> Future[None]:
    done: Future[None] = Future()
    try:
        work()
        done.set_result(None)
    except Exception as error:
        done.set_exception(error)
    return done


def _warn_of_gathering_here(error: RuntimeError) -> None:
    warn(
        f"no thread could be started ({error}) to gather the next samples while the device trains: "
        "training goes on, and the device waits for them. Results are the same",
        TrainingWarning,
    )
