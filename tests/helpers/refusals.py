"""What is called with bad input, and that it is refused: an error, and an unchanged network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Sequential

Operation = Callable[..., Any]

WITH_LABELS: dict[str, Operation] = {
    "loss": Sequential.loss,
    "accuracy": Sequential.accuracy,
    "gradient": Sequential.gradient,
    "numerical_gradient": Sequential.numerical_gradient,
    "fit": lambda network, x, t: fastnn.fit(network, x, t, batch_size=3, progress=False, seed=0),
    "check_gradients": lambda network, x, t: fastnn.check_gradients(
        network, x, t, backends=["numpy"]
    ),
}


class Frame:
    """What pandas gives: numbers behind ``__array__``."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.values, dtype)


def bits(network: Sequential) -> dict[str, bytes]:
    return {name: fastnn.to_numpy(array).tobytes() for name, array in network.params.items()}


def refuses(
    error: type[Exception], words: str, operation: Operation, network: Sequential, *arguments: Any
) -> None:
    before, arrays = bits(network), list(network.params.values())
    with pytest.raises(error, match=words):
        operation(network, *arguments)
    assert bits(network) == before
    assert all(a is b for a, b in zip(network.params.values(), arrays, strict=True))


def changed(x: Any, value: Any, where: Any = (2, 5)) -> Any:
    x = x.copy()
    x[where] = value
    return x
