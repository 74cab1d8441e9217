"""Published peak rates of the devices that the estimates of docs/gpu.md are for."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.backends.cupy import crossing

LAUNCH = 1e6 * crossing.LAUNCH
"""Microseconds from a kernel of a graph to the next."""


@dataclass(frozen=True)
class Device:
    """Published peak rates."""

    name: str
    multiprocessors: int
    clock: float  # GHz, boost
    float32: float  # TFLOPS, without tensor cores
    bandwidth: float  # GB/s


DEVICES = (
    Device("T4", 40, 1.59, 8.1, 320),
    Device("A100", 108, 1.41, 19.5, 1555),
    Device("H100", 132, 1.98, 67, 3350),
)
