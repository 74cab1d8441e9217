"""Learning rates that change from step to step.

A schedule is a function of the step, counted from 0, that gives the rate. Whatever an optimizer
takes as `lr` may be one: a function of your own, or one of the classes here. It is asked for the
rates of many steps ahead, on the host, and they are handed to a compiled or captured step as an
array: a schedule costs nothing there. So it must depend on nothing but the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.checks import check_count, check_rate, unfit_for
from fastnn.wording import shown

Schedule = Callable[[int], float]
"""Gives the rate, finite and not negative, of a step from 0 on."""


@dataclass(frozen=True)
class Constant:
    """The same rate at each step: what the plain number `lr` means.

    Parameters
    ----------
    lr : float
        Finite and not negative, as all rates here.

    Raises
    ------
    TypeError, ValueError
        If `lr` is no such number.
    """

    lr: float

    def __post_init__(self) -> None:
        _set(self, lr=check_rate(self.lr, "lr"))

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class StepDecay:
    """``lr * factor ** (step // every)``: lower by a factor, again and again.

    PyTorch's ``StepLR(step_size=every, gamma=factor)``.

    Parameters
    ----------
    lr : float
        The rate of the first steps.
    every : int
        Steps until the rate changes, at least 1.
    factor : float, optional
        What it is multiplied by then, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If a number is none, or out of its range.
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        factor = check_rate(self.factor, "factor")
        if factor > 1:
            raise ValueError(f"factor must be from 0 to 1, got {shown(self.factor)}")
        every = check_count(self.every, "every")
        _set(self, lr=check_rate(self.lr, "lr"), every=every, factor=factor)

    def __call__(self, step: int) -> float:
        return float(self.lr * self.factor ** (step // self.every))


@dataclass(frozen=True)
class Cosine:
    """From `lr` down to `final` along half a cosine, within a number of steps.

    ``lr * c + final * (1 - c)`` with ``c = (1 + cos(pi * step / steps)) / 2``, and `final` from
    step `steps` on: a cycle of SGDR (Loshchilov and Hutter 2017, equation 5), and PyTorch's
    ``CosineAnnealingLR(T_max=steps, eta_min=final)``, which would rise again afterwards.

    Parameters
    ----------
    lr : float
        The rate of step 0.
    steps : int
        Steps until `final` is reached, at least 1.
    final : float, optional
        The rate of all later steps.

    Raises
    ------
    TypeError, ValueError
        If a number is none, or out of its range.
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        lr, final = check_rate(self.lr, "lr"), check_rate(self.final, "final")
        _set(self, lr=lr, steps=check_count(self.steps, "steps"), final=final)

    def __call__(self, step: int) -> float:
        c = (1 + math.cos(math.pi * min(step / self.steps, 1.0))) / 2
        return self.lr * c + self.final * (1 - c)


@dataclass(frozen=True)
class Warmup:
    """A linear rise to the first rate of another schedule, which follows.

    Step ``s`` of the rise has ``then(0) * (s + 1) / steps``, so that none has rate 0 and the last
    one the full rate (Goyal et al. 2017, section 2.2). Afterwards it is ``then(s - steps)``: `then`
    counts from 0 when the rise is over, as in PyTorch's ``SequentialLR``.

    Parameters
    ----------
    steps : int
        Steps of the rise, at least 0.
    then : float or callable
        The rate afterwards, or a function of the step.

    Raises
    ------
    TypeError, ValueError
        If `steps` is no such count, or `then` neither a rate nor a function.

    Examples
    --------
    >>> import fastnn
    >>> optimizer = fastnn.SGD(lr=fastnn.Warmup(500, then=fastnn.Cosine(0.2, steps=9500)))
    """

    steps: int
    then: float | Schedule

    def __post_init__(self) -> None:
        steps = check_count(self.steps, "steps", least=0)
        _set(self, steps=steps, then=check_lr(self.then, "then"))

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return rate_at(self.then, step - self.steps, "then")
        return rate_at(self.then, 0, "then") * ((step + 1) / self.steps)


def check_lr(value: Any, name: str = "lr") -> float | Schedule:
    """Return a rate as a float, and a function of the step as it is."""
    if isinstance(value, type):
        raise TypeError(
            f"{name} must be a real number or a function of the step, got the class "
            f"{value.__name__}: make one of it, such as {name}={value.__name__}(...)"
        )
    if not callable(value):
        return check_rate(value, name)
    problem = unfit_for(value, (0,))
    if problem is not None:
        raise TypeError(
            f"{name} must be a real number or a function of the step, called as {name}(step): "
            f"{problem}"
        )
    return value  # type: ignore[no-any-return]


def rate_at(lr: float | Schedule, step: int, name: str = "lr") -> float:
    """Give the rate of a step, which a function must give as one: finite and not negative."""
    if not callable(lr):
        return lr
    rate = lr(step)
    if type(rate) is float and 0 <= rate < math.inf:
        return rate
    return check_rate(rate, f"{name} at step {step}")


def rates(
    lr: float | Schedule, first: int, count: int, name: str = "lr"
) -> float | np.ndarray[Any, Any]:
    """Give the rates of steps ``first ... first + count - 1``.

    Returns
    -------
    float or array (count,), float64
        A float where it is the same at every step.

    Raises
    ------
    TypeError, ValueError
        If a function gives what is no rate; the message names the step.
    """
    if isinstance(lr, Constant):
        return lr.lr
    if not callable(lr):
        return lr
    return np.array([rate_at(lr, step, name) for step in range(first, first + count)], "float64")


def _set(schedule: Any, **values: Any) -> None:
    """Set what a frozen schedule was made from, as it came out of the checks."""
    for name, value in values.items():
        object.__setattr__(schedule, name, value)
