"""The activations of `careful_numpy`, in place, and their slopes by what they gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workload import Array

MultiplyBySlope = Callable[[Array, Array], None]


def relu(x: Array) -> None:
    np.maximum(x, 0, out=x)


def sigmoid(x: Array) -> None:
    np.negative(x, out=x)
    np.exp(x, out=x)
    x += 1
    np.reciprocal(x, out=x)


def tanh(x: Array) -> None:
    np.tanh(x, out=x)


ACTIVATIONS: dict[str, Callable[[Array], None]] = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}


def slope_of_relu(outs: Sequence[Array]) -> MultiplyBySlope:
    """Make ``dout *= out > 0``, for outputs of the shapes of `outs`."""
    masks = {out.shape: np.empty(out.shape, bool) for out in outs}

    def multiply(out: Array, dout: Array) -> None:
        dead = masks[out.shape]
        np.less_equal(out, 0, out=dead)
        np.copyto(dout, 0, where=dead)

    return multiply


def slope_of_sigmoid(outs: Sequence[Array]) -> MultiplyBySlope:
    """Make ``dout *= out * (1 - out)``; `out` is not needed any more."""
    others = {out.shape: np.empty_like(out) for out in outs}

    def multiply(out: Array, dout: Array) -> None:
        rest = others[out.shape]
        dout *= out
        np.subtract(1, out, out=rest)
        dout *= rest

    return multiply


def slope_of_tanh(outs: Sequence[Array]) -> MultiplyBySlope:
    """Make ``dout *= 1 - out**2``; `out` is used up."""

    def multiply(out: Array, dout: Array) -> None:
        np.multiply(out, out, out=out)
        np.subtract(1, out, out=out)
        dout *= out

    return multiply


SLOPES: dict[str, Callable[[Sequence[Array]], MultiplyBySlope]] = {
    "relu": slope_of_relu,
    "sigmoid": slope_of_sigmoid,
    "tanh": slope_of_tanh,
}
