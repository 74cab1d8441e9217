"""Every workload by plain formulas, in float64: what all contestants must come to.

Nothing is tuned here, and nothing comes from fastnn but the masks of dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from masks import proof_masks
from workload import Array, Workload

BATCH_NORM_EPSILON = 1e-6
RULE_EPSILON = 1e-7

Parameters = dict[str, Array]


def reference(workload: Workload) -> Parameters:
    """Train on the batches of the proof, and give the parameters."""
    parameters = {name: array.astype("float64") for name, array in workload.initial().items()}
    update = RULES[workload.optimizer](parameters, workload.learning_rate)
    rows_of_steps = workload.proof_rows()
    for rows, masks in zip(rows_of_steps, proof_masks(workload), strict=True):
        x, t = workload.x[rows].astype("float64"), workload.t[rows]
        update(gradient(workload, parameters, x, t, masks))
    return parameters


def loss(workload: Workload, parameters: Parameters, x: Array, t: Array) -> float:
    """Mean cross-entropy of a batch, in training mode but without dropout."""
    scores, _ = _forward(workload, parameters, x, [np.array(1.0)] * len(workload.hidden))
    scores = scores - scores.max(axis=1, keepdims=True)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(t)), t]
    return float(losses.mean())


def gradient(
    workload: Workload, parameters: Parameters, x: Array, t: Array, masks: Sequence[Array]
) -> Parameters:
    """Give the gradient of the mean cross-entropy by each parameter."""
    scores, kept = _forward(workload, parameters, x, masks)
    y = np.exp(scores - scores.max(axis=1, keepdims=True))
    dout = y / y.sum(axis=1, keepdims=True)
    dout[np.arange(len(t)), t] -= 1
    dout /= len(t)
    gradients = {}
    for number in range(len(workload.layers) - 1, 0, -1):
        inputs, *of_activation = kept[number - 1]
        if of_activation:
            out, xn, std = of_activation
            dout = dout * masks[number - 1] * SLOPES[workload.activation](out)
            if workload.normalised:
                gradients[f"gamma{number}"] = (dout * xn).sum(axis=0)
                gradients[f"beta{number}"] = dout.sum(axis=0)
                dxn = dout * parameters[f"gamma{number}"]
                dout = (dxn - dxn.mean(axis=0) - xn * (dxn * xn).mean(axis=0)) / std
        gradients[f"W{number}"] = inputs.T @ dout
        gradients[f"b{number}"] = dout.sum(axis=0)
        dout = dout @ parameters[f"W{number}"].T
    return gradients


def _forward(
    workload: Workload, parameters: Parameters, x: Array, masks: Sequence[Array]
) -> tuple[Array, list[tuple[Any, ...]]]:
    """Give the scores, and of each layer what its gradient needs."""
    kept: list[tuple[Any, ...]] = []
    for number, mask in enumerate(masks, 1):
        inputs, xn, std = x, None, None
        x = x @ parameters[f"W{number}"] + parameters[f"b{number}"]
        if workload.normalised:
            std = np.sqrt(x.var(axis=0) + BATCH_NORM_EPSILON)
            xn = (x - x.mean(axis=0)) / std
            x = parameters[f"gamma{number}"] * xn + parameters[f"beta{number}"]
        out = ACTIVATIONS[workload.activation](x)
        kept.append((inputs, out, xn, std))
        x = out * mask
    last = len(workload.layers) - 1
    kept.append((x,))
    return x @ parameters[f"W{last}"] + parameters[f"b{last}"], kept


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}

SLOPES: dict[str, Callable[[Array], Array]] = {
    "relu": lambda out: out > 0,
    "sigmoid": lambda out: out * (1 - out),
    "tanh": lambda out: 1 - out**2,
}
"""The derivative of each activation, by its output."""


class SGD:
    """``W -= lr * dW``."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        self.parameters, self.lr = parameters, lr

    def __call__(self, gradients: Parameters) -> None:
        for name, W in self.parameters.items():
            W -= self.lr * gradients[name]


class Momentum:
    """``v = 0.9 * v - lr * dW; W += v``."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        self.parameters, self.lr = parameters, lr
        self.v = {name: np.zeros_like(W) for name, W in parameters.items()}

    def __call__(self, gradients: Parameters) -> None:
        for name, W in self.parameters.items():
            self.v[name] = 0.9 * self.v[name] - self.lr * gradients[name]
            W += self.v[name]


class Adam:
    """Kingma and Ba 2015, as in the book."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        self.parameters, self.lr, self.t = parameters, lr, 0
        self.m, self.v = ({n: np.zeros_like(W) for n, W in parameters.items()} for _ in range(2))

    def __call__(self, gradients: Parameters) -> None:
        self.t += 1
        lr_t = self.lr * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        for name, W in self.parameters.items():
            self.m[name] += 0.1 * (gradients[name] - self.m[name])
            self.v[name] += 0.001 * (gradients[name] ** 2 - self.v[name])
            W -= lr_t * self.m[name] / (np.sqrt(self.v[name]) + RULE_EPSILON)


RULES: dict[str, Callable[[Parameters, float], Callable[[Parameters], None]]] = {
    "SGD": SGD,
    "Momentum": Momentum,
    "Adam": Adam,
}
