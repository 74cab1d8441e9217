"""The networks that are measured, with data and a runner of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import SGD, Optimizer
from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.selection import use_backend
from fastnn.nn.networks import MultiLayerNet
from fastnn.training.planner import make_plan


def runner_of(
    backend: CupyBackend, sizes: Sequence[int], batch: int, optimizer: Optimizer | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """Give a runner of training steps over four batches of bytes, in float32."""
    generator = np.random.default_rng(0)
    with use_backend(backend):
        network = MultiLayerNet(sizes[0], list(sizes[1:-1]), sizes[-1], seed=0, **options)
    x = backend.asarray(generator.integers(0, 256, (4 * batch, sizes[0])).astype("uint8"))
    t = backend.asarray(generator.integers(0, sizes[-1], 4 * batch))
    return backend.compile(make_plan(network, x, t, optimizer or SGD(1e-6), batch, 1 / 256))


def rows_of(backend: CupyBackend, batch: int, steps: int) -> Any:
    """Draw the rows of some batches."""
    generator = np.random.default_rng(1)
    return backend.asarray(generator.integers(0, 4 * batch, (steps, batch)))


def name_of(sizes: Sequence[int]) -> str:
    """Write sizes as people say them."""
    return "-".join(map(str, sizes))
