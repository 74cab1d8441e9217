"""Kernels in a process of their own, which a wrong address or a setting of Numba may end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from numba.core.registry import cpu_target

_FEATURES = [f"+{name}" for name in ("sse4.2", "popcnt", "avx", "avx2", "bmi", "bmi2", "fma")]
_HERE = str(cpu_target.target_context.codegen().magic_tuple())
HAS_AVX2 = all(feature in _HERE for feature in _FEATURES)
NARROWER = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ",".join(_FEATURES)}
"""Settings with which a host with AVX-512 compiles for AVX2."""


def run_script(script: Path, *arguments: str, **environment: str) -> None:
    """Run a script of the tests, which says "done" where nothing was wrong."""
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": root, **environment},
        capture_output=True, text=True, timeout=5400, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "done"
