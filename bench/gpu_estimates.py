"""What else a step of the book's network could cost: computed by the rules of ``gpu_roofline.py``.

Other libraries: their kernels, at the floor of a launch each, one after the other; the products at
0.9 of the peak rate, spread over all multiprocessors as if they divided evenly; and every array
between two kernels at the rate of the device's memory. That is less than they will take.

One persistent kernel for many steps: the same work as in our three kernels, with two barriers of
the grid where there are three launches.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.backends.cupy.crossing import PEAK
from peak_rates import DEVICES, LAUNCH, Device

N, D, H, C = 100, 784, 50, 10

BARRIER = LAUNCH * 0.73 / 0.83
"""Microseconds of a barrier of the grid. On an RTX 3090 82 blocks took 0.73 us for ``grid.sync()``
and 0.83 for a kernel of a graph (Infatoshi/MegaQwen, experiments/RESULTS.md): so everywhere."""

TILES = 16 * 1024
"""Bytes of shared memory that a persistent block has besides W1: tiles of x and of dout."""

SHARED_KIB = {"T4": 64, "A100": 163, "H100": 227}
"""That a block can have (CUDA C++ Programming Guide, technical specifications)."""


@dataclass(frozen=True)
class Way:
    """A library's step.

    Attributes
    ----------
    name : str
        The library, and how it is called.
    kernels : int
        Of a step, one after the other.
    products : float
        Multiply-adds, at `itemsize`.
    moved : float
        Bytes of arrays between kernels, written or read.
    tensor_cores : bool
        Whether the products are those of float16.
    """

    name: str
    kernels: int
    products: float
    moved: float
    tensor_cores: bool = False


def _moved(n: int, width: int, itemsize: int) -> float:
    """Give the bytes of a step op by op.

    The batch gathered and read twice, the weights read twice and written, their gradient written
    and read; the hidden layer and its gradient four times each.
    """
    return itemsize * (3 * n * D + 5 * D * width + 8 * n * width)


PRODUCTS = N * (2 * D * H + 3 * H * C)
WAYS = (
    Way("PyTorch, a CUDA graph", 18, PRODUCTS, _moved(N, H, 4)),
    Way("JAX, `scan`", 15, PRODUCTS, _moved(N, H, 4)),
    Way("tiny-cuda-nn, fully fused", 7, 256 * (2 * D * 64 + 3 * 64 * 16), _moved(256, 64, 2), True),
)
TENSOR = {"T4": 65.0, "A100": 312.0, "H100": 989.0}
"""TFLOPS of float16 on tensor cores (the data sheets)."""


def can_run(way: Way, device: Device) -> bool:
    """Whether it runs there: tiny-cuda-nn has the first layer's weights in shared memory."""
    return not way.tensor_cores or SHARED_KIB[device.name] * 1024 >= 2 * 64 * (D + 8)


def of_library(way: Way, device: Device) -> tuple[float, float]:
    """Give the microseconds of a step's launches, and of its work."""
    rate = TENSOR[device.name] if way.tensor_cores else device.float32
    work = 2 * way.products / (PEAK * rate * 1e6) + way.moved / (device.bandwidth * 1e3)
    return way.kernels * LAUNCH, work


def of_persistent(
    device: Device, work: float, splits: int, hidden: int = H, batch: int = N
) -> tuple[float, float, float, int]:
    """Give a persistent kernel's barriers, its work, what more it moves, and bytes of W1 a block.

    W1 stays in shared memory, so a block keeps rows of it: it has a slice of the features, and the
    forward product as many parts as there are blocks, written and read by all of them.
    """
    blocks = device.multiprocessors
    more = 2 * 4 * batch * hidden * max(0, blocks - splits) / (device.bandwidth * 1e3)
    rows = -(-D // blocks)
    return 2 * BARRIER, work, more, rows * hidden * 4


def tables(work: dict[str, float], splits: dict[str, int]) -> str:
    """Make the tables of docs/gpu.md from the work of our kernels on each device."""
    names = [device.name for device in DEVICES]
    lines = [f"| microseconds | kernels | {' | '.join(names)} |", "|---|---|---|---|---|"]
    ours = [f"{3 * LAUNCH + work[name]:.1f}" for name in names]
    lines.append(f"| fastnn, fused | 3 | {' | '.join(ours)} |")
    for way in WAYS:
        times = [
            f"{sum(of_library(way, device)):.1f}" if can_run(way, device) else "does not fit"
            for device in DEVICES
        ]
        lines.append(f"| {way.name} | {way.kernels} | {' | '.join(times)} |")
    lines += ["", "| microseconds | launches or barriers | work | more parts | step | W1 a block |"]
    lines.append("|---|---|---|---|---|---|")
    for device in DEVICES:
        graph = 3 * LAUNCH
        some = work[device.name]
        lines.append(
            f"| {device.name}, three kernels of a graph | {graph:.1f} | {some:.1f} | | "
            f"{graph + some:.1f} | |"
        )
        waits, some, more, kept = of_persistent(device, some, splits[device.name])
        lines.append(
            f"| {device.name}, one persistent kernel | {waits:.1f} | {some:.1f} | {more:.1f} | "
            f"{waits + some + more:.1f} | {kept / 1024:.1f} KiB |"
        )
    lines += ["", "| W1 a block, and parts of a step | T4 | A100 | H100 |", "|---|---|---|---|"]
    for hidden, batch in ((50, 100), (512, 128), (2048, 512)):
        cells = []
        for device in DEVICES:
            kept = of_persistent(device, 0, 0, hidden, batch)[3]
            fits = kept + TILES <= SHARED_KIB[device.name] * 1024
            parts = device.multiprocessors * batch * hidden * 4 / 1e6
            said = f"{kept / 1024:.0f} KiB" if fits else f"{kept / 1024:.0f} KiB, too much"
            cells.append(f"{said}, {parts:.1f} MB")
        lines.append(f"| 784-{hidden}-10, batch {batch} | {' | '.join(cells)} |")
    return "\n".join(lines)
