"""NumPy by hand, as fast as it goes without a compiler.

Index labels, every result written to a preallocated ``out=``, nothing computed that is not needed:
no input gradient of the first layer, no loss.
"""

from __future__ import annotations

import numpy as np

from contestants import Contestant
from workload import Array, Workload


class CarefulNumpy(Contestant):
    """Two layers, unrolled."""

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        self.images, self.labels = workload.x, workload.t
        self.W1, self.b1, self.W2, self.b2 = workload.initial().values()
        N, (D, H, C) = workload.batch, workload.layers
        empty = lambda *shape: np.empty(shape, workload.dtype)  # noqa: E731
        self.x, self.hidden, self.scores = empty(N, D), empty(N, H), empty(N, C)
        self.row = empty(N, 1)
        self.dhidden, self.dead = empty(N, H), np.empty((N, H), bool)
        self.dW1, self.db1, self.dW2, self.db2 = empty(D, H), empty(H), empty(H, C), empty(C)
        self.samples = np.arange(N)

    def run(self, rows: Array) -> None:
        x, hidden, scores, row = self.x, self.hidden, self.scores, self.row
        dhidden, dead = self.dhidden, self.dead
        W1, b1, W2, b2 = self.W1, self.b1, self.W2, self.b2
        lr, share = self.workload.learning_rate, 1 / self.workload.batch
        for batch in rows:
            np.take(self.images, batch, axis=0, out=x, mode="clip")
            t = self.labels[batch]

            np.matmul(x, W1, out=hidden)
            hidden += b1
            np.maximum(hidden, 0, out=hidden)
            np.matmul(hidden, W2, out=scores)
            scores += b2
            np.max(scores, axis=1, keepdims=True, out=row)
            scores -= row
            np.exp(scores, out=scores)
            np.sum(scores, axis=1, keepdims=True, out=row)
            scores /= row

            scores[self.samples, t] -= 1
            scores *= share  # now dout
            np.matmul(hidden.T, scores, out=self.dW2)
            np.sum(scores, axis=0, out=self.db2)
            np.matmul(scores, W2.T, out=dhidden)
            np.less_equal(hidden, 0, out=dead)
            np.copyto(dhidden, 0, where=dead)
            np.matmul(x.T, dhidden, out=self.dW1)
            np.sum(dhidden, axis=0, out=self.db1)

            for parameter, gradient in (
                (W1, self.dW1),
                (b1, self.db1),
                (W2, self.dW2),
                (b2, self.db2),
            ):
                gradient *= lr
                parameter -= gradient

    def parameters(self) -> dict[str, Array]:
        return {"W1": self.W1, "b1": self.b1, "W2": self.W2, "b2": self.b2}
