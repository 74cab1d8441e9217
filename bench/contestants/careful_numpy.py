"""NumPy by hand, as fast as it goes without a compiler.

Index labels, every result written to a preallocated ``out=``, nothing computed that is not needed:
no input gradient of the first layer, no loss.
"""

from __future__ import annotations

import numpy as np

from contestants import Contestant
from contestants.careful_activations import ACTIVATIONS, SLOPES
from contestants.careful_rules import RULES
from workload import Array, Workload


class CarefulNumpy(Contestant):
    """Affine layers with an activation between them."""

    @classmethod
    def why_absent(cls, workload: Workload) -> str | None:
        if workload.normalised or workload.dropout:
            return "is not written for batch normalisation and dropout"
        return super().why_absent(workload)

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        self.images, self.labels = workload.x, workload.t
        self.params = workload.initial()
        self.grads = {name: np.empty_like(array) for name, array in self.params.items()}
        N = workload.batch
        self.outs = [np.empty((N, units), workload.dtype) for units in workload.layers]
        self.douts = [np.empty_like(out) for out in self.outs]
        self.row = np.empty((N, 1), workload.dtype)
        self.samples = np.arange(N)
        self.activate = ACTIVATIONS[workload.activation]
        self.multiply_by_slope = SLOPES[workload.activation](self.outs[1:-1])
        self.update = RULES[workload.optimizer](self.params, workload.learning_rate)

    def run(self, rows: Array) -> None:
        outs, douts, row, params, grads = self.outs, self.douts, self.row, self.params, self.grads
        scores, dscores = outs[-1], douts[-1]
        numbers = range(1, len(outs))
        share = 1 / self.workload.batch
        for batch in rows:
            np.take(self.images, batch, axis=0, out=outs[0], mode="clip")
            t = self.labels[batch]

            for number in numbers:
                out = outs[number]
                np.matmul(outs[number - 1], params[f"W{number}"], out=out)
                out += params[f"b{number}"]
                if out is not scores:
                    self.activate(out)
            np.max(scores, axis=1, keepdims=True, out=row)
            scores -= row
            np.exp(scores, out=scores)
            np.sum(scores, axis=1, keepdims=True, out=row)
            np.divide(scores, row, out=dscores)

            dscores[self.samples, t] -= 1
            dscores *= share
            for number in reversed(numbers):
                dout = douts[number]
                np.matmul(outs[number - 1].T, dout, out=grads[f"W{number}"])
                np.sum(dout, axis=0, out=grads[f"b{number}"])
                if number > 1:
                    np.matmul(dout, params[f"W{number}"].T, out=douts[number - 1])
                    self.multiply_by_slope(outs[number - 1], douts[number - 1])
            self.update(grads)

    def parameters(self) -> dict[str, Array]:
        return self.params
