"""Layers as users write them, and networks of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn
from fastnn import (
    Affine,
    Gelu,
    LeakyRelu,
    MultiLayerNet,
    Relu,
    Sequential,
    Sigmoid,
    Tanh,
    TwoLayerNet,
)
from tests.helpers.problems import affine_of


class Scale:
    """A layer of the user's own, with a parameter, and nothing of fastnn in it."""

    parameters = ("gamma",)

    def __init__(self, gamma: Any) -> None:
        self.gamma = gamma

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.gamma

    def backward(self, dout: Any) -> Any:
        self.dgamma = (dout * self.x).sum(axis=0)
        return dout * self.gamma


class Square:
    """A layer of the user's own without parameters."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * x

    def backward(self, dout: Any) -> Any:
        return 2 * self.x * dout


class SquaredError:
    """A loss of the user's own, for numbers rather than classes."""

    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).mean()

    def backward(self, dout: float = 1) -> Any:
        return 2 * self.difference / self.difference.size


class Book:
    """A layer that names no parameters, as the book's."""

    def __init__(self, features: int) -> None:
        self.W = np.ones((features, 2))

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.W.T


class AnyScale(Scale):
    """The same for arrays of any backend, which need not have a method `sum`."""

    def backward(self, dout: Any) -> Any:
        self.dgamma = fastnn.get_backend().xp.sum(dout * self.x, axis=0)
        return dout * self.gamma


class AnySquaredError:
    """The loss for arrays of any backend, which need not have a method `mean`."""

    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return fastnn.get_backend().xp.mean(self.difference**2)

    def backward(self, dout: float = 1) -> Any:
        return self.difference * (2 / (self.difference.shape[0] * self.difference.shape[1]))


def zoo(dtype: str = "float64") -> dict[str, Sequential]:
    """Networks for inputs of 12 features and 4 classes."""
    rng = np.random.default_rng(5)

    def affine(inputs: int, outputs: int) -> Affine:
        W = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        return affine_of(W.astype(dtype), rng.standard_normal(outputs).astype(dtype))

    return {
        "two layers": TwoLayerNet(12, 6, 4, 0.5, dtype=dtype, seed=1),
        "deep": MultiLayerNet(12, [7, 6, 5], 4, dtype=dtype, seed=2),
        "linear": Sequential([affine(12, 4)]),
        "no activation": Sequential([affine(12, 5), affine(5, 4)]),
        "relu twice": Sequential([affine(12, 5), Relu(), Relu(), affine(5, 4)]),
        "relu first and last": Sequential([Relu(), affine(12, 4), Relu()]),
        "other activations": Sequential(
            [
                affine(12, 7),
                Sigmoid(),
                affine(7, 6),
                Tanh(),
                affine(6, 5),
                LeakyRelu(0.2),
                affine(5, 6),
                Gelu(),
                affine(6, 4),
            ]
        ),
        "one hidden unit": Sequential([affine(12, 1), Relu(), affine(1, 4)]),
    }
