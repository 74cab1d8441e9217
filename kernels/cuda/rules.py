"""The update rules of the optimizers, in place, and weight decay: a kernel of CuPy's each.

Numbers such as ``lr`` may be arrays () of the device: then a captured step follows a schedule.
"""

from __future__ import annotations

import functools
from typing import Any

Array = Any
Number = Any


def momentum_update(*, W: Array, dW: Array, v: Array, lr: Number, momentum: Number) -> None:
    """See `Backend.momentum_update`."""
    code = "v = momentum * v - lr * dW; W += v"
    _kernel("momentum_update", "dW, lr, momentum", "W, v", code)(dW, lr, momentum, W, v)


def nesterov_update(*, W: Array, dW: Array, v: Array, lr: Number, momentum: Number) -> None:
    """See `Backend.nesterov_update`."""
    code = """
        T change = lr * dW;
        W += momentum * momentum * v - (T(1) + momentum) * change;
        v = momentum * v - change
    """
    _kernel("nesterov_update", "dW, lr, momentum", "W, v", code)(dW, lr, momentum, W, v)


def adagrad_update(*, W: Array, dW: Array, h: Array, lr: Number, epsilon: float) -> None:
    """See `Backend.adagrad_update`."""
    code = "h += dW * dW; W -= lr * dW / (sqrt(h) + epsilon)"
    _kernel("adagrad_update", "dW, lr, epsilon", "W, h", code)(dW, lr, epsilon, W, h)


def rmsprop_update(
    *, W: Array, dW: Array, h: Array, lr: Number, one_minus_decay_rate: Number, epsilon: float
) -> None:
    """See `Backend.rmsprop_update`."""
    code = "h += gain * (dW * dW - h); W -= lr * dW / (sqrt(h) + epsilon)"
    launch = _kernel("rmsprop_update", "dW, lr, gain, epsilon", "W, h", code)
    launch(dW, lr, one_minus_decay_rate, epsilon, W, h)


def adam_update(
    *, W: Array, dW: Array, m: Array, v: Array, lr_t: Number, one_minus_beta1: Number,
    one_minus_beta2: Number, epsilon: float,
) -> None:  # fmt: skip
    """See `Backend.adam_update`."""
    code = """
        m += gain1 * (dW - m);
        v += gain2 * (dW * dW - v);
        W -= lr * m / (sqrt(v) + epsilon)
    """
    launch = _kernel("adam_update", "dW, lr, gain1, gain2, epsilon", "W, m, v", code)
    launch(dW, lr_t, one_minus_beta1, one_minus_beta2, epsilon, W, m, v)


def decayed_gradient(*, dW: Array, W: Array, weight_decay: Number, out: Array) -> None:
    """See `Backend.decayed_gradient`."""
    code = "out = dW + weight_decay * W"
    _kernel("decayed_gradient", "dW, W, weight_decay", "out", code)(dW, W, weight_decay, out)


def decay_weights(*, W: Array, lr: Number, weight_decay: Number) -> None:
    """See `Backend.decay_weights`."""
    _kernel("decay_weights", "lr, decay", "W", "W -= lr * decay * W")(lr, weight_decay, W)


@functools.cache
def _kernel(name: str, reads: str, changes: str, code: str) -> Any:
    import cupy

    typed = [", ".join(f"T {each}" for each in names.split(", ")) for names in (reads, changes)]
    return cupy.ElementwiseKernel(*typed, code, f"fastnn_{name}")
