"""Time by the device's own clock of what a graph holds."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from cuda_clock import CudaClock
from fastnn.backends.cupy.graph import capture, stream_for_captures


def microseconds_of_graph(work: Callable[[], object], rounds: int) -> float:
    """Capture what `work` queues, and give the median time of a replay."""
    graph = capture(work, stream_for_captures())
    graph.launch()
    times = []
    for _ in range(rounds):
        clock = CudaClock()
        graph.launch()
        times.append(1e6 * clock.seconds())
    return median(times)
