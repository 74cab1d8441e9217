"""What a kernel costs that does nothing: the floor under every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from first_hour.extent import Extent
from first_hour.timing import microseconds_of_graph

SOURCE = 'extern "C" __global__ void nothing() {}'


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Time graphs of empty kernels, one behind the other; the slope is the floor of one."""
    import cupy

    nothing = cupy.RawKernel(SOURCE, "nothing")
    few, many = max(1, extent.nodes // 8), extent.nodes
    for blocks in (1, cupy.cuda.Device().attributes["MultiProcessorCount"]):
        times = []
        for nodes in (few, many):

            def work(nodes: int = nodes, blocks: int = blocks) -> None:
                for _ in range(nodes):
                    nothing((blocks,), (128,), ())

            times.append(microseconds_of_graph(work, extent.rounds))
        yield f"us a kernel of {blocks} blocks", (times[1] - times[0]) / (many - few)
        yield f"us a graph of {few} of them", times[0]
