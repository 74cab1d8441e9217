"""How parameters follow their gradients.

An optimizer serves two callers. `update` is the book's: it changes a dictionary of parameters by
one of gradients. `step` and `state_for` describe the same rule to the step plan of `fastnn.fit`:
which primitive, reading which arrays and hyperparameters. Momentum is SGD with an array of state
``v`` for each parameter, and a primitive that reads it; Adam has two, and counts its steps.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastnn.backends.base import Array, Backend
from fastnn.backends.selection import backend_of
from fastnn.plan import Step
from fastnn.validation import check_rate, check_real, is_read_only


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

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Update every parameter in place: ``params[name] -= lr * grads[name]``.

        Parameters
        ----------
        params, grads : mapping of str to array
            As ``network.params`` and ``network.gradient(x, t)``; arrays of one backend.

        Raises
        ------
        KeyError
            If a parameter has no gradient; none is changed then.
        TypeError
            If a gradient is no array; none is changed then.
        ValueError
            If a gradient has another shape than its parameter, or a parameter is read-only; none
            is changed then.
        """
        for name in params:
            if name not in grads:
                raise KeyError(f"no gradient for parameter {name!r}; there are {sorted(grads)}")
            if is_read_only(params[name]):
                raise ValueError(f"parameter {name!r} is read-only, and is changed in place")
            if not hasattr(grads[name], "shape"):
                raise TypeError(f"gradient of {name!r} is no array, but {grads[name]!r}")
            check_real(grads[name], f"gradient of {name!r}")
            if params[name].shape != grads[name].shape:
                raise ValueError(
                    f"gradient of {name!r} has shape {tuple(grads[name].shape)}, "
                    f"the parameter {tuple(params[name].shape)}"
                )
        for name in params:
            backend_of(params[name]).sgd_update(params[name], grads[name], lr=self.lr)
