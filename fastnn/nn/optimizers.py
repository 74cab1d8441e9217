"""How parameters follow their gradients.

An optimizer states its rule once: which primitive of a backend changes a parameter and its state,
and which numbers it reads besides. The loop of one's own (`Optimizer.update`, as in the book), the
step plan of `fastnn.fit` and the compiled steps all follow from that.

An optimizer of your own may as well have nothing but an ``update(params, grads)``, as the book's.
Then `fit` calls it once for each step, when the gradients have been computed. What it costs
is told in `fastnn.fit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Rule
from fastnn.checks import check_fraction, check_rate
from fastnn.nn.updating import update_by_rule


class Optimizer:
    """A rule for updating a parameter from its gradient.

    Attributes
    ----------
    rule : Rule or None
        The rule; None where a class has an `update` of its own instead. Of each of its ``state``
        the optimizer has a dictionary under that name, such as ``optimizer.v["W1"]``: arrays like
        the parameters of these names, made when they are first needed. A `fit` goes on with what
        another one, or `update`, has left there; in a new optimizer they are empty.
    iter : int
        Steps taken so far.
    """

    rule: ClassVar[Rule | None] = None
    iter: int = 0

    def hyperparameters(self) -> dict[str, float]:
        """Give the numbers that the rule reads, as they are now: a callback may change them.

        They are the attributes of these names. They are read once for many steps, how many is not
        said, and must not change between epochs.
        """
        names = () if self.rule is None else self.rule.hyperparameters
        return {name: getattr(self, name) for name in names}

    def hyperparameters_of_steps(self, steps: int) -> dict[str, Any]:
        """Give what the rule reads in each of the next steps.

        Parameters
        ----------
        steps : int
            How many, from step `iter` on.

        Returns
        -------
        dict of str to float or array (steps,)
            One number for all of these steps, or one for each.
        """
        return dict(self.hyperparameters())

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Update every parameter from its gradient, by the rule; SGD: ``p -= lr * g``.

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
            If a gradient, or the state of an earlier update, has another shape than its parameter,
            a number is beyond the range of a float, or a parameter is read-only.
        """
        if self.rule is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a rule nor an update")
        numbers = {
            name: float(np.ravel(values)[0])
            for name, values in self.hyperparameters_of_steps(1).items()
        }
        update_by_rule(self.rule, numbers, params, grads, self.state)
        self.iter += 1

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """What the rule remembers: of each name in ``rule.state`` the arrays by parameter."""
        names = () if self.rule is None else self.rule.state
        for name in names:
            if vars(self).get(name) is None:  # as the book's optimizers have it at first
                setattr(self, name, {})
        return {name: getattr(self, name) for name in names}

    def described_update(self) -> Rule | Callable[[dict[str, Array], dict[str, Array]], None]:
        """Give the rule, or the `update` that a subclass has in its place, for a step plan.

        Raises
        ------
        TypeError
            If there is neither.
        """
        if "update" in vars(self) or type(self).update is not Optimizer.update:
            return self.update
        if self.rule is None:
            raise TypeError(
                f"{type(self).__name__} has no update: write one, update(self, params, grads), "
                "that changes the arrays of the dictionary params by those of grads"
            )
        return self.rule


class _WithRate(Optimizer):
    """An optimizer that has a learning rate."""

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = check_rate(value, "lr")


class SGD(_WithRate):
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

    rule = Rule("sgd_update", hyperparameters=("lr",))

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr!r})"


class _WithMomentum(_WithRate):
    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: dict[str, Array] = {}

    @property
    def momentum(self) -> float:
        """What is left of the velocity after a step, without a gradient."""
        return self._momentum

    @momentum.setter
    def momentum(self, value: float) -> None:
        self._momentum = check_fraction(value, "momentum")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr!r}, momentum={self.momentum!r})"


class Momentum(_WithMomentum):
    """``v = momentum * v - lr * dW; W += v`` (Polyak 1964), as in the book, chapter 6.1.4.

    PyTorch's and Keras' SGD with a momentum. PyTorch keeps ``v / -lr``, which is the same as long
    as `lr` does not change.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative.
    momentum : float, optional
        In ``0 <= momentum < 1``.

    Attributes
    ----------
    v : dict of str to array
        The velocity of each parameter.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, or out of its range.
    """

    rule = Rule("momentum_update", hyperparameters=("lr", "momentum"), state=("v",))


class Nesterov(_WithMomentum):
    """Nesterov's accelerated gradient, in the form that the book's code has.

    ``W += momentum**2 * v - (1 + momentum) * lr * dW; v = momentum * v - lr * dW``
    (Bengio et al. 2012, https://arxiv.org/abs/1212.0901, equation 7): PyTorch's and Keras' SGD with
    ``nesterov=True``.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative.
    momentum : float, optional
        In ``0 <= momentum < 1``.

    Attributes
    ----------
    v : dict of str to array
        The velocity of each parameter.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, or out of its range.
    """

    rule = Rule("nesterov_update", hyperparameters=("lr", "momentum"), state=("v",))


