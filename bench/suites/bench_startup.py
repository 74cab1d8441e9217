"""What a person waits for before the first result: imports, kernels that are not compiled yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CPU_BACKENDS = ["numpy", "numba"]

FIRST_STEP = """
import numpy as np, fastnn
network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
x, t = np.full((100, 784), 0.5, "float32"), np.arange(100) % 10
fastnn.fit(network, x, t, batch_size=100, progress=False)
"""


def run(code: str, **environment: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, check=True, env={**os.environ, **environment})


@pytest.mark.parametrize("code", ["pass", "import numpy", "import fastnn"])
def test_import(code: str, benchmark: Any) -> None:
    """The aim for fastnn is less than twice NumPy's time, the interpreter's own included."""
    benchmark.group = "import, as a process"
    rounds = 1 if benchmark.disabled else 15
    benchmark.pedantic(run, args=(code,), rounds=rounds, warmup_rounds=rounds > 1)


@pytest.mark.parametrize("name", CPU_BACKENDS)
def test_first_step_with_cached_kernels(name: str, benchmark: Any) -> None:
    """From the start of the process to the end of the first training step. Aim: under 1 s."""
    benchmark.group = "first step, kernels cached"
    rounds = 1 if benchmark.disabled else 5
    benchmark.pedantic(
        run, (FIRST_STEP,), {"FASTNN_BACKEND": name}, rounds=rounds, warmup_rounds=rounds > 1
    )


@pytest.mark.parametrize("name", CPU_BACKENDS)
def test_first_step_ever(name: str, benchmark: Any, tmp_path: Path, quick: bool) -> None:
    """The same, nothing compiled yet: Numba's cache is an empty directory. Aim: under 15 s."""
    if quick and name == "numba":
        pytest.skip("compiling takes long, and the cached first step has done the same")
    benchmark.group = "first step ever, kernels compiled"
    caches = (str(tmp_path / str(number)) for number in range(100))

    def empty_cache() -> tuple[tuple[str], dict[str, str]]:
        return (FIRST_STEP,), {"FASTNN_BACKEND": name, "NUMBA_CACHE_DIR": next(caches)}

    benchmark.pedantic(run, setup=empty_cache, rounds=1 if quick else 3)
