"""What a barrier of the grid costs, of which a persistent kernel would need two a step."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from cuda_clock import CudaClock
from first_hour.extent import Extent

SOURCE = r"""
#include <cooperative_groups.h>
extern "C" __global__ void meet(int times) {
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    for (int i = 0; i < times; i++) grid.sync();
}
"""


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Have one block of each multiprocessor meet often; the slope is the time of one barrier."""
    import cupy

    meet = cupy.RawKernel(SOURCE, "meet", enable_cooperative_groups=True)
    blocks = cupy.cuda.Device().attributes["MultiProcessorCount"]
    few, many = max(1, extent.nodes // 8), extent.nodes
    for threads in (32, 128, 512):
        times = {}
        for count in (few, many):
            some = []
            for _ in range(1 + extent.rounds):  # the first compiles
                clock = CudaClock()
                meet((blocks,), (threads,), (count,))
                some.append(1e6 * clock.seconds())
            times[count] = median(some[1:])
        yield (
            f"us for {blocks} blocks of {threads} threads",
            (times[many] - times[few]) / (many - few),
        )
