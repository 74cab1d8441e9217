"""scikit-learn's `MLPClassifier`, by its internals.

`partial_fit` on one batch spends most of a small step on checking its input and binarizing labels.
What is run here is the body of the loop of ``MLPClassifier._fit_stochastic`` over mini-batches,
which `fit` and a `partial_fit` on the whole data set come down to: gather, ``_backprop``,
``_optimizer.update_params``. Labels are one-hot already and of bool, as they are there: of int64,
which they were here until 2026-11-26, all that follows is computed in float64.
"""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier

from contestants import Contestant
from workload import Array, Workload


class Sklearn(Contestant):
    """The "sgd" solver at a constant rate or "adam", without weight decay."""

    @classmethod
    def why_absent(cls, workload: Workload) -> str | None:
        if workload.normalised or workload.dropout:
            return "has neither batch normalisation nor dropout"
        return super().why_absent(workload)

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        batch, classes = workload.batch, workload.layers[-1]
        self.model = MLPClassifier(
            workload.hidden,
            activation={"sigmoid": "logistic"}.get(workload.activation, workload.activation),
            solver="adam" if workload.optimizer == "Adam" else "sgd",
            alpha=0.0,
            batch_size=batch,
            learning_rate_init=workload.learning_rate,
            momentum=0.9 if workload.optimizer == "Momentum" else 0.0,
            nesterovs_momentum=False,
            epsilon=1e-7,
        )
        self.x = workload.x
        self.y = np.eye(classes, dtype=bool)[workload.t]
        allocated = self.model.partial_fit(self.x[:batch], self.y[:batch], classes=range(classes))
        allocated.out_activation_ = "softmax"  # of one-hot labels it makes several yes or no
        initial = workload.initial()
        for number, (W, b) in enumerate(
            zip(allocated.coefs_, allocated.intercepts_, strict=True), 1
        ):
            W[...], b[...] = initial[f"W{number}"], initial[f"b{number}"]
        self._forget_the_first_step()
        self.coef_grads = [coef.copy() for coef in self.model.coefs_]
        self.intercept_grads = [intercept.copy() for intercept in self.model.intercepts_]

    def _forget_the_first_step(self) -> None:
        optimizer = self.model._optimizer
        for name in ("velocities", "ms", "vs"):
            for array in getattr(optimizer, name, []):
                array[...] = 0
        optimizer.t = 0

    def run(self, rows: Array) -> None:
        model = self.model
        params = model.coefs_ + model.intercepts_
        activations: list[Array | None] = [None] * model.n_layers_
        deltas: list[Array | None] = [None] * (model.n_layers_ - 1)
        for batch in rows:
            x, y = self.x.take(batch, axis=0), self.y[batch]
            activations[0] = x
            _, coef_grads, intercept_grads = model._backprop(
                x, y, None, activations, deltas, self.coef_grads, self.intercept_grads
            )
            model._optimizer.update_params(params, coef_grads + intercept_grads)

    def parameters(self) -> dict[str, Array]:
        coefs, intercepts = self.model.coefs_, self.model.intercepts_
        return {f"W{number}": W for number, W in enumerate(coefs, 1)} | {
            f"b{number}": b for number, b in enumerate(intercepts, 1)
        }
