"""Random networks against plain float64, and their bits whatever the number of threads."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from random_networks import case, check_case

import fastnn
from fastnn import threads

COUNTS = (1, 2, 3, 5, 8, 13)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_random_networks_against_float64(name: str) -> None:
    with fastnn.use_backend(name, strict=True):
        compared = [check_case(seed) for seed in range(30)]
    assert sum(count > 0 for count in compared) > 25


def check_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training on Numba gives the same bits with any number of threads."""
    from fastnn.backends.numba import runner as numba_runner

    monkeypatch.setattr(numba_runner, "OPERATIONS_OF_A_THREAD", 1e-9)
    monkeypatch.setattr(numba_runner, "INPUTS_OF_A_THREAD", 1e-9)
    results = []
    for count in COUNTS:
        monkeypatch.setattr(threads, "_chosen", count)
        with fastnn.use_backend("numba"):
            losses, network = case(seed).fit()
        results.append([losses, *(array.tobytes() for array in network.params.values())])
    assert all(result == results[0] for result in results), seed


def test_the_bits_of_random_networks_do_not_depend_on_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("numba")
    for seed in range(6):
        check_bits(seed, monkeypatch)


def check_flat(count: int) -> None:
    """Train many networks: memory, open files and threads stay what they are after the first."""
    made = [case(seed) for seed in range(25)]

    def train(times: int) -> tuple[int, int, int]:
        for number in range(times):
            made[number % len(made)].fit()
        gc.collect()
        process = Path("/proc/self")
        pages = int((process / "statm").read_text().split()[1])
        files, running = (len(list((process / name).iterdir())) for name in ("fd", "task"))
        return pages * os.sysconf("SC_PAGE_SIZE"), files, running

    with fastnn.use_backend("numba"):
        train(3 * len(made))
        memory_before, *before = train(len(made))
        memory, *after = train(count)
    assert after == before
    assert memory - memory_before < 16e6, f"{(memory - memory_before) / count} bytes a training"


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here")
def test_memory_and_open_files_stay_flat() -> None:
    pytest.importorskip("numba")
    check_flat(100)
