"""Which device, driver, clocks and libraries the figures are of."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.cupy.crossing import Rates, computed
from fastnn.backends.cupy.measured import identity
from first_hour.extent import Extent
from machine import describe_machine
from simulated import is_simulated

QUESTIONS = (
    "name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem",
    "power.limit", "persistence_mode", "compute_mode", "mig.mode.current", "temperature.gpu",
)  # fmt: skip


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Ask CuPy, the driver and the machine."""
    reason = CupyBackend.unavailable_reason()
    if reason is not None:
        raise SystemExit(f"CuPy cannot run here: {reason}")

    import cupy

    device = cupy.cuda.Device()
    rates = Rates.of(device)
    yield "simulated", is_simulated(device)
    yield "identity", identity(device)
    yield "clock in MHz", rates.clock / 1e6
    yield "memory in GB/s", rates.bandwidth / 1e9
    yield "computed crossing", computed(rates).__dict__
    yield "NVRTC", ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
    yield "runtime", cupy.cuda.runtime.runtimeGetVersion()
    yield "nvidia-smi", _asked()
    yield "machine", describe_machine()


def _asked() -> dict[str, str] | str:
    if shutil.which("nvidia-smi") is None:
        return "SKIPPED: nvidia-smi is not there"
    command = ["nvidia-smi", f"--query-gpu={','.join(QUESTIONS)}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    if done.returncode:
        return f"FAILED: {(done.stdout + done.stderr).strip()}"
    return dict(zip(QUESTIONS, done.stdout.splitlines()[0].split(", "), strict=False))
