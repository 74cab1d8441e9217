"""The book's optimizers as formulas over numbers in float64, to hold fastnn's against.

Each takes a parameter, its gradient, its state and the number of the step, from 1 on, and gives the
new parameter. ``state`` is a dictionary that is empty at first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

import fastnn

Formula = Callable[[Any, Any, dict[str, Any], int, float], Any]


def sgd(W: Any, dW: Any, state: dict[str, Any], step: int, lr: float) -> Any:
    return W - lr * dW


def momentum(W: Any, dW: Any, state: dict[str, Any], step: int, lr: float) -> Any:
    state["v"] = 0.9 * state.get("v", 0.0) - lr * dW
    return W + state["v"]


def nesterov(W: Any, dW: Any, state: dict[str, Any], step: int, lr: float) -> Any:
    before = state.get("v", 0.0)
    state["v"] = 0.9 * before - lr * dW
    return W + 0.9 * 0.9 * before - (1 + 0.9) * lr * dW


def adagrad(W: Any, dW: Any, state: dict[str, Any], step: int, lr: float) -> Any:
    state["h"] = state.get("h", 0.0) + dW * dW
    return W - lr * dW / (np.sqrt(state["h"]) + 1e-7)


def rmsprop(W: Any, dW: Any, state: dict[str, Any], step: int, lr: float) -> Any:
    state["h"] = 0.99 * state.get("h", 0.0) + 0.01 * dW * dW
    return W - lr * dW / (np.sqrt(state["h"]) + 1e-7)


def adam(W: Any, dW: Any, state: dict[str, Any], step: int, lr: float) -> Any:
    m, v = state.get("m", 0.0), state.get("v", 0.0)
    state["m"] = 0.9 * m + 0.1 * dW
    state["v"] = 0.999 * v + 0.001 * dW * dW
    lr_t = lr * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return W - lr_t * state["m"] / (np.sqrt(state["v"]) + 1e-7)


BOOK: dict[str, tuple[Callable[..., Any], Formula, float]] = {
    "SGD": (fastnn.SGD, sgd, 0.1),
    "Momentum": (fastnn.Momentum, momentum, 0.05),
    "Nesterov": (fastnn.Nesterov, nesterov, 0.05),
    "AdaGrad": (fastnn.AdaGrad, adagrad, 0.05),
    "RMSprop": (fastnn.RMSprop, rmsprop, 0.005),
    "Adam": (fastnn.Adam, adam, 0.005),
    "AdamW": (fastnn.AdamW, adam, 0.005),
}
"""The class, its formula at the default hyperparameters, and a learning rate to try."""


class ByFormula:
    """Updates a dictionary of numbers or arrays by the formula of an optimizer, in float64.

    Parameters
    ----------
    rule : str
        One of `BOOK`.
    lr : float or callable
        A number, or a function of the step.
    weight_decay, clip_norm : float, optional
        As of the optimizers. AdamW decays by ``lr * weight_decay * W``, the others by a term in the
        gradient.
    decayed : collection of str
        The parameters that decay.
    """

    def __init__(
        self,
        rule: str,
        lr: float | Callable[[int], float],
        *,
        weight_decay: float = 0.0,
        decayed: Collection[str] = (),
        clip_norm: float = math.inf,
    ) -> None:
        self.rule, self.formula = rule, BOOK[rule][1]
        self.lr, self.weight_decay, self.clip_norm = lr, weight_decay, clip_norm
        self.decayed, self.steps = decayed, 0
        self.state: dict[str, dict[str, Any]] = {}

    def update(self, params: dict[str, Any], grads: dict[str, Any]) -> None:
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        self.steps += 1
        norm = math.sqrt(sum(float(np.sum(np.square(g))) for g in grads.values()))
        factor = min(1.0, self.clip_norm / (norm + 1e-6))
        for name, W in params.items():
            dW, after = factor * grads[name], 0.0
            if name in self.decayed:
                if self.rule == "AdamW":
                    after = lr * self.weight_decay * W
                else:
                    dW = dW + self.weight_decay * W
            state = self.state.setdefault(name, {})
            params[name] = self.formula(W, dW, state, self.steps, lr) - after
