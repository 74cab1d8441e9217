"""Which networks train as graphs on this device, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.cupy.runner import STEPS
from fastnn.nn.optimizers import SGD, Adam, Momentum
from first_hour.extent import Extent
from first_hour.networks import name_of, rows_of, runner_of


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Train a little of each network, and say how its steps ran."""
    backend = CupyBackend()
    sizes, batch = extent.networks[0], extent.batches[0]
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        *((name_of(some), some, {}) for some in extent.networks),
        ("Momentum", sizes, {"optimizer": Momentum(1e-6)}),
        ("Adam", sizes, {"optimizer": Adam(1e-6)}),
        ("sigmoid", sizes, {"activation": "sigmoid"}),
        ("batch normalisation", sizes, {"use_batchnorm": True}),
        ("dropout", sizes, {"use_dropout": True, "dropout_ratio": 0.2}),
    ]
    for name, layers, options in cases:
        runner = runner_of(backend, layers, batch, **options)
        optimizer = options.get("optimizer", SGD(1e-6))
        numbers = optimizer.hyperparameters_of_steps(STEPS + 1)
        runner.run(rows_of(backend, batch, STEPS + 1), numbers)
        backend.synchronize()
        graphs = ", ".join(f"{count} steps of {n}" for n, count in sorted(runner.graphs))
        yield name, f"{type(runner.step).__name__}: {graphs or runner.call_by_call}"
