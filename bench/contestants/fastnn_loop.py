"""fastnn in a loop of the user's own, which is the book's.

`gradient`, then ``params[key] -= learning_rate * grad[key]``; of other rules than SGD, as in the
book's chapter 6, ``optimizer.update(params, grad)``.
"""

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
        plain = self.workload.optimizer == "SGD"
        for batch in rows:
            grad = network.gradient(self.x[batch], self.t[batch])
            if not plain:
                self.optimizer.update(network.params, grad)
                continue
            for key in grad:
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
