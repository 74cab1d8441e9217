"""How fast samples of the host are gathered for a GPU: by indexing, and by fastnn's threads.

No GPU is needed. One way beside the other, over and over; the medians count. What one thread gains
over indexing is told in processor time, which others on the machine disturb less::

    python bench/gathering.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastnn.backends.cupy import gathering
from fastnn.backends.cupy.gathering import MOST_THREADS, GatheringThreads
from fastnn.backends.cupy.streaming import CHUNK_BYTES
from fastnn.chunks import chunks

FEATURES = 784
DATA_SETS = (("uint8", 60_000), ("float32", 60_000), ("float32", 400_000))
REPEATS = 9

Array = np.ndarray[Any, Any]


def by_indexing(x: Array, buffer: Array, rows: Array) -> None:
    """Gather pieces of the same size, in one thread."""
    for some in chunks(len(rows), max(1, gathering.GATHER_BYTES // buffer[:1].nbytes)):
        buffer[some] = x[rows[some]]


def by_threads(threads: GatheringThreads, x: Array, buffer: Array, rows: Array) -> None:
    """Gather as `fit` does."""
    for done in threads.gather([(x, buffer)], rows, lambda: False):
        done.result()


def measure(samples: int, dtype: str, repeats: int = REPEATS) -> tuple[dict[str, float], float]:
    """Time each way on chunks of a data set of so many samples.

    Returns
    -------
    rates : dict of str to float
        Gigabytes a second of each way.
    gain : float
        Processor time of indexing over that of one thread: the median of the rounds' ratios.
    """
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (samples, FEATURES), "uint8").astype(dtype)
    buffer = np.empty((min(samples, CHUNK_BYTES // x[:1].nbytes), FEATURES), dtype)
    teams = {most: GatheringThreads(most) for most in range(1, MOST_THREADS + 1)}
    ways: dict[str, Callable[[Array, Array, Array], None]] = {"indexing": by_indexing}
    for team in teams.values():
        ways[f"{team.count} threads" if team.count > 1 else "1 thread"] = partial(by_threads, team)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        rows = rng.permutation(samples)[: len(buffer)]
        for name, gather in ways.items():
            began, worked = time.perf_counter(), time.process_time()
            gather(x, buffer, rows)
            work[name].append(time.process_time() - worked)
            seconds[name].append(time.perf_counter() - began)
    for team in teams.values():
        team.end()
    rates = {name: buffer.nbytes / statistics.median(each) / 1e9 for name, each in seconds.items()}
    pairs = zip(work["indexing"], work["1 thread"], strict=True)
    return rates, statistics.median(indexed / taken for indexed, taken in pairs)


def main() -> None:
    """Print a line for each data set."""
    for dtype, samples in DATA_SETS:
        found, gain = measure(samples, dtype)
        told = ", ".join(f"{name} {rate:.1f} GB/s" for name, rate in found.items())
        print(f"{samples:,} x {FEATURES} {dtype}: {told}; one thread {gain:.1f} times indexing")


if __name__ == "__main__":
    main()
