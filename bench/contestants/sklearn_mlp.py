"""scikit-learn's `MLPClassifier`, by its internals.

`partial_fit` on one batch spends most of a small step on checking its input and binarizing labels.
What is run here is the body of the loop of ``MLPClassifier._fit_stochastic`` over mini-batches,
which `fit` and a `partial_fit` on the whole data set come down to: gather, ``_backprop``,
``_optimizer.update_params``. Labels are one-hot already, as they are there.
"""

from __future__ import annotations

from sklearn.neural_network import MLPClassifier

from contestants import Contestant
from workload import Array, Workload


class Sklearn(Contestant):
    """The "sgd" solver at a constant rate, without momentum and without weight decay."""

    def __init__(self, workload: Workload, device: str) -> None:
        super().__init__(workload, device)
        batch, (_, hidden, classes) = workload.batch, workload.layers
        self.model = MLPClassifier(
            (hidden,),
            solver="sgd",
            alpha=0.0,
            batch_size=batch,
            learning_rate_init=workload.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
        )
        first, labels = workload.x[:batch], workload.t[:batch]
        self.model.partial_fit(first, labels, classes=range(classes))  # allocates everything
        initial = workload.initial()
        self.model.coefs_[0][...], self.model.coefs_[1][...] = initial["W1"], initial["W2"]
        self.model.intercepts_[0][...] = initial["b1"]
        self.model.intercepts_[1][...] = initial["b2"]
        self.x = workload.x
        self.y = self.model._label_binarizer.transform(workload.t)
        self.coef_grads = [coef.copy() for coef in self.model.coefs_]
        self.intercept_grads = [intercept.copy() for intercept in self.model.intercepts_]

    def run(self, rows: Array) -> None:
        model = self.model
        params = model.coefs_ + model.intercepts_
        activations: list[Array | None] = [None, None, None]
        deltas: list[Array | None] = [None, None]
        for batch in rows:
            x, y = self.x.take(batch, axis=0), self.y[batch]
            activations[0] = x
            _, coef_grads, intercept_grads = model._backprop(
                x, y, None, activations, deltas, self.coef_grads, self.intercept_grads
            )
            model._optimizer.update_params(params, coef_grads + intercept_grads)

    def parameters(self) -> dict[str, Array]:
        (W1, W2), (b1, b2) = self.model.coefs_, self.model.intercepts_
        return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
