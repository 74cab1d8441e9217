"""Whole scripts of `examples/`, and the command, as processes from start to end."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import CPU_BACKENDS, SCRIPTS, Command, train_command


@pytest.mark.parametrize("name", CPU_BACKENDS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str, name: str, benchmark: Any, quick: bool) -> None:
    """The first run, not timed, leaves the compiled kernels for the others."""
    if quick and script != "gradient check":
        pytest.skip("10,000 steps take too long for the quick mode")
    benchmark.group = f"{script}, as a process"
    _time(benchmark, Command((SCRIPTS[script],), name))


@pytest.mark.parametrize("name", CPU_BACKENDS)
def test_fastnn_train(name: str, benchmark: Any) -> None:
    """``fastnn train --epochs 1``, kernels cached."""
    benchmark.group = "fastnn train --epochs 1"
    _time(benchmark, train_command(name))


def test_fastnn_train_for_the_first_time(benchmark: Any, quick: bool) -> None:
    """The same with nothing compiled."""
    if quick:
        pytest.skip("compiling takes too long for the quick mode")
    benchmark.group = "fastnn train --epochs 1"
    benchmark.pedantic(train_command("numba", cold=True).run, args=(1,), rounds=3)


def _time(benchmark: Any, command: Command) -> None:
    quick = benchmark.disabled
    rounds, warmup = (1, 0) if quick else (3, 1)
    benchmark.pedantic(command.run, args=(1,), rounds=rounds, warmup_rounds=warmup)
