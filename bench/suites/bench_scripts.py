"""Whole scripts of `examples/` as processes, from start to end."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import SCRIPTS, run_script


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str, name: str, benchmark: Any, quick: bool) -> None:
    """The first run, not timed, leaves the compiled kernels for the others."""
    if quick and script != "gradient check":
        pytest.skip("10,000 steps take too long for the quick mode")
    benchmark.group = f"{script}, as a process"
    benchmark.pedantic(
        run_script,
        args=([SCRIPTS[script]], name, 1),
        rounds=1 if quick else 3,
        warmup_rounds=0 if quick else 1,
    )
