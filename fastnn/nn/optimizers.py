"""How parameters follow their gradients.

An optimizer serves two callers. `update` is the book's: it changes a dictionary of parameters by
one of gradients. `step` and `state_for` describe the same rule to the step plan of `fastnn.fit`:
which primitive, reading which arrays and hyperparameters. Momentum is SGD with an array of state
``v`` for each parameter, and a primitive that reads it; Adam has two, and counts its steps.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.plan import Step
from fastnn.backends.selection import backend_of
from fastnn.checks import check_number, check_rate, dtype_name, is_masked, is_read_only
from fastnn.nn.validation import real_array
from fastnn.wording import a_kind, shown


class Optimizer:
    """A rule for updating a parameter from its gradient."""

    def hyperparameters(self) -> dict[str, float]:
        """Give what the update reads, as it is now: a callback may have changed it.

        It is read once for many steps, how many is not said, and must not change between epochs.
        """
        raise NotImplementedError

    def state_for(self, name: str, parameter: Array, backend: Backend) -> dict[str, Array]:
        """Make the arrays that the rule keeps for one parameter, by name; none by default."""
        return {}

    def step(self, name: str, gradient: str) -> Step:
        """Describe the update of the parameter `name` by the array `gradient`."""
        raise NotImplementedError

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Update every parameter in place from its gradient."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent: ``W -= lr * dW``.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative. It may be set again between epochs.

    Raises
    ------
    TypeError, ValueError
        If `lr` is no real number, NaN, infinite or negative.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = check_rate(value, "lr")

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr!r})"

    def hyperparameters(self) -> dict[str, float]:
        """See `Optimizer.hyperparameters`."""
        return {"lr": self.lr}

    def step(self, name: str, gradient: str) -> Step:
        """See `Optimizer.step`."""
        return Step("sgd_update", (name, gradient), (name,), hyperparameters=("lr",))

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Update every parameter: ``params[name] -= lr * grads[name]``.

        Parameters
        ----------
        params : mapping of str to array or number
            As ``network.params``. Arrays of a backend are changed in place; numbers, Python's and
            NumPy's, are assigned.
        grads : mapping of str to array or number
            As ``network.gradient(x, t)``, of the shape of the parameters; of any library.

        Raises
        ------
        KeyError
            If a parameter has no gradient; none is changed then, nor in the cases below.
        TypeError
            If `params` or `grads` is no mapping, one cannot be assigned to that has numbers, a
            parameter is no array of floats of a backend and no number, or a gradient is none.
        ValueError
            If a gradient has another shape than its parameter, a number is beyond the range of a
            float, or a parameter is read-only.
        """
        numbers: dict[str, Any] = {}
        arrays: list[tuple[Backend, Array, Array]] = []
        for mapping, what in ((params, "params"), (grads, "grads")):
            if not isinstance(mapping, Mapping):
                raise TypeError(f"{what} must be a dictionary of arrays, got {shown(mapping)}")
        for name, parameter in params.items():
            if name not in grads:
                raise KeyError(f"no gradient for parameter {name!r}; there are {list(grads)}")
            if hasattr(parameter, "shape") and not isinstance(parameter, np.generic):
                arrays.append(_to_change(name, parameter, grads[name]))
            else:
                number = check_number(parameter, f"parameter {name!r}")
                gradient = check_number(grads[name], f"gradient of {name!r}")
                numbers[name] = number - self.lr * gradient
        _assign(params, numbers)
        for backend, parameter, gradient in arrays:
            backend.sgd_update(parameter, gradient, lr=self.lr)


def _to_change(name: str, parameter: Any, gradient: Any) -> tuple[Backend, Array, Array]:
    """Give the backend of an array that is to be changed in place, the array and its gradient."""
    if is_masked(parameter):
        raise TypeError(
            f"parameter {name!r} is a masked array: fill the gaps first, "
            f"params[{name!r}].filled(value)"
        )
    backend = backend_of(parameter)
    if not backend.owns(parameter):
        raise TypeError(
            f"parameter {name!r} is {a_kind(parameter)}: an optimizer changes arrays of NumPy or "
            f"CuPy in place; keep it as fastnn.to_numpy(params[{name!r}]).copy()"
        )
    if not dtype_name(parameter).startswith("float"):
        raise TypeError(
            f"parameter {name!r} has dtype {dtype_name(parameter)}, which holds no steps of "
            f"lr * gradient: keep it as params[{name!r}].astype('float64')"
        )
    if is_read_only(parameter):
        raise ValueError(f"parameter {name!r} is read-only, and is changed in place")
    shape = tuple(parameter.shape)
    if not hasattr(gradient, "shape"):
        if shape != ():
            raise TypeError(f"gradient of {name!r} is no array, but {shown(gradient)}")
        gradient = check_number(gradient, f"gradient of {name!r}")
    array = real_array(gradient, backend, f"gradient of {name!r}")
    if tuple(array.shape) != shape:
        raise ValueError(
            f"gradient of {name!r} has shape {tuple(array.shape)}, the parameter {shape}"
        )
    is_float = dtype_name(array).startswith("float")
    return backend, parameter, backend.asarray(array, None if is_float else dtype_name(parameter))


def _assign(params: Mapping[str, Any], numbers: dict[str, Any]) -> None:
    """Assign all numbers, or none."""
    if numbers and not isinstance(params, MutableMapping):
        name = next(iter(numbers))
        raise TypeError(
            f"params is {a_kind(params)}, to which nothing can be assigned, and params[{name!r}] "
            "is a number, which is not changed in place: pass a dictionary, or arrays"
        )
    before: dict[str, Any] = {}
    try:
        for name, number in numbers.items():
            before[name] = params[name]
            params[name] = number  # type: ignore[index]
    except BaseException:
        for name, number in before.items():
            params[name] = number  # type: ignore[index]
        raise
