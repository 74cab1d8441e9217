"""The networks that are built by their sizes alone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from fastnn.backends.selection import get_backend
from fastnn.checks import check_count, check_dtype, check_rate, check_seed
from fastnn.nn.handed_over import let_go
from fastnn.nn.layer import Layer
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.sequential import Sequential
from fastnn.wording import shown


class MultiLayerNet(Sequential):
    """Affine layers with ReLU between them, on the active backend.

    Parameters
    ----------
    input_size : int
        Number of features D.
    hidden_sizes : iterable of int
        Units of each hidden layer.
    output_size : int
        Number of classes C.
    weight_init_std : float or "he", optional
        Standard deviation of the initial weights; "he" takes ``sqrt(2 / D)`` for each layer (He
        et al. 2015, https://arxiv.org/abs/1502.01852), which deeper networks need.
    dtype : {"float32", "float64"}, optional
        What the network computes in.
    seed : int, optional
        Seed of the initial weights. One seed gives the same weights on every backend.

    Raises
    ------
    TypeError, ValueError
        If a size is no integer or under 1, `weight_init_std` is negative or not finite, or the
        dtype is another.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Iterable[int],
        output_size: int,
        weight_init_std: float | str = "he",
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        dtype = check_dtype(dtype)
        sizes = [check_count(input_size, "input_size")]
        text = isinstance(hidden_sizes, str | bytes | bytearray)
        if text or not isinstance(hidden_sizes, Iterable):
            raise TypeError(f"hidden_sizes must be a list of sizes, got {shown(hidden_sizes)}")
        sizes += [check_count(size, "hidden size") for size in hidden_sizes]
        sizes += [check_count(output_size, "output_size")]
        generator, backend = check_seed(seed), get_backend()
        layers: list[Layer] = []
        for inputs, outputs in pairwise(sizes):
            W = _initial_std(weight_init_std, inputs) * generator.standard_normal((inputs, outputs))
            b = np.zeros(outputs)
            layers += [Affine(backend.asarray(W, dtype), backend.asarray(b, dtype)), Relu()]
        super().__init__(layers[:-1])
        let_go(self.params.values())

    @classmethod
    def _is_made_of(cls, kinds: list[str]) -> bool:
        return kinds == ["Affine", "Relu"] * (len(kinds) // 2) + ["Affine"]


class TwoLayerNet(MultiLayerNet):
    """The book's network: Affine, ReLU, Affine, softmax with cross-entropy.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Features D, hidden units, classes C.
    weight_init_std : float, optional
        Standard deviation of the initial weights.
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
        weight_init_std: float = 0.01,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__(
            input_size, [hidden_size], output_size, weight_init_std, dtype=dtype, seed=seed
        )

    @classmethod
    def _is_made_of(cls, kinds: list[str]) -> bool:
        return kinds == ["Affine", "Relu", "Affine"]


def _initial_std(std: float | str, inputs: int) -> float:
    if std == "he":
        return float(np.sqrt(2 / inputs))
    if isinstance(std, str):
        raise ValueError(f"weight_init_std must be a number or 'he', got {shown(std)}")
    return check_rate(std, "weight_init_std")
