"""Update rules and weight decay, in one pass over a parameter, its gradient and its state.

Formulas and their sources stand in `fastnn.backends.base`. Numbers are rounded to the dtype of the
parameter first, as NumPy does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import kernel

Array = Any


@kernel
def sgd_update(W: Array, dW: Array, lr: float) -> None:
    """``W -= lr * dW``. W, dW (K,)."""
    rate = W.dtype.type(lr)
    for k in range(W.shape[0]):
        W[k] -= rate * dW[k]


@kernel
def momentum_update(W: Array, dW: Array, v: Array, lr: float, momentum: float) -> None:
    """``v = momentum * v - lr * dW; W += v``. All (K,)."""
    rate, kept = W.dtype.type(lr), W.dtype.type(momentum)
    for k in range(W.shape[0]):
        v[k] = kept * v[k] - rate * dW[k]
        W[k] += v[k]


@kernel
def nesterov_update(W: Array, dW: Array, v: Array, lr: float, momentum: float) -> None:
    """``W += momentum**2 * v - (1 + momentum) * lr * dW; v = momentum * v - lr * dW``."""
    rate, kept = W.dtype.type(lr), W.dtype.type(momentum)
    ahead, whole = W.dtype.type(momentum * momentum), W.dtype.type(1 + momentum)
    for k in range(W.shape[0]):
        change = rate * dW[k]
        W[k] += ahead * v[k] - whole * change
        v[k] = kept * v[k] - change


@kernel
def adagrad_update(W: Array, dW: Array, h: Array, lr: float, epsilon: float) -> None:
    """``h += dW**2; W -= lr * dW / (sqrt(h) + epsilon)``. All (K,)."""
    rate, least = W.dtype.type(lr), W.dtype.type(epsilon)
    for k in range(W.shape[0]):
        h[k] += dW[k] * dW[k]
        W[k] -= rate * dW[k] / (np.sqrt(h[k]) + least)


@kernel
def rmsprop_update(
    W: Array, dW: Array, h: Array, lr: float, one_minus_decay_rate: float, epsilon: float
) -> None:
    """``h += (1 - decay_rate) * (dW**2 - h); W -= lr * dW / (sqrt(h) + epsilon)``. All (K,)."""
    rate, least = W.dtype.type(lr), W.dtype.type(epsilon)
    gain = W.dtype.type(one_minus_decay_rate)
    for k in range(W.shape[0]):
        h[k] += gain * (dW[k] * dW[k] - h[k])
        W[k] -= rate * dW[k] / (np.sqrt(h[k]) + least)


@kernel
def adam_update(
    W: Array, dW: Array, m: Array, v: Array, lr_t: float, one_minus_beta1: float,
    one_minus_beta2: float, epsilon: float,
) -> None:  # fmt: skip
    """``m += (1 - beta1) * (dW - m)``, likewise v of ``dW**2``, ``W -= lr_t * m / (sqrt(v) + ..)``.

    All (K,).
    """
    rate, least = W.dtype.type(lr_t), W.dtype.type(epsilon)
    gain1, gain2 = W.dtype.type(one_minus_beta1), W.dtype.type(one_minus_beta2)
    for k in range(W.shape[0]):
        m[k] += gain1 * (dW[k] - m[k])
        v[k] += gain2 * (dW[k] * dW[k] - v[k])
        W[k] -= rate * m[k] / (np.sqrt(v[k]) + least)


@kernel
def decay_weights(W: Array, lr: float, weight_decay: float) -> None:
    """``W -= lr * weight_decay * W``. W (K,)."""
    decay = W.dtype.type(lr * weight_decay)
    for k in range(W.shape[0]):
        W[k] -= decay * W[k]


@kernel
def decayed_gradient(dW: Array, W: Array, weight_decay: float, out: Array) -> None:
    """``out = dW + weight_decay * W``. All (K,)."""
    decay = W.dtype.type(weight_decay)
    for k in range(W.shape[0]):
        out[k] = dW[k] + decay * W[k]
