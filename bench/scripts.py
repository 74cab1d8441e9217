"""Whole scripts, timed as processes from start to end: the book's, and fastnn's in their place."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from pinning import pinned

BOOK = Path(__file__).parent / "book" / "run.py"
EXAMPLES = Path(__file__).parent.parent / "examples"

SCRIPTS = {
    "gradient check": EXAMPLES / "gradient_check.py",
    "training, own loop": EXAMPLES / "train.py",
    "training, fit": EXAMPLES / "train_with_fit.py",
}
RACES = {
    "gradient check": ["gradient check"],
    "training": ["training, own loop", "training, fit"],
}
"""Which of `SCRIPTS` do the same; the book's own code runs the first of them."""

Seconds = dict[str, list[float]]


def race_scripts(
    threads: int, rounds: int, say: Callable[[str], object], backends: tuple[str, ...]
) -> dict[str, Seconds]:
    """Run the book's scripts and fastnn's by turns, each as a process on `threads` cores.

    A first run of each, not counted, fills the caches: bytecode, compiled kernels, files.

    Returns
    -------
    dict
        For each race the seconds of every round, by contestant.
    """
    results: dict[str, Seconds] = {}
    for race, names in RACES.items():
        contestants = {"book": ([BOOK, SCRIPTS[names[0]]], "numpy")}
        for name in names:
            for backend in backends:
                contestants[f"{name}, {backend}"] = ([SCRIPTS[name]], backend)
        seconds: Seconds = {contestant: [] for contestant in contestants}
        for turn in range(rounds + 1):
            for contestant, (script, backend) in contestants.items():
                taken = run_script(script, backend, threads)
                if turn > 0:
                    seconds[contestant].append(taken)
        for contestant, taken_each in seconds.items():
            say(f"{race}: {contestant}: {median(taken_each):.2f} s")
        results[race] = seconds
    return results


def run_script(script: list[Path], backend: str, threads: int) -> float:
    """Run a script, and its arguments, to its end and give the seconds it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, script)],
        check=True,
        stdout=subprocess.DEVNULL,
        **pinned(threads, FASTNN_BACKEND=backend),
    )
    return time.perf_counter() - started
