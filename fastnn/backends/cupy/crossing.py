"""From which size on cuBLAS is faster than our kernels: computed, where nobody has measured it.

A training step of two layers takes, one way or the other,

    kernels x LAUNCH  +  its multiply-adds, each at what binds it most.

Ours are three kernels, but bound by shared memory long before arithmetic; cuBLAS's products run
near the peak, but a step has eleven kernels, and its arrays pass through memory between them.
Both are straight lines over the multiply-adds: where they cross, the better way changes. As in the
roofline of docs/gpu.md all global memory counts at the rate of the device's memory, though much of
it comes from the L2 cache. ``bench/cublas_crossing.py`` measures the crossing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.cuda.sizes import WARP

LAUNCH = 1.3e-6
"""Seconds from the end of a kernel of a graph to the beginning of the next, on an H100 (Spector and
others, Look Ma, No Bubbles, hazyresearch.stanford.edu, 2025); taken for every device."""

OUR_KERNELS = 3
CUBLAS_KERNELS = 11
"""Of a step of two layers in a graph: five products, and six around them."""

NEVER = 2**62
"""Multiply-adds that no step has."""

PEAK = 0.9
"""The share of the peak rate that large products reach, ours where nothing else binds them."""

CUBLAS_TILE = 128
"""Rows and columns of a tile of cuBLAS: each of its entries is read once for as many results."""

N, D = 256, 784
"""Samples and features of the step that is computed; its hidden width is what grows."""


@dataclass(frozen=True)
class Counts:
    """What a kernel of ours needs for the multiply-add of a warp, which is 32 of them.

    Counted on a simulated device at 784-512-10, batch 128 (``tests/helpers/gpu_profile.py``).

    Attributes
    ----------
    wavefronts : float
        Of shared memory, one of which a multiprocessor serves in a cycle.
    instructions : float
        All of them, four of which it issues in a cycle.
    bytes : float
        Of global memory, with data in the dtype of the network.
    """

    wavefronts: float
    instructions: float
    bytes: float


COUNTS = {
    "float32": (Counts(0.57, 2.0, 6.8), Counts(1.4, 3.1, 15.4)),
    "float64": (Counts(1.15, 2.2, 13.6), Counts(2.8, 5.1, 29.5)),
}
"""Of ``gather_product`` and ``update_weights``, which have all but a hundredth of the step."""


@dataclass(frozen=True)
class Rates:
    """What a device can do at most.

    Attributes
    ----------
    multiprocessors : int
        Fewer than the model has where the device is shared (MIG).
    clock : float
        Cycles a second.
    bandwidth : float
        Bytes a second of its memory.
    capability : str
        "80" for 8.0, as CuPy writes it.
    """

    multiprocessors: int
    clock: float
    bandwidth: float
    capability: str

    @classmethod
    def of(cls, device: Any) -> Rates:
        """Ask a ``cupy.cuda.Device``. A driver that keeps a rate to itself has that of an A100.

        Of its attributes, not ``getDeviceProperties``, from which CUDA 13 has taken the clocks.
        """
        told = device.attributes
        bits = told.get("GlobalMemoryBusWidth") or 5120
        transfers = 2e3 * (told.get("MemoryClockRate") or 1_215_000)
        clock = 1e3 * (told.get("ClockRate") or 1_410_000)
        capability = str(device.compute_capability)
        return cls(told["MultiProcessorCount"], clock, bits / 8 * transfers, capability)


LANES = {
    "70": (64, 32), "75": (64, 2), "80": (64, 32), "86": (128, 2), "87": (128, 2), "89": (128, 2),
    "90": (128, 64), "100": (128, 64), "103": (128, 2), "110": (128, 2), "120": (128, 2),
}  # fmt: skip
"""Multiply-adds of a multiprocessor in a cycle, in float32 and float64, without tensor cores (CUDA
C++ Programming Guide, throughput of arithmetic instructions)."""

DOUBLE_TENSOR_CORES = ("80", "90")
"""Where those of cuBLAS do float64 at twice the rate (A100 and H100 data sheets)."""


@dataclass(frozen=True)
class Crossing:
    """From how many multiply-adds on cuBLAS is faster than our kernels.

    Attributes
    ----------
    float32, float64 : int
        Multiply-adds of one product, or of all forward products of a step that would be one graph.
    source : str
        "computed", or when and with what it was measured.
    """

    float32: int
    float64: int
    source: str


def computed(rates: Rates) -> Crossing:
    """Compute the crossing for a device; see the module."""
    return Crossing(_multiply_adds(rates, "float32"), _multiply_adds(rates, "float64"), "computed")


def _multiply_adds(rates: Rates, dtype: str) -> int:
    """Give the forward multiply-adds at which the two lines meet.

    The first layer has no gradient by its inputs, so that a multiply-add of the forward pass is
    two of the step.
    """
    itemsize = 4 if dtype == "float32" else 8
    cycle = 1 / (rates.multiprocessors * rates.clock)
    lanes = LANES.get(rates.capability, LANES["120"])[itemsize == 8]
    arithmetic = WARP / lanes / PEAK * cycle

    ours = sum(
        max(
            arithmetic,
            counts.wavefronts * cycle,
            counts.instructions / 4 * cycle,
            counts.bytes / rates.bandwidth,
        )
        for counts in COUNTS[dtype]
    )
    tensor_cores = itemsize == 8 and rates.capability in DOUBLE_TENSOR_CORES
    tiles = 2 * itemsize * WARP / CUBLAS_TILE / rates.bandwidth
    products = 2 * max(arithmetic / (2 if tensor_cores else 1), tiles)

    # Between the kernels of such a step, for each hidden unit: the gradient of its weights is
    # written and read, and its activations and their gradient five times. And once the batch is
    # gathered, and read twice.
    passes = itemsize * (2 * D + 5 * N) / (N * D) * WARP / rates.bandwidth
    gathering = itemsize * 3 * N * D / rates.bandwidth
    more = (CUBLAS_KERNELS - OUR_KERNELS) * LAUNCH + gathering
    less = ours - products - passes
    return round(WARP * more / less) if less > 0 else NEVER
