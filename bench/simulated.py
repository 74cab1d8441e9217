"""Whether a CUDA device is one: a simulated one computes on a CPU, and its times say nothing."""

from __future__ import annotations

from typing import Any


def is_simulated(device: Any) -> bool:
    """Say so of a ``cupy.cuda.Device``. Simulators name themselves as such."""
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
    return "simulated" in name.lower()
