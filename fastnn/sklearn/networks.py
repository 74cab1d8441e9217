"""The network of an estimator: made of its arrays, which are NumPy's, and read back into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import get_backend, use_backend
from fastnn.nn.activations import Sigmoid, Tanh
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.handed_over import let_go
from fastnn.nn.layer import Layer
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.loss import Loss
from fastnn.nn.losses import MeanSquaredError, PoissonWithLoss, SigmoidWithLoss, SoftmaxWithLoss
from fastnn.nn.sequential import Sequential

Arrays = list[np.ndarray[Any, Any]]

ACTIVATIONS: dict[str, type[Layer] | None] = {
    "identity": None,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": Relu,
}
"""By the parameter `activation`."""

LOSSES: dict[str, type[Loss]] = {
    "softmax": SoftmaxWithLoss,
    "logistic": SigmoidWithLoss,
    "identity": MeanSquaredError,
    "exp": PoissonWithLoss,
}
"""By the attribute `out_activation_`."""

NORMALIZATION = ("gamma", "beta", "running_mean", "running_var")
"""The arrays of batch normalisation, in the order in which `normalizations_` has them."""


def initial_normalization(units: int, dtype: Any) -> Arrays:
    """Give the arrays of `NORMALIZATION` for so many units, as `MultiLayerNet` has them first."""
    return [np.ones(units, dtype), *[np.zeros(units, dtype) for _ in NORMALIZATION[1:]]]


def make_network(
    estimator: Any,
    backend: str | Backend | None,
    *,
    dtype: str | None = None,
    copies: bool = True,
) -> Sequential:
    """Make a network of an estimator's arrays, or of copies of them.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        With `coefs_` and `intercepts_`, and `normalizations_` if it was made with `batch_norm`.
    backend : str, Backend or None
        Where it computes; None for the active backend.
    dtype : str, optional
        What it computes in; by default that of `coefs_`.
    copies : bool, optional
        False for a network that only predicts: a copy is made where there is no other way, then.
    """
    activation, ratio = ACTIVATIONS[estimator.activation], float(estimator.dropout)
    last, normalizations = len(estimator.coefs_), getattr(estimator, "normalizations_", None)
    with use_backend(get_backend() if backend is None else backend) as chosen:
        layers: dict[str, Layer] = {}
        pairs = zip(estimator.coefs_, estimator.intercepts_, strict=True)
        for number, pair in enumerate(pairs, 1):
            W, b = [_placed(each, chosen, dtype, copies) for each in pair]
            layers[f"Affine{number}"] = Affine(W, b)
            if number == last:
                break
            if normalizations is not None:
                gamma, beta, mean, var = normalizations[number - 1]
                scale, shift = (_placed(each, chosen, dtype, copies) for each in (gamma, beta))
                layers[f"BatchNorm{number}"] = BatchNormalization(
                    scale, shift, running_mean=mean, running_var=var
                )
            if activation is not None:
                layers[f"Activation_function{number}"] = activation()
            if ratio:
                layers[f"Dropout{number}"] = Dropout(ratio, seed=0)
        network = Sequential(layers, LOSSES[estimator.out_activation_]())
    let_go(network.params.values())
    return network


def _placed(
    array: np.ndarray[Any, Any], backend: Backend, dtype: str | None, copies: bool
) -> Array:
    """Bring an array to where a network computes, as one that a layer takes as it is."""
    placed = backend.asarray(np.ascontiguousarray(array), dtype)
    return backend.copy(placed) if copies or not array.flags.writeable else placed


def read_back(estimator: Any, network: Sequential) -> None:
    """Let an estimator have a network's arrays; on a CPU they are the very same."""
    affine = [layer for layer in network.layers.values() if isinstance(layer, Affine)]
    estimator.coefs_ = [host_array(layer.W) for layer in affine]
    estimator.intercepts_ = [host_array(layer.b) for layer in affine]
    if estimator.batch_norm:
        estimator.normalizations_ = [
            [host_array(getattr(layer, name)) for name in NORMALIZATION]
            for layer in network.layers.values()
            if isinstance(layer, BatchNormalization)
        ]