class AdaGrad(_WithRate):
    """``h += dW**2; W -= lr * dW / (sqrt(h) + 1e-7)``, as in the book, chapter 6.1.5.

    Duchi, Hazan and Singer 2011. PyTorch adds 1e-10; Keras adds 1e-7 within the root, and begins
    with ``h = 0.1``.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative.

    Attributes
    ----------
    h : dict of str to array
        The sum of the squares of all gradients, of each parameter.

    Raises
    ------
    TypeError, ValueError
        If `lr` is no real number, NaN, infinite or negative.
    """

    rule = Rule("adagrad_update", hyperparameters=("lr",), state=("h",))

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: dict[str, Array] = {}

    def __repr__(self) -> str:
        return f"AdaGrad(lr={self.lr!r})"


class RMSprop(_WithRate):
    """``h = decay_rate * h + (1 - decay_rate) * dW**2; W -= lr * dW / (sqrt(h) + 1e-7)``.

    Tieleman and Hinton 2012, lecture 6.5, as in the book's code. PyTorch adds 1e-8 to the root,
    Keras 1e-7 within it; both have a learning rate of 0.01 and 0.001, and a decay of 0.99 and 0.9.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative.
    decay_rate : float, optional
        In ``0 <= decay_rate < 1``.

    Attributes
    ----------
    h : dict of str to array
        The moving average of the squares of gradients, of each parameter.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, or out of its range.
    """

    rule = Rule("rmsprop_update", hyperparameters=("lr", "one_minus_decay_rate"), state=("h",))

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr = lr
        self.decay_rate = decay_rate
        self.h: dict[str, Array] = {}

    @property
    def decay_rate(self) -> float:
        """What is left of the average after a step, without a gradient."""
        return self._decay_rate

    @decay_rate.setter
    def decay_rate(self, value: float) -> None:
        self._decay_rate = check_fraction(value, "decay_rate")

    def hyperparameters(self) -> dict[str, float]:
        """See `Optimizer.hyperparameters`."""
        return {"lr": self.lr, "one_minus_decay_rate": 1 - self.decay_rate}

    def __repr__(self) -> str:
        return f"RMSprop(lr={self.lr!r}, decay_rate={self.decay_rate!r})"


class Adam(_WithRate):
    """``m += (1 - beta1) * (dW - m); v += (1 - beta2) * (dW**2 - v)``, and a step along ``m``.

    ``W -= lr_t * m / (sqrt(v) + 1e-7)`` with ``lr_t = lr * sqrt(1 - beta2**t) / (1 - beta1**t)`` at
    step t, from 1 on: Kingma and Ba 2015 (https://arxiv.org/abs/1412.6980, the form at the end of
    section 2), as in the book's code, and as in Keras. PyTorch corrects `v` before it takes the
    root and adds 1e-8: its epsilon is ``sqrt(1 - beta2**t)`` times as large as the same one here.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative.
    beta1, beta2 : float, optional
        In ``0 <= beta < 1``.

    Attributes
    ----------
    m, v : dict of str to array
        The moving averages of gradients and of their squares, of each parameter.
    iter : int
        Steps taken so far, on which the correction of these averages depends.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, or out of its range.
    """

    rule = Rule(
        "adam_update",
        hyperparameters=("lr_t", "one_minus_beta1", "one_minus_beta2"),
        state=("m", "v"),
    )

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr = lr
        self.beta1, self.beta2 = beta1, beta2
        self.m: dict[str, Array] = {}
        self.v: dict[str, Array] = {}

    @property
    def beta1(self) -> float:
        """What is left of `m` after a step, without a gradient."""
        return self._beta1

    @beta1.setter
    def beta1(self, value: float) -> None:
        self._beta1 = check_fraction(value, "beta1")

    @property
    def beta2(self) -> float:
        """What is left of `v` after a step, without a gradient."""
        return self._beta2

    @beta2.setter
    def beta2(self, value: float) -> None:
        self._beta2 = check_fraction(value, "beta2")

    def hyperparameters(self) -> dict[str, float]:
        """See `Optimizer.hyperparameters`: those of the next step."""
        numbers = self.hyperparameters_of_steps(1)
        return {name: float(np.ravel(value)[0]) for name, value in numbers.items()}

    def hyperparameters_of_steps(self, steps: int) -> dict[str, Any]:
        """See `Optimizer.hyperparameters_of_steps`."""
        t = self.iter + np.arange(1, steps + 1)
        corrections = [_one_minus_power(beta, t) for beta in (self.beta1, self.beta2)]
        return {
            "lr_t": self.lr * np.sqrt(corrections[1]) / corrections[0],
            "one_minus_beta1": 1 - self.beta1,
            "one_minus_beta2": 1 - self.beta2,
        }

    def __repr__(self) -> str:
        return f"Adam(lr={self.lr!r}, beta1={self.beta1!r}, beta2={self.beta2!r})"


def _one_minus_power(beta: float, t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """``1 - beta**t``, t from 1 on."""
    if beta == 0:
        return np.ones(t.shape)
    return -np.expm1(t * math.log(beta))
