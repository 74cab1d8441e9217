"""The axes of every suite (backend, dtype, workload), and how a call is timed on any of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastnn
from cuda_clock import CudaClock
from fastnn.backends import Backend, selection
from workload import SIZES, Workload

BACKENDS = ["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)]
CUDA_CALLS = 20
"""Calls between two CUDA events."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend that can run here, active."""
    try:
        chosen = selection.load_backend(request.param)
    except fastnn.BackendUnavailableError as error:
        pytest.skip(str(error))
    with fastnn.use_backend(chosen):
        yield chosen


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SIZES)
def workload(request: pytest.FixtureRequest, dtype: str) -> Workload:
    return dataclasses.replace(SIZES[request.param], dtype=dtype)


@pytest.fixture
def network(backend: Backend, workload: Workload) -> fastnn.TwoLayerNet:
    """The workload's network, at its initial weights."""
    network = fastnn.TwoLayerNet(*workload.layers, dtype=workload.dtype)
    for name, array in workload.initial().items():
        network.params[name] = array
    return network


@pytest.fixture
def quick(benchmark: Any) -> bool:
    """Whether nothing is timed, and less data will do."""
    return bool(benchmark.disabled)


Measure = Callable[..., None]


@pytest.fixture
def measure(benchmark: Any, backend: Backend) -> Measure:
    """``measure(group, function, samples)``: time a call until the device is done.

    `samples` is how many samples a call trains on or evaluates.
    """

    def measure(group: str, function: Callable[[], object], samples: int | None = None) -> None:
        benchmark.group = group

        def finished() -> None:
            function()
            backend.synchronize()

        if not benchmark.disabled:
            finished()  # whatever is compiled or allocated at first
        benchmark(finished)
        if benchmark.stats is None:
            return
        if samples is not None:
            benchmark.extra_info["samples_per_second"] = samples / benchmark.stats.stats.median
        if backend.name == "cupy":
            benchmark.extra_info["cuda_seconds"] = _cuda_seconds(function)

    return measure


def _cuda_seconds(function: Callable[[], object]) -> float:
    clock = CudaClock()
    for _ in range(CUDA_CALLS):
        function()
    return clock.seconds() / CUDA_CALLS
