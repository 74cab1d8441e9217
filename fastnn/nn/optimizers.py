"""The optimizers: how parameters follow their gradients.

Formulas are computed by the primitives of these names, `fastnn.backends.base`. What all optimizers
take besides, `weight_decay`, `decay_all` and `clip_norm`, says `fastnn.nn.optimizer.Descent`.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Rule
from fastnn.checks import check_fraction
from fastnn.nn.optimizer import Descent
from fastnn.nn.schedules import Schedule, rate_at


class _Fraction:
    """An attribute in ``0 <= value < 1``, which is checked whenever it is set."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Any, owner: type) -> Any:
        return self if optimizer is None else vars(optimizer)[f"_{self.name}"]

    def __set__(self, optimizer: Any, value: float) -> None:
        vars(optimizer)[f"_{self.name}"] = check_fraction(value, self.name)


class SGD(Descent):
    """Stochastic gradient descent: ``W -= lr * dW``.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step.
    weight_decay, decay_all, clip_norm : optional
        See `Descent`.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, NaN, infinite or negative.
    """

    rule = Rule("sgd_update", hyperparameters=("lr",))

    def __init__(
        self,
        lr: float | Schedule = 0.01,
        *,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, decay_all=decay_all, clip_norm=clip_norm)


class _WithVelocity(Descent):
    def __init__(
        self,
        lr: float | Schedule = 0.01,
        momentum: float = 0.9,
        *,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, decay_all=decay_all, clip_norm=clip_norm)
        self.momentum = momentum
        self.v: dict[str, Array] = {}

    momentum = _Fraction("What is left of the velocity after a step, without a gradient.")


