"""How long each kernel of a fused step takes, by CUDA events around a graph of nothing else.

The floor of a launch is in it. A kernel that is launched again and again finds its data in the
caches, as it mostly does in a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.cupy.launch import Launch
from first_hour.extent import Extent
from first_hour.networks import name_of, rows_of, runner_of
from first_hour.timing import microseconds_of_graph


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Take a step apart, for each network and batch."""
    backend = CupyBackend()
    backend.products.by_cublas = lambda *_: False  # type: ignore[method-assign]
    for batch in extent.batches:
        for sizes in extent.networks:
            yield f"{name_of(sizes)}, batch {batch}, us", _times(backend, sizes, batch, extent)


def _times(
    backend: CupyBackend, sizes: Sequence[int], batch: int, extent: Extent
) -> dict[str, float]:
    """Time the kernels one by one. Launched alone they stay at one of the first steps."""
    step = runner_of(backend, sizes, batch).step
    rows, losses = rows_of(backend, batch, 8), backend.empty((8,), "float32")
    step.begin(rows, losses, {"lr": 1e-6})
    step.launch(batch)
    repeats = max(1, extent.nodes // 10)
    times = {}
    for number, launch in enumerate(step.launches, 1):

        def work(launch: Launch = launch) -> None:
            for _ in range(repeats):
                launch(N=batch)

        name = type(getattr(launch, "func", launch)).__name__
        times[f"{number} {name}"] = microseconds_of_graph(work, extent.rounds) / repeats
    backend.synchronize()
    return times
