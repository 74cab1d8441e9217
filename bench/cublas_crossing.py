"""Measures, on the GPU at hand, from which size on cuBLAS is faster than our kernels.

fastnn reads what is measured from the user's directory of caches from then on::

    python bench/cublas_crossing.py
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.cupy.crossing import Crossing
from fastnn.backends.cupy.measured import keep
from fastnn.backends.cupy.runner import STEPS, CupyRunner
from fastnn.backends.selection import use_backend
from fastnn.checks import DTYPES
from fastnn.nn.networks import MultiLayerNet
from fastnn.nn.optimizers import SGD
from fastnn.training.planner import make_plan
from simulated import is_simulated

FEATURES, CLASSES, BATCH = 784, 10, 256
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
REPEATS = 7


def measure(
    backend: CupyBackend,
    widths: Sequence[int] = WIDTHS,
    batch: int = BATCH,
    repeats: int = REPEATS,
) -> Crossing:
    """Time steps of ever wider networks both ways, one way beside the other.

    Parameters
    ----------
    backend : CupyBackend
        On a real device: the times of a simulated one say nothing.
    widths : sequence of int, optional
        Hidden units to try, in growing order.
    batch : int, optional
        Samples of a step.
    repeats : int, optional
        How often each way is timed; the medians count.

    Returns
    -------
    Crossing
        Multiply-adds halfway, on a logarithmic scale, between the last width where our kernels win
        and the next one; where they win or lose throughout, the largest or smallest that was tried.
    """
    with backend.current():
        limits = {dtype: _crossing(backend, dtype, widths, batch, repeats) for dtype in DTYPES}
    return Crossing(limits["float32"], limits["float64"], f"measured on {datetime.date.today()}")


def _crossing(
    backend: CupyBackend, dtype: str, widths: Sequence[int], batch: int, repeats: int
) -> int:
    won = 0
    for width in widths:
        multiply_adds = batch * width * (FEATURES + CLASSES)
        ours, cublas = _seconds_of_a_step(backend, dtype, width, batch, repeats)
        if cublas < ours:
            return int(math.sqrt(won * multiply_adds)) if won else multiply_adds
        won = multiply_adds
    return won


def _seconds_of_a_step(
    backend: CupyBackend, dtype: str, width: int, batch: int, repeats: int
) -> tuple[float, float]:
    """Give the medians for our kernels and for cuBLAS, measured in turn."""
    decided = backend.products.crossing
    runners = []
    try:
        for limit in (2**62, 0):
            backend.products.crossing = Crossing(limit, limit, "to be measured")
            runners.append(_runner(backend, dtype, width, batch))
            _time(backend, runners[-1], batch)
        times: list[list[float]] = [[], []]
        for _ in range(repeats):
            for i, limit in enumerate((2**62, 0)):
                backend.products.crossing = Crossing(limit, limit, "to be measured")
                times[i].append(_time(backend, runners[i], batch))
    finally:
        backend.products.crossing = decided
    ours, cublas = (float(np.median(some)) for some in times)
    return ours, cublas


def _runner(backend: CupyBackend, dtype: str, width: int, batch: int) -> CupyRunner:
    generator = np.random.default_rng(0)
    with use_backend(backend):
        network = MultiLayerNet(FEATURES, [width], CLASSES, dtype=dtype, seed=0)
    x = backend.asarray(generator.integers(0, 256, (4 * batch, FEATURES)).astype("uint8"))
    t = backend.asarray(generator.integers(0, CLASSES, 4 * batch))
    return backend.compile(make_plan(network, x, t, SGD(1e-6), batch))


def _time(backend: CupyBackend, runner: CupyRunner, batch: int) -> float:
    """Time some steps with CUDA events; where the host is late with a launch, that counts."""
    import cupy

    generator = np.random.default_rng(1)
    rows: Any = backend.asarray(generator.integers(0, 4 * batch, (STEPS, batch)))
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    runner.run(rows, {"lr": 1e-6})
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end)) / 1e3 / STEPS


def main() -> None:
    """Measure, print and keep it."""
    backend = CupyBackend()
    crossing = measure(backend)
    print(crossing)
    if is_simulated(backend.device):
        print("Not kept: the device is a simulated one, whose times say nothing.")
    else:
        print(f"kept in {keep(backend.device, crossing)}")


if __name__ == "__main__":
    main()