class Momentum(_WithVelocity):
    """``v = momentum * v - lr * dW; W += v`` (Polyak 1964), as in the book, chapter 6.1.4.

    PyTorch's and Keras' SGD with a momentum. PyTorch keeps ``v / -lr``, which is the same as long
    as `lr` does not change.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step.
    momentum : float, optional
        In ``0 <= momentum < 1``.
    weight_decay, decay_all, clip_norm : optional
        See `Descent`.

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


class Nesterov(_WithVelocity):
    """Nesterov's accelerated gradient, in the form that the book's code has.

    ``W += momentum**2 * v - (1 + momentum) * lr * dW; v = momentum * v - lr * dW``
    (Bengio et al. 2012, https://arxiv.org/abs/1212.0901, equation 7): PyTorch's and Keras' SGD with
    ``nesterov=True``.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step.
    momentum : float, optional
        In ``0 <= momentum < 1``.
    weight_decay, decay_all, clip_norm : optional
        See `Descent`.

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


class AdaGrad(Descent):
    """``h += dW**2; W -= lr * dW / (sqrt(h) + 1e-7)``, as in the book, chapter 6.1.5.

    Duchi, Hazan and Singer 2011. PyTorch adds 1e-10; Keras adds 1e-7 within the root, and begins
    with ``h = 0.1``.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step.
    weight_decay, decay_all, clip_norm : optional
        See `Descent`.

    Attributes
    ----------
    h : dict of str to array
        The sum of the squares of all gradients, of each parameter.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, NaN, infinite or negative.
    """

    rule = Rule("adagrad_update", hyperparameters=("lr",), state=("h",))

    def __init__(
        self,
        lr: float | Schedule = 0.01,
        *,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, decay_all=decay_all, clip_norm=clip_norm)
        self.h: dict[str, Array] = {}


class RMSprop(Descent):
    """``h = decay_rate * h + (1 - decay_rate) * dW**2; W -= lr * dW / (sqrt(h) + 1e-7)``.

    Tieleman and Hinton 2012, lecture 6.5, as in the book's code. PyTorch adds 1e-8 to the root,
    Keras 1e-7 within it; both have a learning rate of 0.01 and 0.001, and a decay of 0.99 and 0.9.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step.
    decay_rate : float, optional
        In ``0 <= decay_rate < 1``.
    weight_decay, decay_all, clip_norm : optional
        See `Descent`.

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

    def __init__(
        self,
        lr: float | Schedule = 0.01,
        decay_rate: float = 0.99,
        *,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, decay_all=decay_all, clip_norm=clip_norm)
        self.decay_rate = decay_rate
        self.h: dict[str, Array] = {}

    decay_rate = _Fraction("What is left of the average after a step, without a gradient.")

    def hyperparameters(self) -> dict[str, Any]:
        """See `Optimizer.hyperparameters`."""
        return {"lr": self.lr, "one_minus_decay_rate": 1 - self.decay_rate}


class Adam(Descent):
    """``m += (1 - beta1) * (dW - m); v += (1 - beta2) * (dW**2 - v)``, and a step along ``m``.

    ``W -= lr_t * m / (sqrt(v) + 1e-7)`` with ``lr_t = lr * sqrt(1 - beta2**t) / (1 - beta1**t)`` at
    step t, from 1 on: Kingma and Ba 2015 (https://arxiv.org/abs/1412.6980, the form at the end of
    section 2), as in the book's code, and as in Keras. PyTorch corrects `v` before it takes the
    root and adds 1e-8: its epsilon is ``sqrt(1 - beta2**t)`` times as large as the same one here.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step.
    beta1, beta2 : float, optional
        In ``0 <= beta < 1``.
    weight_decay, decay_all, clip_norm : optional
        See `Descent`.

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

    def __init__(
        self,
        lr: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        *,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(lr, weight_decay=weight_decay, decay_all=decay_all, clip_norm=clip_norm)
        self.beta1, self.beta2 = beta1, beta2
        self.m: dict[str, Array] = {}
        self.v: dict[str, Array] = {}

    beta1 = _Fraction("What is left of `m` after a step, without a gradient.")
    beta2 = _Fraction("What is left of `v` after a step, without a gradient.")

    def hyperparameters(self) -> dict[str, Any]:
        """See `Optimizer.hyperparameters`."""
        return {
            "lr_t": self._corrected_rate,
            "one_minus_beta1": 1 - self.beta1,
            "one_minus_beta2": 1 - self.beta2,
        }

    def _corrected_rate(self, step: int) -> float:
        """``lr * sqrt(1 - beta2**t) / (1 - beta1**t)``, t being ``step + 1``."""
        of_m, of_v = (_one_minus_power(beta, step + 1) for beta in (self.beta1, self.beta2))
        return rate_at(self.lr, step) * math.sqrt(of_v) / of_m


class AdamW(Adam):
    """`Adam` with weight decay beside the rule: ``W -= lr * weight_decay * W``, then as there.

    Loshchilov and Hutter 2019 (https://arxiv.org/abs/1711.05101, algorithm 2). Added to the
    gradient, as Adam's `weight_decay` is, the term would be divided by ``sqrt(v)`` like the rest,
    and weights with large gradients would hardly decay. PyTorch has the same default, Keras 0.004;
    both let biases decay, too, and their epsilon is that of their Adam.

    Parameters
    ----------
    lr : float or callable, optional
        Learning rate, finite and not negative, or a function of the step: decay follows it.
    beta1, beta2 : float, optional
        In ``0 <= beta < 1``.
    weight_decay : float, optional
        From 0 on.
    decay_all, clip_norm : optional
        See `Descent`.

    Attributes
    ----------
    m, v, iter
        See `Adam`.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, or out of its range.
    """

    rule = Rule(
        "adam_update",
        hyperparameters=("lr_t", "one_minus_beta1", "one_minus_beta2"),
        state=("m", "v"),
        decouples_decay=True,
    )

    def __init__(
        self,
        lr: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        *,
        weight_decay: float = 0.01,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            lr, beta1, beta2, weight_decay=weight_decay, decay_all=decay_all, clip_norm=clip_norm
        )


def _one_minus_power(beta: float, t: int) -> float:
    """``1 - beta**t``, t from 1 on."""
    return -math.expm1(t * math.log(beta)) if beta else 1.0
