"""What a person waits for before the first result: imports, kernels that are not compiled yet."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import CPU_BACKENDS, Command, first_step


@pytest.mark.parametrize("code", ["pass", "import numpy", "import fastnn"])
def test_import(code: str, benchmark: Any) -> None:
    """The aim for fastnn is less than twice NumPy's time, the interpreter's own included."""
    benchmark.group = "import, as a process"
    _time(benchmark, Command(("-c", code)), rounds=15)


@pytest.mark.parametrize("name", CPU_BACKENDS)
def test_first_step_with_cached_kernels(name: str, benchmark: Any) -> None:
    """From the start of the process to the end of the first training step. Aim: under 1 s."""
    benchmark.group = "first step"
    _time(benchmark, first_step(name), rounds=5)


def test_first_step_ever(benchmark: Any, quick: bool) -> None:
    """The same on Numba with nothing compiled. Aim: under 15 s."""
    if quick:
        pytest.skip("compiling takes too long for the quick mode")
    benchmark.group = "first step"
    benchmark.pedantic(first_step("numba", cold=True).run, args=(1,), rounds=3)


def _time(benchmark: Any, command: Command, rounds: int) -> None:
    quick = benchmark.disabled
    benchmark.pedantic(
        command.run, args=(1,), rounds=1 if quick else rounds, warmup_rounds=0 if quick else 1
    )
