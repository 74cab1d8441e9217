"""Whole processes, from start to end: the book's scripts and fastnn's, imports, first steps."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pinning import pinned

BOOK = Path(__file__).parent / "book" / "run.py"
EXAMPLES = Path(__file__).parent.parent / "examples"
CPU_BACKENDS = ("numpy", "numba")

SCRIPTS = {
    "gradient check": EXAMPLES / "gradient_check.py",
    "training, own loop": EXAMPLES / "train.py",
    "training, fit": EXAMPLES / "train_with_fit.py",
}

FIRST_STEP = """
import numpy as np, fastnn
network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
x, t = np.full((100, 784), 0.5, "float32"), np.arange(100) % 10
fastnn.fit(network, x, t, batch_size=100, progress=False)
"""
"""One step on one batch, and the end of the process."""

TRAIN = "from fastnn.cli import main; main()"
"""The command `fastnn`, by the interpreter that runs this."""


@dataclass(frozen=True)
class Command:
    """What the Python interpreter is started with.

    Attributes
    ----------
    arguments : tuple
        ``(script, ...)`` or ``("-c", code, ...)``.
    backend : str
        Which fastnn uses.
    cold : bool
        Whether no kernel is compiled yet: Numba's cache is an empty directory.
    """

    arguments: tuple[str | Path, ...]
    backend: str = "numpy"
    cold: bool = False

    def run(self, threads: int) -> float:
        """Run to the end, and give the seconds that took."""
        with tempfile.TemporaryDirectory() as directory:
            environment = {"FASTNN_BACKEND": self.backend}
            environment["PYTHONDONTWRITEBYTECODE"] = ""  # a user's interpreter keeps bytecode
            if self.cold:
                environment["NUMBA_CACHE_DIR"] = directory
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-W", "ignore", *map(str, self.arguments)],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if self.cold else None,  # it says that it compiles
                cwd=directory,
                **pinned(threads, **environment),
            )
            return time.perf_counter() - started


def first_step(backend: str, cold: bool = False) -> Command:
    """From the start of a process to the end of its first training step."""
    return Command(("-c", FIRST_STEP), backend, cold)


def train_command(backend: str, cold: bool = False) -> Command:
    """``fastnn train`` for one epoch, with all that it writes."""
    return Command(("-c", TRAIN, "train", "--epochs", "1", "--no-progress"), backend, cold)


def _with_book(*names: str) -> dict[str, Command]:
    commands = {"the book's": Command((BOOK, SCRIPTS[names[0]]))}
    for name in names:
        for backend in CPU_BACKENDS:
            commands[f"{name}, {backend}"] = Command((SCRIPTS[name],), backend)
    return commands


RACES: dict[str, dict[str, Command]] = {
    "gradient check": _with_book("gradient check"),
    "training, 10,000 steps": _with_book("training, own loop", "training, fit"),
    "import": {
        "import numpy": Command(("-c", "import numpy")),
        "import fastnn": Command(("-c", "import fastnn")),
    },
    "first step": {
        "numpy": first_step("numpy"),
        "numba, kernels cached": first_step("numba"),
        "numba, nothing compiled": first_step("numba", cold=True),
    },
    "fastnn train --epochs 1": {
        "numpy": train_command("numpy"),
        "numba, kernels cached": train_command("numba"),
        "numba, nothing compiled": train_command("numba", cold=True),
    },
}
"""By race the contestants; the first of each is what the others are compared with."""


def race_scripts(
    threads: int, rounds: int, say: Callable[[str], object]
) -> dict[str, dict[str, list[float]]]:
    """Run the contestants of each race by turns, on `threads` cores.

    A first turn, not counted, fills the caches: bytecode, compiled kernels, files.

    Returns
    -------
    dict
        For each race the seconds of every round, by contestant.
    """
    results: dict[str, dict[str, list[float]]] = {}
    for race, commands in RACES.items():
        seconds: dict[str, list[float]] = {contestant: [] for contestant in commands}
        for turn in range(rounds + 1):
            for contestant, command in commands.items():
                taken = command.run(threads)
                if turn > 0:
                    seconds[contestant].append(taken)
        for contestant, each in seconds.items():
            say(f"{race}: {contestant}: {median(each):.2f} s")
        results[race] = seconds
    return results
