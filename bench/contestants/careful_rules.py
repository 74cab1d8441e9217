"""The update rules of `careful_numpy`: in place, gradients are used up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from workload import Array

Arrays = dict[str, Array]


class SGD:
    """``W -= lr * dW``."""

    def __init__(self, params: Arrays, lr: float) -> None:
        self.params, self.lr = params, lr

    def __call__(self, grads: Arrays) -> None:
        for name, W in self.params.items():
            g = grads[name]
            g *= self.lr
            W -= g


class Momentum(SGD):
    """``v = 0.9 * v - lr * dW; W += v``."""

    def __init__(self, params: Arrays, lr: float) -> None:
        super().__init__(params, lr)
        self.v = {name: np.zeros_like(W) for name, W in params.items()}

    def __call__(self, grads: Arrays) -> None:
        for name, W in self.params.items():
            g, v = grads[name], self.v[name]
            v *= 0.9
            g *= self.lr
            v -= g
            W += v


class Adam(SGD):
    """``m += 0.1 * (dW - m); v += 0.001 * (dW**2 - v); W -= lr_t * m / (sqrt(v) + 1e-7)``."""

    def __init__(self, params: Arrays, lr: float) -> None:
        super().__init__(params, lr)
        self.m, self.v = ({name: np.zeros_like(W) for name, W in params.items()} for _ in range(2))
        self.rest = {name: np.empty_like(W) for name, W in params.items()}
        self.t = 0

    def __call__(self, grads: Arrays) -> None:
        self.t += 1
        lr_t = self.lr * math.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        for name, W in self.params.items():
            g, m, v, rest = grads[name], self.m[name], self.v[name], self.rest[name]
            np.subtract(g, m, out=rest)
            rest *= 0.1
            m += rest
            g *= g
            g -= v
            g *= 0.001
            v += g
            np.sqrt(v, out=rest)
            rest += 1e-7
            np.divide(m, rest, out=rest)
            rest *= lr_t
            W -= rest


RULES: dict[str, Callable[[Arrays, float], SGD]] = {"SGD": SGD, "Momentum": Momentum, "Adam": Adam}
