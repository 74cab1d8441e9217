"""The networks of the book's chapter 6 as formulas in float64, to hold fastnn's against.

Written out layer by layer, over NumPy alone: what the book says, in the order in which it says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
Masks = Callable[[int, tuple[int, ...], float], Array]
"""Draws which units are kept: from the hidden layer's number, its output's shape and the ratio."""


class BookNetwork:
    """Affine layers with an activation, perhaps batch normalisation and dropout, and softmax.

    Parameters
    ----------
    params : dict of str to array
        Initial values, by the book's names. Copies are taken.
    activation : {"relu", "sigmoid"}
    weight_decay_lambda : float
    batchnorm : bool
    masks : callable, optional
        Draws dropout's masks; see `Masks`.
    dropout_ratio : float
    """

    def __init__(
        self,
        params: dict[str, Any],
        activation: str = "relu",
        weight_decay_lambda: float = 0.0,
        *,
        batchnorm: bool = False,
        masks: Masks | None = None,
        dropout_ratio: float = 0.5,
    ) -> None:
        self.params = {name: np.array(value, "float64") for name, value in params.items()}
        self.depth = sum(name[0] == "W" for name in params)
        self.activation, self.decay = activation, weight_decay_lambda
        self.batchnorm, self.masks, self.ratio = batchnorm, masks, dropout_ratio
        self.running: dict[int, tuple[Any, Any]] = {}

    def predict(self, x: Array, train_flg: bool = False) -> Array:
        """Give the scores, and keep what `gradient` needs."""
        self.kept: list[dict[str, Any]] = []
        for i in range(1, self.depth):
            kept = {"x": x}
            a = x @ self.params[f"W{i}"] + self.params[f"b{i}"]
            if self.batchnorm:
                a = self._normalise(i, a, kept, train_flg)
            x = np.maximum(a, 0) if self.activation == "relu" else 1 / (1 + np.exp(-a))
            kept["h"] = x
            if self.masks is not None and train_flg:
                kept["mask"] = self.masks(i, x.shape, self.ratio)
                x = x * kept["mask"]
            elif self.masks is not None:
                x = x * (1 - self.ratio)
            self.kept.append(kept)
        self.kept.append({"x": x})
        return x @ self.params[f"W{self.depth}"] + self.params[f"b{self.depth}"]

    def _normalise(self, i: int, a: Array, kept: dict[str, Any], train_flg: bool) -> Array:
        mean, var = self.running.get(i, (0.0, 0.0))
        if train_flg:
            own = a.mean(axis=0), a.var(axis=0)
            self.running[i] = 0.9 * mean + 0.1 * own[0], 0.9 * var + 0.1 * own[1]
            mean, var = own
        kept["std"] = np.sqrt(var + 1e-6)
        kept["xn"] = (a - mean) / kept["std"]
        return self.params[f"gamma{i}"] * kept["xn"] + self.params[f"beta{i}"]

    def loss(self, x: Array, t: Any, train_flg: bool = False) -> float:
        """Give the mean cross-entropy, with the penalty on the weights."""
        scores = self.predict(x, train_flg)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        weights = [self.params[f"W{i}"] for i in range(1, self.depth + 1)]
        penalty = sum(0.5 * self.decay * np.sum(W**2) for W in weights)
        return float(-np.log(self.y[np.arange(len(t)), t]).mean() + penalty)

    def accuracy(self, x: Array, t: Any) -> float:
        """Give the share of samples whose largest score is that of their label."""
        return float(np.mean(self.predict(x).argmax(axis=1) == t))

    def gradient(self, x: Array, t: Any) -> dict[str, Array]:
        """Give the gradient of the loss in training, by every parameter."""
        self.loss(x, t, train_flg=True)
        dout = self.y.copy()
        dout[np.arange(len(t)), t] -= 1
        dout /= len(t)
        gradients: dict[str, Array] = {}
        for i in range(self.depth, 0, -1):
            kept = self.kept[i - 1]
            if i < self.depth:
                dout = self._back_through_hidden(i, dout, kept, gradients)
            W = self.params[f"W{i}"]
            gradients[f"W{i}"] = kept["x"].T @ dout + self.decay * W
            gradients[f"b{i}"] = dout.sum(axis=0)
            dout = dout @ W.T
        return {name: gradients[name] for name in self.params}

    def _back_through_hidden(
        self, i: int, dout: Array, kept: dict[str, Any], gradients: dict[str, Array]
    ) -> Array:
        if self.masks is not None:
            dout = dout * kept["mask"]
        h = kept["h"]
        dout = dout * (h > 0) if self.activation == "relu" else dout * h * (1 - h)
        if not self.batchnorm:
            return dout
        xn, std, N = kept["xn"], kept["std"], len(dout)
        gradients[f"gamma{i}"] = (dout * xn).sum(axis=0)
        gradients[f"beta{i}"] = dout.sum(axis=0)
        dxn = self.params[f"gamma{i}"] * dout
        result: Array = (dxn - dxn.sum(axis=0) / N - xn * (dxn * xn).sum(axis=0) / N) / std
        return result
