"""What holds for every random network."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

import fastnn
from fastnn import threads
from tests.helpers.random_networks import case

COUNTS = (1, 2, 3, 5, 8, 13)


def check_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training on Numba gives the same bits with any number of threads."""
    from fastnn.backends.numba import compression
    from fastnn.backends.numba import runner as numba_runner

    monkeypatch.setattr(numba_runner, "OPERATIONS_OF_A_THREAD", 1e-9)
    monkeypatch.setattr(compression, "INPUTS_OF_A_THREAD", 1e-9)
    results = []
    for count in COUNTS:
        monkeypatch.setattr(threads, "_chosen", count)
        with fastnn.use_backend("numba"):
            losses, network = case(seed).fit()
        results.append([losses, *(array.tobytes() for array in network.params.values())])
    assert all(result == results[0] for result in results), seed


def check_flat(count: int, seeds: Iterable[int]) -> None:
    """Train many networks: memory, open files and threads stay what they are after the first."""
    made = [case(seed) for seed in seeds]

    def train(times: int) -> tuple[int, int, int]:
        for number in range(times):
            made[number % len(made)].fit()
        gc.collect()
        process = Path("/proc/self")
        pages = int((process / "statm").read_text("utf-8").split()[1])
        files, running = (len(list((process / name).iterdir())) for name in ("fd", "task"))
        return pages * os.sysconf("SC_PAGE_SIZE"), files, running

    with fastnn.use_backend("numba"):
        train(3 * len(made))
        memory_before, *before = train(len(made))
        memory, *after = train(count)
    assert after == before
    assert memory - memory_before < 16e6, f"{(memory - memory_before) / count} bytes a training"
