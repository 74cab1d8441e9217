"""How fast a data set is streamed that does not fit into the device's memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from cuda_clock import CudaClock
from fastnn.backends.cupy.backend import CupyBackend
from first_hour.extent import Extent


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Stream it in the order of an epoch, with nothing to train; and copy pinned memory alone."""
    backend = CupyBackend()
    generator = np.random.default_rng(0)
    t = generator.integers(0, 10, extent.samples)
    for dtype in ("uint8", "float32"):
        x = np.ones((extent.samples, 784), dtype)
        feed = backend.feed(x, t, dtype, 100)
        order = generator.permutation(extent.samples)
        rates = []
        for _ in range(2):  # the first touches memory for the first time
            began = time.perf_counter()
            for _rows in feed.chunks(order, lambda: False):
                pass
            backend.synchronize()
            rates.append((x.nbytes + t.nbytes) / (time.perf_counter() - began) / 1e9)
        yield f"{dtype}, GB/s", rates[-1]
        del feed, x
    yield "pinned memory to the device, GB/s", _copied(1 << 26)


def _copied(size: int) -> float:
    import cupy
    import cupyx

    host, device = cupyx.zeros_pinned(size, "uint8"), cupy.empty(size, "uint8")
    device.set(host)
    clock = CudaClock()
    device.set(host)
    return size / clock.seconds() / 1e9
