"""Whole scripts as processes, from start to end: those of `examples/`, and training with `fit`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts import SCRIPTS

QUICK_STEPS = "20"


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str, name: str, benchmark: Any, quick: bool) -> None:
    """Each runs to its end; the first run, not timed, finds the kernels compiled for the next."""
    benchmark.group = f"{script}, as a process"
    rounds = 1 if quick else 3

    def run() -> None:
        command = [sys.executable, "-W", "ignore", str(SCRIPTS[script])]
        environment = {**os.environ, "FASTNN_BACKEND": name}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)

    benchmark.pedantic(run, rounds=rounds, warmup_rounds=0 if quick else 1)
