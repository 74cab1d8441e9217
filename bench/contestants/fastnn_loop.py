"""fastnn in a loop of the user's own, which is the book's: `gradient`, ``params[k] -= lr * g``."""

from __future__ import annotations

from typing import Any

from contestants.fastnn_network import FastnnNetwork
from cuda_clock import CudaClock
from workload import Array


class Loop(FastnnNetwork):
    """Batches are gathered by indexing the backend's arrays, as the book does."""

    def prepare(self, rows: Array) -> Any:
        return self.network.backend.asarray(rows)

    def run(self, rows: Array) -> float | None:
        if self.device == "cpu":
            self._steps(rows)
            return None
        clock = CudaClock()
        self._steps(rows)
        return clock.seconds()

    def _steps(self, rows: Array) -> None:
        network, learning_rate = self.network, self.workload.learning_rate
        for batch in rows:
            grad = network.gradient(self.x[batch], self.t[batch])
            for key in ("W1", "b1", "W2", "b2"):
                network.params[key] -= learning_rate * grad[key]


class LoopNumpy(Loop):
    """On NumPy."""

    backend = "numpy"


class LoopNumba(Loop):
    """On Numba's kernels."""

    backend = "numba"


class LoopCupy(Loop):
    """On a GPU."""

    backend = "cupy"
