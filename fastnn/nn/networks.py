"""The networks that are built by their sizes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from fastnn.backends.selection import get_backend
from fastnn.checks import (
    check_count,
    check_dtype,
    check_flag,
    check_fraction,
    check_rate,
    check_seed,
)
from fastnn.nn.activations import ACTIVATIONS as ACTIVATION_LAYERS
from fastnn.nn.activations import Gelu, LeakyRelu, Sigmoid, Tanh
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.handed_over import let_go
from fastnn.nn.layer import Layer
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.sequential import Sequential
from fastnn.wording import did_you_mean, shown

ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": Relu,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "leaky_relu": LeakyRelu,
    "gelu": Gelu,
}
"""The layer of each name of an activation."""

GAINS = {"relu": 2, "he": 2, "sigmoid": 1, "xavier": 1}
"""The variance of initial weights by name, times the number of inputs: He et al. 2015
(https://arxiv.org/abs/1502.01852), which ReLU needs in deeper networks; Glorot and Bengio 2010
(https://proceedings.mlr.press/v9/glorot10a.html), as the book has it, for sigmoid and tanh."""


class MultiLayerNet(Sequential):
    """Affine layers with an activation between them, on the active backend.

    The book's ``MultiLayerNet`` and ``MultiLayerNetExtend`` in one.

    Parameters
    ----------
    input_size : int
        Number of features D.
    hidden_size_list : iterable of int
        Units of each hidden layer.
    output_size : int
        Number of classes or other outputs C.
    activation : {"relu", "sigmoid", "tanh", "leaky_relu", "gelu"}, optional
        What stands between the Affine layers.
    weight_init_std : float or {"relu", "he", "sigmoid", "xavier"}, optional
        Standard deviation of the initial weights; "relu" and "he" take ``sqrt(2 / D)`` for each
        layer, "sigmoid" and "xavier" ``sqrt(1 / D)``.
    weight_decay_lambda : float, optional
        Strength of weight decay: ``weight_decay_lambda / 2 * sum(W**2)`` of every Affine layer is a
        part of the loss, also of that which `fit` reports, and of its gradient.
    use_dropout : bool, optional
        Whether a `Dropout` comes behind each activation.
    dropout_ratio : float, optional
        Its share of units that are dropped, from 0 to below 1; also as ``dropout_ration``, which
        is how the book writes it.
    use_batchnorm : bool, optional
        Whether a `BatchNormalization` stands before each activation.
    dtype : {"float32", "float64"}, optional
        What the network computes in.
    seed : int, optional
        Seed of the initial weights, and of dropout. One seed gives the same weights on every
        backend, with dropout and without.

    Attributes
    ----------
    layers : OrderedDict
        As in the book: ``Affine1, BatchNorm1, Activation_function1, Dropout1, Affine2, ...``.
    weight_decay_lambda : float

    Raises
    ------
    TypeError, ValueError
        If a size is no integer or under 1, `weight_init_std` or `weight_decay_lambda` is negative
        or not finite, `dropout_ratio` is not in [0, 1), `use_dropout` or `use_batchnorm` is no
        bool, the dtype is another, or there is no activation or initialisation of that name.

    References
    ----------
    Saito, *Deep Learning from Scratch*, O'Reilly Japan 2016, chapter 6: ``MultiLayerNet`` and
    ``MultiLayerNetExtend`` of its common code.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Iterable[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ratio: float = 0.5,
        use_batchnorm: bool = False,
        *,
        dropout_ration: float | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        sizes = _sizes(input_size, hidden_size_list, output_size)
        self.weight_decay_lambda = check_rate(weight_decay_lambda, "weight_decay_lambda")
        make = _named(activation, ACTIVATIONS, "activation")
        drops = check_flag(use_dropout, "use_dropout")
        normalises = check_flag(use_batchnorm, "use_batchnorm")
        given = dropout_ratio if dropout_ration is None else dropout_ration
        ratio = check_fraction(given, "dropout_ratio")
        generator = check_seed(seed)
        layers: dict[str, Layer] = {}
        for number, affine in enumerate(_affines(sizes, weight_init_std, dtype, generator), 1):
            layers[f"Affine{number}"] = affine
            if number == len(sizes) - 1:
                break
            if normalises:
                layers[f"BatchNorm{number}"] = _batch_normalization(sizes[number], dtype)
            layers[f"Activation_function{number}"] = make()
            if drops:
                layers[f"Dropout{number}"] = Dropout(ratio, seed=int(generator.integers(2**32)))
        super().__init__(layers)
        let_go(self.params.values())

    @classmethod
    def _is_made_of(cls, kinds: list[str]) -> bool:
        hidden = [
            ["Affine", *normalised, activation.__name__, *dropped]
            for normalised in ([], ["BatchNormalization"])
            for activation in ACTIVATION_LAYERS
            for dropped in ([], ["Dropout"])
        ]
        repeated = kinds.count("Affine") - 1
        return any(kinds == layer * repeated + ["Affine"] for layer in hidden)


class TwoLayerNet(MultiLayerNet):
    """The book's network: Affine, ReLU, Affine, softmax with cross-entropy.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Features D, hidden units, classes C.
    weight_init_std : float or str, optional
        Standard deviation of the initial weights; see `MultiLayerNet`.
    dtype : {"float32", "float64"}, optional
        What the network computes in.
    seed : int, optional
        Seed of the initial weights. One seed gives the same weights on every backend.

    Raises
    ------
    TypeError, ValueError
        See `MultiLayerNet`.

    References
    ----------
    Saito, *Deep Learning from Scratch*, O'Reilly Japan 2016, chapter 5.7.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        sizes = _sizes(input_size, [hidden_size], output_size)
        first, last = _affines(sizes, weight_init_std, dtype, check_seed(seed))
        Sequential.__init__(self, [first, Relu(), last])
        let_go(self.params.values())

    @classmethod
    def _is_made_of(cls, kinds: list[str]) -> bool:
        return kinds == ["Affine", "Relu", "Affine"]


def _sizes(input_size: Any, hidden_size_list: Any, output_size: Any) -> list[int]:
    sizes = [check_count(input_size, "input_size")]
    text = isinstance(hidden_size_list, str | bytes | bytearray)
    if text or not isinstance(hidden_size_list, Iterable):
        raise TypeError(f"hidden_size_list must be a list of sizes, got {shown(hidden_size_list)}")
    sizes += [check_count(size, "hidden size") for size in hidden_size_list]
    return [*sizes, check_count(output_size, "output_size")]


def _affines(
    sizes: list[int], weight_init_std: float | str, dtype: str, generator: np.random.Generator
) -> list[Affine]:
    """Make the Affine layers of a network, their initial weights drawn one after the other."""
    dtype, backend = check_dtype(dtype), get_backend()
    affines = []
    for inputs, outputs in pairwise(sizes):
        W = _initial_std(weight_init_std, inputs) * generator.standard_normal((inputs, outputs))
        b = np.zeros(outputs)
        affines.append(Affine(backend.asarray(W, dtype), backend.asarray(b, dtype)))
    return affines


def _batch_normalization(units: int, dtype: str) -> BatchNormalization:
    backend = get_backend()
    gamma, beta = np.ones(units), np.zeros(units)
    return BatchNormalization(backend.asarray(gamma, dtype), backend.asarray(beta, dtype))


def _initial_std(std: float | str, inputs: int) -> float:
    if isinstance(std, str):
        gain = _named(std, GAINS, "weight_init_std", "a number or ")
        return float(np.sqrt(gain / inputs))
    return check_rate(std, "weight_init_std")


def _named(name: object, known: dict[str, Any], what: str, other: str = "") -> Any:
    """Give what is known by a name, in whatever case."""
    if not isinstance(name, str):
        raise TypeError(
            f"{what} must be one of {', '.join(map(repr, known))}, got {shown(name)}; initial "
            "weights are weight_init_std="
        )
    if name.lower() not in known:
        raise ValueError(
            f"{what} must be {other}one of {', '.join(map(repr, known))}, got {shown(name)}"
            f"{did_you_mean(name, known)}"
        )
    return known[name.lower()]
